"""Feature planes in canonical head space: three axis-aligned planes in place of a volume (Chan et al. 2022, EG3D).

The frontal plane (x, y) has r x r texels, the two side planes (z, y) and (z, x) a quarter of that in depth: footage of a
face says much about where things are in the picture and little about how deep.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BOX_LOW = (-0.17, -0.22, -0.14)
BOX_HIGH = (0.17, 0.19, 0.15)
"""Corners of the canonical box in metres: what a head with hair and neck fills (see `castfield.geometry` for the axes)."""
CELLS = 48
"""Cells along each side of the box for what is known coarsely: proposal and prior of the density."""


def cell_centres(jitter: Tensor | None = None) -> Tensor:
    """Centres (48^3, 3) of the box's cells in metres, z slowest; jitter (48^3, 3) in [0, 1) moves each within its cell."""
    axis = torch.arange(CELLS, dtype=torch.float32)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    share = (torch.stack([x, y, z], -1).reshape(-1, 3) + (0.5 if jitter is None else jitter)) / CELLS
    low, high = torch.tensor(BOX_LOW), torch.tensor(BOX_HIGH)
    return low + share * (high - low)


def to_unit(points: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Points (..., 3) in the box -> [-1, 1]^3."""
    return (points - low) * (2 / (high - low)) - 1


def depth_texels(resolution: int) -> int:
    """Texels of a side plane along z."""
    return max(4, resolution // 4)


class PlaneLevel(nn.Module):
    """The planes of one resolution: `front` (C, r, r) over (y, x), `side` (2, C, r, r/4) over (y, z) and (x, z)."""

    def __init__(self, channels: int, resolution: int, spread: float = 0.05) -> None:
        super().__init__()
        deep = depth_texels(resolution)
        self.front = nn.Parameter(torch.randn(channels, resolution, resolution) * spread)
        self.side = nn.Parameter(torch.randn(2, channels, resolution, deep) * spread)


def look_up(front: Tensor, side: Tensor, unit: Tensor) -> Tensor:
    """Sum of the three bilinear look-ups.

    front (B, C, r, r), side (B, 2, C, r, q), unit (B, P, 3) in [-1, 1] -> (B, P, C). Outside the box the border continues.
    """
    batch, channels = front.shape[:2]
    sample = torch.nn.functional.grid_sample
    frontal = sample(front, unit[:, None, :, :2], padding_mode="border", align_corners=False)
    x, y, z = unit.unbind(-1)
    places = torch.stack([torch.stack([z, y], -1), torch.stack([z, x], -1)], 1).flatten(0, 1)[:, None]
    sides = sample(side.flatten(0, 1), places, padding_mode="border", align_corners=False)
    total = frontal[:, :, 0] + sides.reshape(batch, 2, channels, -1).sum(1)
    return total.transpose(1, 2)
