"""How fast footage was tracked, from what was noted when each result was made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import works

from castfield.clip import Track
from castfield.shards import Job, Step
from castfield.tracking.pace import pace
from castfield.work import TOOK


@pytest.fixture(autouse=True)
def _own_scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "scratch"))


def _track(path: Path, frames: int) -> None:
    nothing = [np.zeros((frames, *shape), np.float32) for shape in ((2,), (3, 3), (3,))]
    Track(np.zeros(4, np.float32), *nothing, 300.0, 256, np.ones(frames, bool), np.zeros((frames, 478, 2), np.float32)).save(path)


def _noted(stage: str, seconds: dict[str, float], params: object = None) -> Step:
    """A step whose results took so long."""
    step = Step(stage, works.work, [Job(clip, {}, params) for clip in seconds])
    for clip, store in step.stores().items():
        store.mkdir()
        (store / TOOK).write_text(f"{seconds[clip]}\n")
    return step


def test_seconds_of_all_steps_over_the_length_of_the_footage(tmp_path):
    _track(tmp_path / "a.npz", 75)
    _track(tmp_path / "b.npz", 125)
    steps = [_noted("one", {"a": 1.0, "b": 3.0, "left out later": 99.0}), _noted("two", {"a": 2.0, "b": 4.0})]
    assert pace(steps, tmp_path, 1) == {"realtime_ratio": 10 / 8}
    assert pace(steps, tmp_path, 2) == {"realtime_ratio": 5 / 8}
    assert pace(steps, tmp_path, 16) == {"realtime_ratio": 5 / 8}, "two clips keep two workers busy"


def test_what_is_not_known_is_not_told(tmp_path):
    _track(tmp_path / "a.npz", 25)
    made = _noted("one", {"a": 1.0})
    others = made._replace(jobs=[Job("a", {}, "of other parameters")])
    assert pace([made, others], tmp_path, 2) == {}
