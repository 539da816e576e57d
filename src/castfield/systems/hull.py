"""What the head masks of a clip leave of canonical space, over its training frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from castfield.fields.fast import has_kernels
from castfield.fields.planes import CELLS
from castfield.images import ClipImages, grow

VIEWS = 12
"""Training frames that are looked at, evenly spread."""
SHARE = 0.25
"""A cell belongs to the hull when it lies in the grown mask of this share of them: a jaw is open only now and then."""
RIM = 0.012
"""Width of a mask's edge, metres, from what is surely held to what is surely not."""
BEYOND = 0.065
"""Metres by which `Hull.beyond` rises across it: what is surely held is deep within a head, what is surely not is air, as `shape.SLOPE` has
them."""
NEAR = 1e-3
"""Metres before the camera where cells are taken to lie that lie nearer, or behind it."""
GROWN = 1 << 12
"""What a vote of the grown mask counts: more than all votes of the mask itself, which are at most 255 each."""


@dataclass(frozen=True)
class Hull:
    """What masks say of the box's cells."""

    inside: Tensor
    """(48^3,) bool: cells that may hold the head, grown by a cell."""
    beyond: Tensor
    """(48^3,) metres by which they count as outside of what masks hold in the mean, negative within; up to BEYOND / 2 either way."""

    @property
    def possible(self) -> Tensor:
        """(48^3,) bool: cells inside that are not surely beyond what masks hold."""
        return self.inside & (self.beyond < BEYOND / 2)


def visual_hull(clip: ClipImages, centres: Tensor) -> Hull:
    """What a clip's training masks say of the cells `centres` (48^3, 3) metres."""
    frames = clip.spread_train_frames(VIEWS)
    cameras = clip.cameras(frames)
    grid = centres.view(CELLS, CELLS, CELLS, 3)
    axes = grid[0, 0, :, 0].contiguous(), grid[0, :, 0, 1].contiguous(), grid[:, 0, 0, 2].contiguous()
    votes = torch.zeros(CELLS, CELLS, CELLS, dtype=torch.int32)
    says = np.empty((len(frames), clip.size, clip.size), np.int32)
    for each, mask, away in zip(says, clip.head[frames], cameras[:, 2, 3], strict=True):
        each[:] = _soft(mask, RIM * clip.focal / max(away, RIM)) + GROWN * grow(mask)
    _vote(torch.from_numpy(says), torch.from_numpy(cameras).float(), axes, votes)
    inside = _grown(votes >= GROWN * SHARE * len(frames)).view(-1)
    held = (votes & (GROWN - 1)).float() / (255 * len(frames))
    return Hull(inside, ((0.5 - held) * BEYOND).view(-1))


def _soft(mask: np.ndarray, width: float) -> np.ndarray:
    """A mask (S, S) uint8 with edges about so many pixels wide; beyond the picture its border goes on."""
    import cv2

    pixels = 1 + 2 * round(max(0.0, width - 1) / 2)
    return cv2.blur(mask, (pixels, pixels), borderType=cv2.BORDER_REPLICATE)


def _vote(says: Tensor, cameras: Tensor, axes: tuple[Tensor, Tensor, Tensor], votes: Tensor) -> None:
    """Add to votes (D, D, D) int32 of z, y and x what pictures (F, S, S) int32 say where the cells lie in them; their edges go on.

    cameras (F, 3, 4) float32: from metres to homogeneous pixels; axes: the cells' x, y and z (D,).
    """
    if has_kernels():
        from castfield.systems.shape_kernels import vote

        vote(says.numpy(), cameras.numpy(), *(axis.numpy() for axis in axes), np.float32(NEAR), votes.numpy())
        return
    x, y, z = axes
    for camera, picture in zip(cameras, says, strict=True):
        # Where a grid lies in the camera is the sum of what its axes add: far fewer products than its points take one by one.
        layer = torch.stack([a * x + b * y[:, None] for a, b, _, _ in camera])
        line = torch.stack([c * z + d for _, _, c, d in camera])
        across, down, depth = layer[:, None] + line[:, :, None, None]
        depth.clamp_min_(NEAR)
        column, row = ((at / depth).clamp_(0, len(picture) - 1).int() for at in (across, down))
        votes += picture.view(-1).index_select(0, (row * len(picture) + column).view(-1)).view_as(votes)


def _grown(inside: Tensor) -> Tensor:
    """Cells (48, 48, 48) bool and those beside them."""
    for axis in range(3):  # a cube is the product of three lines
        own, inside = inside, inside.clone()
        for to, source in ((0, 1), (1, 0)):
            inside.narrow(axis, to, CELLS - 1).logical_or_(own.narrow(axis, source, CELLS - 1))
    return inside
