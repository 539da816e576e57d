"""What the head masks of a clip leave of canonical space: the visual hull over its training frames."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from castfield.fields.planes import CELLS
from castfield.geometry import project
from castfield.images import ClipImages, grow

VIEWS = 24
"""Training frames that are looked at, evenly spread."""
SHARE = 0.25
"""A cell belongs to the hull when it lies in the grown mask of this share of them: a jaw is open only now and then."""


def visual_hull(clip: ClipImages, centres: Tensor) -> Tensor:
    """Which of the cells `centres` (48^3, 3) metres a clip's training masks allow: (48^3,) bool, grown by a cell."""
    frames = clip.train_frames[np.unique(np.linspace(0, len(clip.train_frames) - 1, VIEWS).round().astype(int))]
    votes = torch.zeros(len(centres))
    for frame in frames:
        rotation = torch.from_numpy(np.asarray(clip.track.rotation[frame], np.float32))
        translation = torch.from_numpy(np.asarray(clip.track.translation[frame], np.float32))
        middle = torch.full((2,), clip.size / 2)
        at = project(centres, rotation, translation, torch.tensor(clip.focal, dtype=torch.float32), middle)
        column, line = at.floor().long().clamp(0, clip.size - 1).unbind(-1)  # what leaves the picture continues its edge
        votes += torch.from_numpy(grow(clip.head[frame]))[line, column]
    inside = (votes >= SHARE * len(frames)).float().reshape(1, 1, CELLS, CELLS, CELLS)
    return torch.nn.functional.max_pool3d(inside, 3, 1, 1).reshape(-1) > 0
