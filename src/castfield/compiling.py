"""python -m castfield.compiling: compiles the CPU kernels of the default field once, so that no run waits for it (`make setup`)."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from castfield.bench.memory import blank_clip
from castfield.bench.trials import trial
from castfield.config import Config
from castfield.rendering.animate import render_frames
from castfield.systems.frontal import frontal_view
from castfield.systems.shape import from_nearest


def compile_kernels() -> float:
    """Train a step and render a frame of nothing much; the seconds that took."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        clip = blank_clip(0, Path(folder))
        model = trial(Config(), [clip], None, 1, title="compiling").model
        one, track = slice(0, 1), clip.track
        poses = track.expression[one], track.rotation[one], track.translation[one]
        render_frames(model, clip.clip, *poses, clip.focal, np.zeros((1, 32, 32, 3), np.uint8))
        from_nearest(*torch.zeros(3, 1, 3))
        frontal_view(clip, torch.zeros(2, 2), 2)
    return time.monotonic() - began


if __name__ == "__main__":
    print(f"compiled the kernels in {compile_kernels():.0f} s")
