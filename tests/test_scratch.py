"""Atomic files and fingerprints."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

import castfield.rigs
from castfield import scratch
from castfield.scratch import Rows, atomic, fingerprint, let_go, map_npz, write_json, write_npz


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "a" / "x.txt"
    with atomic(target) as part:
        part.write_text("new")
        assert not target.exists()
        assert part.suffix == ".txt"
    assert target.read_text() == "new"

    def fail() -> None:
        with atomic(target) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["x.txt"]


def test_arrays_are_mapped_from_the_file(tmp_path):
    arrays = {
        "a": np.arange(12, dtype=np.float32).reshape(3, 4), "by_columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "flags": np.array([True, False]), "number": np.array(7.5), "word": np.array("face"), "nothing": np.zeros((0, 3)),
    }  # fmt: skip
    write_npz(tmp_path / "x.npz", **arrays)
    mapped = map_npz(tmp_path / "x.npz")
    assert list(mapped) == list(arrays)
    for name, array in arrays.items():
        assert mapped[name].dtype == array.dtype
        np.testing.assert_array_equal(mapped[name], array)
        assert type(mapped[name]) is np.ndarray
        assert isinstance(mapped[name].base, np.memmap)
    mapped["a"][0] = 9
    np.testing.assert_array_equal(map_npz(tmp_path / "x.npz")["a"], arrays["a"])


def test_json_refuses_what_is_no_number_and_keeps_the_old_file(tmp_path):
    write_json(tmp_path / "m.json", {"b": 1, "a": 2})
    assert list(json.loads((tmp_path / "m.json").read_text())) == ["a", "b"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "m.json", {"psnr": float("nan")})
    assert json.loads((tmp_path / "m.json").read_text())["a"] == 2


def test_npz_as_numpy_writes_it(tmp_path):
    arrays = {"x": np.arange(5), "name": np.array("text"), "empty": np.zeros((0, 3)), "number": np.float32(3)}
    write_npz(tmp_path / "a.npz", **arrays)
    np.savez(tmp_path / "b.npz", **arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with pytest.raises(ValueError, match="pickle"):
        write_npz(tmp_path / "a.npz", x=np.array([object()]))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_rows_give_the_bytes_of_the_whole_array(tmp_path):
    whole = np.arange(60, dtype=np.float32).reshape(5, 4, 3)
    write_npz(tmp_path / "whole.npz", a=whole, b=np.ones(2))
    write_npz(tmp_path / "rows.npz", a=Rows(whole.shape, whole.dtype, iter(whole[::-1][::-1])), b=np.ones(2))
    assert (tmp_path / "rows.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_memory_of_a_mapped_array_is_given_back(tmp_path):
    write_npz(tmp_path / "a.npz", a=np.ones((64, 1 << 17)))  # 64 MiB
    array = map_npz(tmp_path / "a.npz")["a"]

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = resident()
    assert array.sum() == array.size
    assert resident() - before > 48 << 20
    let_go(array)
    assert resident() - before < 16 << 20
    let_go(np.ones(3))
    assert array[-1, -1] == 1


def test_the_scratch_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "s"))
    assert scratch.scratch("a", "b.txt") == tmp_path / "s" / "a" / "b.txt"
    assert (tmp_path / "s" / "a").is_dir()
    monkeypatch.delenv("CASTFIELD_SCRATCH")
    monkeypatch.chdir(tmp_path)
    assert scratch.scratch_root() == tmp_path / ".castfield"


@dataclasses.dataclass
class Settings:
    size: int = 1
    where: str = "here"
    retries: int = dataclasses.field(default=3, metadata={"fingerprint": False})


class TestFingerprint:
    def test_files_count_by_content(self, tmp_path):
        (tmp_path / "a").write_text("1")
        first = fingerprint(tmp_path / "a")
        (tmp_path / "b").write_text("1")
        assert fingerprint(tmp_path / "b") == first
        (tmp_path / "a").write_text("2")
        assert fingerprint(tmp_path / "a") != first
        assert fingerprint(tmp_path / "none") != first

    def test_folders_count_with_names_and_without_caches(self, tmp_path):
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "a").write_text("1")
        first = fingerprint(tmp_path / "d")
        (tmp_path / "d" / "__pycache__").mkdir()
        (tmp_path / "d" / "__pycache__" / "a.pyc").write_text("1")
        assert fingerprint(tmp_path / "d") == first
        (tmp_path / "d" / "a").rename(tmp_path / "d" / "b")
        assert fingerprint(tmp_path / "d") != first

    def test_settings(self):
        assert fingerprint(Settings()) == fingerprint(Settings(retries=9))
        assert fingerprint(Settings()) != fingerprint(Settings(size=2))
        assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
        assert fingerprint("a", "b") != fingerprint("ab")
        assert fingerprint(np.arange(3)) != fingerprint(np.arange(3.0))

    def test_code(self):
        assert fingerprint(scratch) != fingerprint(scratch.atomic)
        assert fingerprint(castfield.rigs) != fingerprint(castfield.rigs.__doc__)

    def test_what_has_no_lasting_form_is_refused(self):
        with pytest.raises(TypeError, match="no fingerprint"):
            fingerprint({"x": object()})
