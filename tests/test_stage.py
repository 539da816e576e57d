"""How a stage script starts and ends: help, and one message with exit status 1 for what a user can mend."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT


def stage(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "CASTFIELD_SCRATCH": str(folder / "scratch")}
    return subprocess.run(
        [sys.executable, str(ROOT / "stages" / f"{name}.py"), *arguments], cwd=folder, env=env, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", ["download", "frames", "audio"])
def test_help_is_the_command_that_runs_it(name, tmp_path):
    assert stage(name, tmp_path, "--help").stdout.startswith(f"python stages/{name}.py\n")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ("modul: H\n", ["ConfigError: unknown key 'modul'", "did you mean 'module'?"]),
        ("module: HH\n", ["ConfigError: no such choice 'HH'", "baseline"]),
        ("dataset: gird\n", ["ManifestError: no manifest for the data set 'gird'", "did you mean 'grid'?"]),
        ("dataset: people\n", ["ManifestError: not a usable clip name", "'../x'"]),
    ],
)
def test_a_fault_is_one_message_and_nothing_is_lost(params, words, tmp_path):
    (tmp_path / "params.yaml").write_text(params)
    (tmp_path / "data/manifests").mkdir(parents=True)
    (tmp_path / "data/manifests/grid.yaml").write_text("clips: []\n")
    (tmp_path / "data/manifests/people.yaml").write_text("clips: [{name: ../x, cast: ada}]\n")
    (tmp_path / "data/raw").mkdir()
    (tmp_path / "data/raw/ann.mp4").write_bytes(b"of an earlier run")
    done = stage("download", tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert [p.name for p in (tmp_path / "data/raw").iterdir()] == ["ann.mp4"]


def test_a_stage_without_the_one_before_it_says_what_to_run(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    done = stage("frames", tmp_path)
    assert done.returncode == 1
    assert "a stage finds no clips" in done.stderr
    assert "dvc repro" in done.stderr
