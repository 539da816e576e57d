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
from castfield.fields.motion import NEIGHBOURS, SIDE
from castfield.fields.planes import CELLS
from castfield.images import ClipImages
from castfield.rendering.animate import render_frames
from castfield.systems import frontal, hair, moving, shape
from castfield.systems.shape import AIR


def compile_kernels() -> float:
    """Train a step and render a frame of nothing much; the seconds that took."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        clip = blank_clip(0, Path(folder))
        model = trial(Config(), [clip], None, 1, title="compiling").model
        one, track = slice(0, 1), clip.track
        poses = track.expression[one], track.rotation[one], track.translation[one]
        render_frames(model, clip.clip, *poses, clip.focal, np.zeros((1, 32, 32, 3), np.uint8))
        _compile_beforehand(clip)
    return time.monotonic() - began


def _compile_beforehand(clip: ClipImages) -> None:
    """What is known of a person from a rig, of which there is none here: each part of it for nothing much."""
    nothing, corners = torch.full((CELLS**3,), AIR), torch.zeros(3, 3)
    one, names = np.zeros((1, 3), np.float32), np.zeros(1, np.int64)
    shape.from_nearest(one, np.zeros(1, np.int32), one, one, names, np.zeros(1, np.float32), np.zeros(1, np.int32))
    shape.some_cubes(np.zeros(CELLS**3, bool))
    shape.vertex_normals(corners, torch.tensor([[0, 1, 2]]))
    shape.density_prior(shape.closed(nothing))
    cells = nothing.view(CELLS, CELLS, CELLS).numpy()
    hair.grow(cells, np.zeros(cells.shape, np.int32), one[0], cells[0], cells.copy())
    hair.hang(cells, cells[0], cells[0] < 0, cells.copy())
    frontal.frontal_view(clip, shape.front(nothing), 2)
    moving.look(one[:, :2], names, np.zeros((SIDE * SIDE, NEIGHBOURS), np.int32), np.zeros((SIDE * SIDE, NEIGHBOURS), np.float32))


if __name__ == "__main__":
    print(f"compiled the kernels in {compile_kernels():.0f} s")
