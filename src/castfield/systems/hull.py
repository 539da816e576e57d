"""What the head masks of a clip leave of canonical space: the visual hull over its training frames."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from castfield.fields.fast import has_kernels
from castfield.fields.planes import CELLS
from castfield.images import ClipImages, grow

VIEWS = 24
"""Training frames that are looked at, evenly spread."""
SHARE = 0.25
"""A cell belongs to the hull when it lies in the grown mask of this share of them: a jaw is open only now and then."""
NEAR = 1e-3
"""Metres before the camera where cells are taken to lie that lie nearer, or behind it."""


def visual_hull(clip: ClipImages, centres: Tensor) -> Tensor:
    """Which of the cells `centres` (48^3, 3) metres a clip's training masks allow: (48^3,) bool, grown by a cell."""
    frames = clip.train_frames[np.unique(np.linspace(0, len(clip.train_frames) - 1, VIEWS).round().astype(int))]
    grid = centres.view(CELLS, CELLS, CELLS, 3)
    axes = grid[0, 0, :, 0].contiguous(), grid[0, :, 0, 1].contiguous(), grid[:, 0, 0, 2].contiguous()
    votes = torch.zeros(CELLS, CELLS, CELLS, dtype=torch.uint8)
    lens = np.array([[clip.focal, 0, clip.size / 2], [0, clip.focal, clip.size / 2], [0, 0, 1]])
    for frame in frames:
        camera = lens @ np.column_stack([clip.track.rotation[frame], clip.track.translation[frame]])
        _vote(torch.from_numpy(grow(clip.head[frame])).byte(), torch.from_numpy(camera).float(), axes, votes)
    return _grown(votes >= SHARE * len(frames)).view(-1)


def _vote(mask: Tensor, camera: Tensor, axes: tuple[Tensor, Tensor, Tensor], votes: Tensor) -> None:
    """Add mask (S, S) uint8 to votes (D, D, D) of z, y and x where the cells lie in it; what leaves the picture continues its edge.

    camera (3, 4) float32: from metres to homogeneous pixels; axes: the cells' x, y and z (D,).
    """
    if has_kernels():
        from castfield.systems.shape_kernels import vote

        vote(mask.numpy(), camera.numpy(), *(axis.numpy() for axis in axes), np.float32(NEAR), votes.numpy())
        return
    x, y, z = axes
    # Where a grid lies in the camera is the sum of what its axes add: far fewer products than its points take one by one.
    layer = torch.stack([a * x + b * y[:, None] for a, b, _, _ in camera])
    line = torch.stack([c * z + d for _, _, c, d in camera])
    across, down, depth = layer[:, None] + line[:, :, None, None]
    depth.clamp_min_(NEAR)
    column, row = ((at / depth).clamp_(0, len(mask) - 1).int() for at in (across, down))
    votes += mask.view(-1).index_select(0, (row * len(mask) + column).view(-1)).view_as(votes)


def _grown(inside: Tensor) -> Tensor:
    """Cells (48, 48, 48) bool and those beside them."""
    for axis in range(3):  # a cube is the product of three lines
        own, inside = inside, inside.clone()
        for to, source in ((0, 1), (1, 0)):
            inside.narrow(axis, to, CELLS - 1).logical_or_(own.narrow(axis, source, CELLS - 1))
    return inside
