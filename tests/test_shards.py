"""Work over clips: the cache, one new clip, failures, killed workers, a killed stage, a full disk."""

from __future__ import annotations

import importlib
import linecache
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import works
from conftest import ROOT

from castfield.config import WorkConfig
from castfield.errors import ClipError
from castfield.shards import Job, Step, failed_clips, map_clips


@pytest.fixture(autouse=True)
def _own_scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")]))


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def finished(log: Path) -> list[str]:
    return sorted(line.split()[0] for line in log.read_text().splitlines() if line.endswith("done"))


def leftovers(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.name.startswith(".part")]


def test_what_a_helper_beside_the_work_made_is_made_again_when_the_helper_changes(tmp_path, monkeypatch):
    module = tmp_path / "changing.py"
    monkeypatch.syspath_prepend(tmp_path)
    stores = []
    for answer in (1, 2):
        module.write_text(f"def helper():\n    return {answer}\n\n\ndef work(job, out):\n    print(helper())\n")
        linecache.clearcache()
        monkeypatch.delitem(sys.modules, "changing", raising=False)
        step = Step("s", importlib.import_module("changing").work, [Job("a", {}, None)])
        stores.append(step.stores()["a"])
        importlib.invalidate_caches()
    assert stores[0] != stores[1]


def test_a_pool_and_one_process_give_the_same_bytes(tmp_path, monkeypatch):
    works.run("inline", tmp_path / "a", tmp_path / "log", ["x", "y", "z"])
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "other"))
    works.run("processes", tmp_path / "b", tmp_path / "log", ["x", "y", "z"])
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert set(contents(tmp_path / "a")) == {f"{c}.{s}" for c in "xyz" for s in ("npz", "txt")} | {"failed.json"}


def test_one_new_clip_costs_one_clip_and_the_log_says_so(tmp_path, capsys):
    log = tmp_path / "log"
    works.run("inline", tmp_path / "out", log, ["x", "y"])
    before = contents(tmp_path / "out")
    outcomes = works.run("inline", tmp_path / "out", log, ["x", "y", "z"])
    assert finished(log) == ["x", "y", "z"]
    assert [o.cached for o in outcomes] == [True, True, False]
    assert "probe: 3 clips, 2 unchanged (cached), 1 to do" in capsys.readouterr().out
    assert before.items() <= contents(tmp_path / "out").items()


def test_what_a_result_took_is_known_as_long_as_the_result_is(tmp_path):
    """Beside it, not in it: the out is the same whenever it is made."""
    started = time.monotonic()
    works.run("processes", tmp_path / "out", tmp_path / "log", ["x", "y"])
    passed = time.monotonic() - started
    jobs = [Job(clip, {}, {"log": str(tmp_path / "log"), "version": 1}) for clip in "xyz"]
    step = Step("probe", works.work, jobs)
    told = step.seconds()
    assert set(told) == {"x", "y"}
    assert all(0 < seconds < passed for seconds in told.values())
    works.run("inline", tmp_path / "out", tmp_path / "log", ["x", "y"])  # all of it is cached
    assert step.seconds() == told
    assert step._replace(stage="other").seconds() == {}


def test_a_clip_that_is_taken_out_leaves_no_files(tmp_path):
    works.run("inline", tmp_path / "out", tmp_path / "log", ["x", "y"])
    works.run("inline", tmp_path / "out", tmp_path / "log", ["y"])
    assert set(contents(tmp_path / "out")) == {"y.npz", "y.txt", "failed.json"}


def test_another_parameter_or_input_is_other_work_and_going_back_is_free(tmp_path):
    log = tmp_path / "log"
    for version in (1, 2, 1):
        works.run("inline", tmp_path / "out", log, ["x"], version=version)
    assert finished(log) == ["x", "x"]
    (tmp_path / "seed").write_bytes(b"1")
    jobs = [Job("x", {"seed": tmp_path / "seed"}, {"log": str(log)})]
    first = map_clips("probe", works.work, jobs, tmp_path / "out", WorkConfig("inline"))
    (tmp_path / "seed").write_bytes(b"2")
    assert not map_clips("probe", works.work, jobs, tmp_path / "out", WorkConfig("inline"))[0].cached
    assert not first[0].cached


def test_a_suffix_can_go_elsewhere(tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "old.txt").write_text("of an earlier run")
    jobs = [Job("x", {}, {"log": str(tmp_path / "log")})]
    map_clips("probe", works.work, jobs, tmp_path / "out", WorkConfig("inline"), elsewhere={".txt": tmp_path / "texts"})
    assert set(contents(tmp_path / "out")) == {"x.npz", "failed.json"}
    assert set(contents(tmp_path / "texts")) == {"x.txt"}


def test_a_clip_that_fails_is_named_and_left_out(tmp_path, capsys):
    outcomes = works.run("inline", tmp_path / "out", tmp_path / "log", ["bad", "x", "y", "z"])
    assert [o.clip for o in outcomes if o.error] == ["bad"]
    assert "no face was found" in failed_clips(tmp_path / "out")["bad"]
    assert "bad FAILED: no face was found" in capsys.readouterr().out
    assert "bad.npz" not in contents(tmp_path / "out")


@pytest.mark.parametrize("runner", ["inline", "processes"])
def test_too_many_failures_fail_the_stage_and_lose_nothing(runner, tmp_path):
    log = tmp_path / "log"
    works.run(runner, tmp_path / "out", log, ["x"])
    before = contents(tmp_path / "out")
    with pytest.raises(ClipError) as caught:
        works.run(runner, tmp_path / "out", log, ["bad1", "bad2", "x", "y", "z"])
    text = str(caught.value)
    assert "2 of 5 clips failed" in text
    assert "bad1: no face was found" in text
    assert "bad2" in text
    assert "at most 25% (work.max_failed)" in text
    assert "the others are cached" in text
    assert contents(tmp_path / "out") == before
    assert leftovers(tmp_path) == []
    works.run(runner, tmp_path / "out", log, ["x", "y", "z"])
    assert finished(log) == ["x", "y", "z"]


@pytest.mark.parametrize("runner", ["inline", "processes"])
def test_a_bug_stops_the_stage_at_once(runner, tmp_path):
    with pytest.raises(ZeroDivisionError, match="a bug"):
        works.run(runner, tmp_path / "out", tmp_path / "log", ["x", "bug"])
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "out" / "failed.json").exists()


def test_a_worker_that_the_system_kills_costs_one_clip(tmp_path):
    log = tmp_path / "log"
    outcomes = works.run("processes", tmp_path / "out", log, ["killed", "v", "w", "x", "y", "z"])
    failed = {o.clip: o.error for o in outcomes if o.error}
    assert set(failed) == {"killed"}
    assert "was killed" in str(failed["killed"])
    assert "memory" in str(failed["killed"])
    assert "killed.npz" not in contents(tmp_path / "out")
    assert {f"{c}.npz" for c in "vwxyz"} < set(contents(tmp_path / "out"))
    works.run("inline", tmp_path / "out", log, ["v"])  # sweeps what the killed worker left
    assert leftovers(tmp_path) == []


def stage(tmp_path: Path, clips: list[str], **env: str) -> list[str]:
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    return [sys.executable, str(ROOT / "tests" / "works.py"), "processes", str(tmp_path / "out"), str(tmp_path / "log"), *clips]


def wait_until(condition, what: str) -> None:
    """Poll; a minute is only the limit that keeps a broken run from hanging."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_killed_stage_goes_on_where_it_stopped(tmp_path, monkeypatch):
    """SIGKILL to the stage while two clips are under way: its workers end, the rerun gives the same bytes and repeats none."""
    clips = ["a", "b", "c", "wait1", "wait2", "z"]
    log = tmp_path / "log"
    killed = subprocess.Popen(stage(tmp_path, clips), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: log.exists() and log.read_text().count("wait") == 2, "the stage did not get to its fifth clip")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    workers = {int(p) for p in re.findall(r"begins (\d+)", log.read_text())}
    wait_until(lambda: not any(map(running, workers)), "workers outlive the killed stage")
    assert finished(log) == ["a", "b", "c"]
    assert not (tmp_path / "out").exists() or contents(tmp_path / "out") == {}
    (tmp_path / "release").touch()
    done = subprocess.run(stage(tmp_path, clips), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "probe: 6 clips, 3 unchanged (cached), 3 to do" in done.stdout
    assert finished(log) == sorted(clips)
    assert leftovers(tmp_path) == []
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "undisturbed"))
    works.run("inline", tmp_path / "reference", tmp_path / "log2", clips)
    assert contents(tmp_path / "out") == contents(tmp_path / "reference")


def test_a_full_disk_is_one_message_and_loses_nothing(tmp_path):
    """A limit on file size makes the system refuse to write, as a full disk does."""
    log = tmp_path / "log"
    subprocess.run(stage(tmp_path, ["x"]), cwd=tmp_path, check=True, capture_output=True)
    before = contents(tmp_path / "out")
    limited = {**os.environ, "PROBE_FILE_LIMIT": "500000"}
    done = subprocess.run(stage(tmp_path, ["x", "y", "large"]), cwd=tmp_path, env=limited, capture_output=True, text=True)
    assert done.returncode == 1
    assert "The disk is full" in done.stderr
    assert "what was finished is kept" in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(tmp_path / "out") == before
    assert leftovers(tmp_path) == []
    subprocess.run(stage(tmp_path, ["x", "y", "large"]), cwd=tmp_path, check=True, capture_output=True)
    assert finished(log).count("x") == 1


def test_an_unknown_clip_name_twice_is_refused(tmp_path):
    with pytest.raises(ClipError, match="stands twice"):
        works.run("inline", tmp_path / "out", tmp_path / "log", ["x", "x"])


def test_ray_is_an_extra(tmp_path):
    try:
        import ray  # noqa: F401
    except ImportError:
        from castfield.errors import CastfieldError

        with pytest.raises(CastfieldError, match="needs Ray"):
            works.run("ray", tmp_path / "out", tmp_path / "log", ["x"])
    else:
        works.run("ray", tmp_path / "out", tmp_path / "log", ["x", "y"])
        assert finished(tmp_path / "log") == ["x", "y"]
