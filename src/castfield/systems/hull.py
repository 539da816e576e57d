"""What the head masks of a clip leave of canonical space, over its training frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
"""What a vote of the grown mask counts: more than all votes of the mask itself, which are at most 255 each. All fit into 16 bits."""


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
    masks = np.moveaxis(clip.head[frames], 0, -1).copy()  # as channels, so that all are worked on at once
    width = RIM * clip.focal / max(cameras[:, 2, 3].mean(), RIM)
    says = _soft(masks, width) + np.uint16(GROWN) * grow(masks)
    says = np.moveaxis(says, -1, 0).copy()
    inside, beyond = _vote(says, cameras.astype(np.float32), [axis.numpy() for axis in axes])
    return Hull(_grown(inside).view(-1), beyond.view(-1))


def _soft(masks: np.ndarray, width: float) -> np.ndarray:
    """Masks (S, S, F) uint8 with edges about so many pixels wide; beyond the picture their border goes on."""
    import cv2

    pixels = 1 + 2 * round(max(0.0, width - 1) / 2)
    return cv2.blur(masks, (pixels, pixels), borderType=cv2.BORDER_REPLICATE).reshape(masks.shape)


def _vote(says: np.ndarray, cameras: np.ndarray, axes: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """What pictures (F, S, S) uint16 say where the cells lie in them, both (D, D, D) of z, y and x: whether grown masks hold a cell, bool,
    and how far beyond what masks hold it lies, metres. The pictures' edges go on.

    cameras (F, 3, 4) float32: from metres to homogeneous pixels; axes: the cells' x, y and z (D,).
    """
    needed, full = math.ceil(GROWN * SHARE * len(says)), np.float32(255 * len(says))
    if has_kernels():
        from castfield.systems import hull_kernels as kernels

        held, beyond = (np.empty([len(axis) for axis in axes[::-1]], kind) for kind in (bool, np.float32))
        kernels.vote(says, cameras, *axes, np.float32(NEAR), needed, GROWN - 1, full, np.float32(BEYOND), held, beyond)
        return torch.from_numpy(held), torch.from_numpy(beyond)
    x, y, z = (torch.from_numpy(axis) for axis in axes)
    votes = torch.zeros(len(z), len(y), len(x), dtype=torch.int32)
    for camera, picture in zip(torch.from_numpy(cameras), torch.from_numpy(says.astype(np.int32)), strict=True):
        # Where a grid lies in the camera is the sum of what its axes add: far fewer products than its points take one by one.
        layer = torch.stack([a * x + b * y[:, None] for a, b, _, _ in camera])
        line = torch.stack([c * z + d for _, _, c, d in camera])
        across, down, depth = layer[:, None] + line[:, :, None, None]
        depth.clamp_min_(NEAR)
        column, row = ((at / depth).clamp_(0, len(picture) - 1).int() for at in (across, down))
        votes += picture.view(-1).index_select(0, (row * len(picture) + column).view(-1)).view_as(votes)
    share = (votes & (GROWN - 1)).numpy().astype(np.float32) / full
    return votes >= needed, torch.from_numpy((np.float32(0.5) - share) * np.float32(BEYOND))


def _grown(inside: Tensor) -> Tensor:
    """Cells (48, 48, 48) bool and those beside them."""
    if has_kernels():
        from castfield.systems import hull_kernels as kernels

        kernels.grow(inside.numpy())
        return inside
    for axis in range(3):  # a cube is the product of three lines
        own, inside = inside, inside.clone()
        for to, source in ((0, 1), (1, 0)):
            inside.narrow(axis, to, CELLS - 1).logical_or_(own.narrow(axis, source, CELLS - 1))
    return inside
