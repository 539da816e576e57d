"""What the head masks of a clip leave of canonical space: the visual hull over its training frames."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from castfield.fields.planes import CELLS
from castfield.images import ClipImages, grow

VIEWS = 24
"""Training frames that are looked at, evenly spread."""
SHARE = 0.25
"""A cell belongs to the hull when it lies in the grown mask of this share of them: a jaw is open only now and then."""


def visual_hull(clip: ClipImages, centres: Tensor) -> Tensor:
    """Which of the cells `centres` (48^3, 3) metres a clip's training masks allow: (48^3,) bool, grown by a cell."""
    frames = clip.train_frames[np.unique(np.linspace(0, len(clip.train_frames) - 1, VIEWS).round().astype(int))]
    grid = centres.view(CELLS, CELLS, CELLS, 3)
    x, y, z = grid[0, 0, :, 0], grid[0, :, 0, 1, None], grid[:, 0, 0, 2, None, None]
    votes, last = torch.zeros(len(centres), dtype=torch.uint8), clip.size - 1
    lens = np.array([[clip.focal, 0, clip.size / 2], [0, clip.focal, clip.size / 2], [0, 0, 1]])
    for frame in frames:
        # Where a grid lies in the camera is the sum of what its axes add: far fewer products than its points take one by one.
        camera = lens @ np.column_stack([clip.track.rotation[frame], clip.track.translation[frame]])
        across, down, depth = (a * x + b * y + (c * z + d) for a, b, c, d in camera.tolist())
        depth.clamp_min_(1e-3)
        column, line = ((at / depth).clamp_(0, last).int() for at in (across, down))  # what leaves the picture continues its edge
        votes += torch.from_numpy(grow(clip.head[frame])).byte().view(-1).index_select(0, (line * clip.size + column).view(-1))
    return _grown((votes >= SHARE * len(frames)).view(CELLS, CELLS, CELLS)).view(-1)


def _grown(inside: Tensor) -> Tensor:
    """Cells (48, 48, 48) bool and those beside them."""
    for axis in range(3):  # a cube is the product of three lines
        own, inside = inside, inside.clone()
        for to, source in ((0, 1), (1, 0)):
            inside.narrow(axis, to, CELLS - 1).logical_or_(own.narrow(axis, source, CELLS - 1))
    return inside
