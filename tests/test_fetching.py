"""Downloads: resumed, verified, atomic, and with a clear word where they cannot be had."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from web import Web, closed_port, serve

from castfield.errors import DownloadError
from castfield.fetching import BLOCK, fetch

FILE = np.random.default_rng(0).bytes(1_000_000)
DIGEST = hashlib.sha256(FILE).hexdigest()


@pytest.fixture
def web():
    with serve() as server:
        server.files["/a.mp4"] = FILE
        yield server


@pytest.fixture(autouse=True)
def scratch_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


def parts(folder: Path) -> list[Path]:
    return list((folder / "downloads").iterdir())


def get(web: Web, target: Path, **options) -> str:
    return fetch(f"{web.address}/a.mp4", target, **{"digest": DIGEST, "pause": 0, "timeout": 10, **options})


def test_a_file_arrives_whole(web, tmp_path, scratch_folder):
    assert get(web, tmp_path / "a.mp4") == DIGEST
    assert (tmp_path / "a.mp4").read_bytes() == FILE
    assert parts(scratch_folder) == []
    assert get(web, tmp_path / "b.mp4", digest=DIGEST[:8]) == DIGEST


def test_a_broken_line_is_resumed(web, tmp_path):
    web.break_after = 300_000
    get(web, tmp_path / "a.mp4", retries=1)  # attempts count only while nothing arrives
    assert (tmp_path / "a.mp4").read_bytes() == FILE
    starts = [int(r[6:-1]) for r in web.requests[1:]]
    assert all(after > before for before, after in zip(starts, starts[1:], strict=False))
    assert 300_000 - BLOCK < starts[0] <= 300_000
    assert web.sent <= len(FILE) + len(starts) * BLOCK


def test_an_interrupted_download_is_resumed_by_the_next_run(web, tmp_path, scratch_folder):
    web.break_after = 400_000
    with pytest.raises(DownloadError, match="an address is dead") as caught:
        _fail_after_first(web, tmp_path)
    assert "kept and resumed" in str(caught.value)
    assert not (tmp_path / "a.mp4").exists()
    kept = max(p.stat().st_size for p in parts(scratch_folder))
    assert 400_000 - BLOCK < kept <= 400_000
    web.break_after, web.errors, web.requests, web.sent = None, [], [], 0
    get(web, tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == FILE
    assert web.requests == [f"bytes={kept}-"]
    assert web.sent == len(FILE) - kept


def _fail_after_first(web: Web, tmp_path: Path) -> None:
    """The first answer breaks off; after that the server only refuses."""

    class Once(list):
        def __bool__(self) -> bool:
            return len(web.requests) > 1

        def pop(self, *_: object) -> int:
            return 503

    web.errors = Once()
    get(web, tmp_path / "a.mp4", retries=2)


def test_a_server_without_ranges_sends_it_again(web, tmp_path, scratch_folder):
    web.break_after = 400_000
    with pytest.raises(DownloadError):
        _fail_after_first(web, tmp_path)
    web.break_after, web.errors, web.ranges = None, [], False
    get(web, tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == FILE


@pytest.mark.parametrize("tagged", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_anew(tagged, web, tmp_path):
    web.files["/a.mp4"] = bytes(500_000)
    web.break_after = 400_000
    with pytest.raises(DownloadError):
        _fail_after_first(web, tmp_path)
    web.break_after, web.errors, web.files["/a.mp4"] = None, [], FILE
    web.etag = '"v2"' if tagged else web.etag
    get(web, tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == FILE


def test_a_part_that_is_whole_already_is_taken(web, tmp_path, scratch_folder):
    part = scratch_folder / "downloads" / (hashlib.sha256(f"{web.address}/a.mp4".encode()).hexdigest()[:24] + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(FILE)
    get(web, tmp_path / "a.mp4")
    assert web.sent == 0
    part.write_bytes(FILE + b"more than there is")
    get(web, tmp_path / "b.mp4")
    assert (tmp_path / "b.mp4").read_bytes() == FILE


def test_a_wrong_hash(web, tmp_path, scratch_folder):
    web.files["/a.mp4"] = FILE[:-1] + b"x"
    with pytest.raises(DownloadError, match="wrong sha256") as caught:
        get(web, tmp_path / "a.mp4")
    assert DIGEST in str(caught.value)
    assert hashlib.sha256(FILE[:-1] + b"x").hexdigest() in str(caught.value)
    assert "correct `sha256` in the manifest" in str(caught.value)
    assert not (tmp_path / "a.mp4").exists()
    assert parts(scratch_folder) == []  # the next run starts afresh


def test_a_dead_address(tmp_path):
    with pytest.raises(DownloadError, match="an address is dead") as caught:
        fetch(f"http://127.0.0.1:{closed_port()}/a.mp4", tmp_path / "a.mp4", retries=2, pause=0)
    assert "refused" in str(caught.value)
    assert "2 attempts" in str(caught.value)
    assert "CASTFIELD_MEDIA" in str(caught.value)
    with pytest.raises(DownloadError, match="not an address"):
        fetch("htp://nowhere/a.mp4", tmp_path / "a.mp4", pause=0)


def test_a_missing_file_is_not_tried_again(web, tmp_path):
    with pytest.raises(DownloadError, match="404"):
        fetch(f"{web.address}/b.mp4", tmp_path / "b.mp4", pause=0)
    assert len(web.requests) == 1


def test_a_busy_server_is_tried_again(web, tmp_path):
    web.errors = [503, 429]
    get(web, tmp_path / "a.mp4")
    assert len(web.requests) == 3
    web.errors = [500] * 9
    with pytest.raises(DownloadError, match=r"HTTP 500 .*\(3 attempts\)"):
        get(web, tmp_path / "b.mp4")


def test_a_web_page_is_no_film(web, tmp_path):
    web.content_type = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="gives a web page"):
        get(web, tmp_path / "a.mp4")
    assert not (tmp_path / "a.mp4").exists()
