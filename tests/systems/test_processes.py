"""Training in several processes: the same result as in one, the same bits every time, also where processes are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from trained_together import CLIPS, config_for

from castfield.config import Config, WorkConfig
from castfield.errors import TrainingError
from castfield.layout import Layout
from castfield.rendering.animate import render_frames
from castfield.systems import Model, load_model, train
from castfield.training.launch import together
from castfield.training.loop import psnr

STEPS = {"grid": 100, "mlp": 30}


def start(out: Path, *kinds: str) -> subprocess.Popen:
    """`trained_together.py` in two processes."""
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join([str(tests.parent / "src"), str(tests)])
    command = [sys.executable, str(Path(__file__).with_name("trained_together.py")), str(out), "2", *kinds]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """Trained in two processes: `grid`, `again` (the same once more) and `mlp`."""
    out = tmp_path_factory.mktemp("two")
    kinds = [f"grid:grid:{STEPS['grid']}", f"again:grid:{STEPS['grid']}", f"mlp:mlp:{STEPS['mlp']}"]
    assert start(out, *kinds).wait(120) == 0
    return out


def held_out_psnr(model: Model) -> list[float]:
    """PSNR of the held-out frames of each clip, decibels."""
    found = []
    for clip in CLIPS:
        held = np.concatenate([clip.split.end, clip.split.speech])
        poses = [values[held] for values in (clip.track.expression, clip.track.rotation, clip.track.translation)]
        frames, _ = render_frames(model, clip.clip, *poses, clip.focal, clip.background[held])
        found.append(psnr(float(((frames / 255.0 - clip.frames[held] / 255.0) ** 2).mean())))
    return found


@pytest.mark.parametrize("field", ["grid", "mlp"])
def test_one_process_and_two_give_the_same_loss_and_metrics(field, two, tmp_path, monkeypatch):
    """One process of two threads, two of one. Where PyTorch multiplies matrices with MKL the bits are the same."""
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path))
    model, one = train(config_for(field, STEPS[field]), CLIPS, tmp_path)
    report = json.loads((two / field / "report.json").read_text())
    assert [row["step"] for row in report["curve"]] == [row["step"] for row in one["curve"]]
    assert [row["loss"] for row in report["curve"]] == pytest.approx([row["loss"] for row in one["curve"]], abs=1e-6)
    assert report["train_psnr"] == one["train_psnr"]
    np.testing.assert_allclose(held_out_psnr(load_model(two / field)), held_out_psnr(model), atol=1e-3)
    if torch.backends.mkl.is_available():
        assert (tmp_path / "model.pt").read_bytes() == (two / field / "model.pt").read_bytes()


def test_two_processes_give_the_same_bits_every_time(two):
    assert (two / "grid/model.pt").read_bytes() == (two / "again/model.pt").read_bytes()


def test_killed_processes_begin_again_and_end_with_the_same_bits(two, tmp_path):
    """Real kill -9, first of the process that follows, then of the one that leads and writes the checkpoints."""
    run = start(tmp_path, f"grid:grid:{STEPS['grid']}")
    for attempt, victim in enumerate((1, 0), 1):
        while True:
            begun = sorted(tmp_path.glob(f"processes/{victim}-*"), key=lambda p: p.stat().st_mtime)
            saved = list(tmp_path.glob("grid/scratch/checkpoints/train/*/state.pt"))
            if len(begun) == attempt and saved and saved[0].stat().st_mtime > begun[-1].stat().st_mtime:
                break
            assert run.poll() is None
            time.sleep(0.01)
        os.kill(int(begun[-1].name.split("-")[1]), signal.SIGKILL)
        assert not (tmp_path / "grid/model.pt").exists(), "it was killed before it had finished"
    assert run.wait(120) == 0
    assert len(list(tmp_path.glob("processes/*"))) == 6, "both were started three times"
    assert (tmp_path / "grid/model.pt").read_bytes() == (two / "grid/model.pt").read_bytes()


def refusing(config: Config, layout: Layout) -> None:
    """A stage that cannot be done."""
    with open(layout.root / "attempts", "a") as attempts:
        attempts.write("x")
    raise TrainingError("a made refusal", cure="nothing")


def test_a_refusal_comes_home_and_is_not_tried_again(tmp_path):
    config = Config(work=WorkConfig(training_processes=2))
    with pytest.raises(TrainingError, match="a made refusal\n  what to do: nothing"):
        together(refusing)(replace(config, train=replace(config.train, device="cpu")), Layout(tmp_path))
    assert (tmp_path / "attempts").read_text() == "xx"
