"""Clips as tasks on a Ray cluster of two nodes on this machine, one of which dies in the middle."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import works
from conftest import ROOT
from test_shards import contents, finished, wait_until
from test_shards import running as alive

from castfield.footage import Footage
from castfield.scratch import sha256

ray = pytest.importorskip("ray", reason="needs Ray: .venv/bin/python -m pip install 'ray>=2.60,<3'")
CLIPS = [*"abcd", "wait1", "wait2", *"efghij"]
STORE = 80_000_000
"""Bytes of a node's object store: only paths travel."""


@pytest.fixture(autouse=True)
def _own_scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture
def cluster():
    """Two nodes of one CPU each: (cluster, the node without the head)."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False})
    second = made.add_node(num_cpus=1, object_store_memory=STORE)
    made.wait_for_nodes()
    yield made, second
    made.shutdown()


def stage(tmp_path: Path, out: str, clips: list[str], address: str) -> subprocess.Popen:
    """The stage of `works.py` in a process of its own, as DVC would start it."""
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    command = [sys.executable, str(ROOT / "tests/works.py"), "ray", out, str(tmp_path / "log"), *clips]
    environment = {**os.environ, "RAY_ADDRESS": address}
    return subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def begun(log: Path, clip: str) -> int:
    return log.read_text().count(f"{clip} begins") if log.exists() else 0


def test_a_node_dies_in_the_middle_of_twelve_clips(tmp_path, cluster, monkeypatch):
    """Every clip is finished, and the bytes are those of the runner in one process. The out is a relative path, as a stage's is."""
    nodes, second = cluster
    log = tmp_path / "log"
    running = stage(tmp_path, "out", CLIPS, nodes.address)
    # One CPU a node: two clips that wait for each other's release hold a node each.
    wait_until(lambda: begun(log, "wait1") and begun(log, "wait2"), "the two clips did not begin on two nodes")
    assert len(finished(log)) >= 3
    assert len(finished(log)) < len(CLIPS) - 2
    at_work = [int(pid) for pid in re.findall(r"wait\d begins (\d+)", log.read_text())]
    nodes.remove_node(second, allow_graceful=False)
    wait_until(lambda: [alive(pid) for pid in at_work].count(False) == 1, "the clip of the dead node goes on")
    (tmp_path / "release").touch()
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 0, said
    assert begun(log, "wait1") + begun(log, "wait2") == 3, "the clip of the dead node begins again, the other does not"
    assert (tmp_path / "out/failed.json").read_text().strip() == "{}"
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "undisturbed"))
    works.run("inline", tmp_path / "reference", tmp_path / "log2", CLIPS)
    assert contents(tmp_path / "out") == contents(tmp_path / "reference")
    assert len(contents(tmp_path / "out")) == 2 * len(CLIPS) + 1


def test_the_stage_frames_on_twelve_real_clips(tmp_path, cluster, media, monkeypatch):
    """The real stage, started as DVC starts it; a node dies after three clips. Pictures and speech are those of one process."""
    nodes, second = cluster
    clips = sorted([*(media / "grid").iterdir(), *(media / "hd").iterdir()])
    assert len(clips) == 12
    made = {}
    for runner in ("ray", "inline"):
        root = tmp_path / runner
        (root / "data/raw").mkdir(parents=True)
        for clip in clips:
            shutil.copy(clip, root / "data/raw" / clip.name)
            Footage(clip.name, sha256(clip), f"path: {clip.name}").save(root / f"data/raw/{clip.stem}.json")
        (root / "params.yaml").write_text(f"work: {{runner: {runner}}}\n")
        environment = {**os.environ, "RAY_ADDRESS": nodes.address, "CASTFIELD_SCRATCH": str(root / "scratch")}
        command = [sys.executable, str(ROOT / "stages/frames.py")]
        running = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if runner == "ray":
            stores = root / "scratch/clips/frames"
            wait_until(lambda at=stores: len(list(at.glob("[!.]*"))) >= 3, "no clip is done")
            nodes.remove_node(second, allow_graceful=False)
            assert len(list(stores.glob("[!.]*"))) < len(clips)
        said, _ = running.communicate(timeout=300)
        assert running.returncode == 0, said
        made[runner] = {**contents(root / "data/frames"), **contents(root / "data/speech")}
    assert len(made["inline"]) == 3 * len(clips) + 1
    assert made["ray"] == made["inline"]


def test_a_clip_that_kills_its_process_costs_one_clip(tmp_path, cluster):
    nodes, _ = cluster
    running = stage(tmp_path, "out", ["killed", *"vwxyz"], nodes.address)
    said, _ = running.communicate(timeout=240)
    assert running.returncode == 0, said
    assert begun(tmp_path / "log", "killed") == 4
    assert "killed 4 times" in (tmp_path / "out/failed.json").read_text()
    assert {f"{c}.npz" for c in "vwxyz"} < set(contents(tmp_path / "out"))


def test_failures_and_bugs_are_those_of_the_other_runners(tmp_path, monkeypatch):
    """Without RAY_ADDRESS Ray runs on this machine alone, and is gone afterwards."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    outcomes = works.run("ray", tmp_path / "out", tmp_path / "log", ["bad", *"vwxyz"])
    assert [o.clip for o in outcomes if o.error] == ["bad"]
    assert not ray.is_initialized()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        works.run("ray", tmp_path / "out", tmp_path / "log", ["bug", "x"])
    assert not ray.is_initialized()


def test_no_cluster_at_the_address(tmp_path):
    done = stage(tmp_path, "out", ["x"], "127.0.0.1:1")
    said, _ = done.communicate(timeout=120)
    assert done.returncode == 1
    assert "no Ray cluster answers" in said
    assert "Traceback" not in said
