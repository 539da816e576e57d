"""The table of what tracking costs: a looped clip, a process for each stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from castfield import media as video
from castfield import tracking_study
from castfield.clip import Crop
from castfield.config import LandmarksConfig
from castfield.errors import CastfieldError
from castfield.layout import Layout
from castfield.tracking_study import SOMEBODY, _apart, _looped, _timed


def test_a_looped_clip_and_what_a_stage_takes_of_it(media: Path, tmp_path: Path):
    layout = Layout(tmp_path)
    frames = video.decode(media / "grid/bbaf2n.mpg", filters="crop=288:288,scale=128:128", seconds=1.0)
    video.encode_lossless(layout.frames / f"{SOMEBODY}.mkv", frames)
    Crop((0, 0, 288), 128, (360, 288), 25.0, len(frames), 0.0, False).save(layout.frames / f"{SOMEBODY}.json")
    files = _looped(layout, 3, tmp_path)
    assert np.array_equal(video.decode(files["frames"]), np.concatenate([frames] * 3))
    assert Crop.load(files["crop"]).frames == 75
    seconds, megabytes = _apart(_timed, "landmarks", LandmarksConfig(), files, 3)
    assert files["landmarks"].exists()
    assert 0 < seconds < 10
    assert 50 < megabytes < 4000
    assert set(tracking_study.STAGES) == {"landmarks", "parse", "fit"}


def test_what_is_missing_or_unknown_is_named(tmp_path: Path):
    with pytest.raises(CastfieldError, match="dvc repro frames"):
        _looped(Layout(tmp_path), 3, tmp_path)
    with pytest.raises(CastfieldError, match="cast, identity, focal, speed"):
        tracking_study.main(["speeed"])
