"""Feature planes in canonical head space: three axis-aligned planes in place of a volume (Chan et al. 2022, EG3D).

The frontal plane (x, y) has r x r texels, the two side planes (z, y) and (z, x) a quarter of that in depth: footage of a
face says much about where things are in the picture and little about how deep.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from castfield.fields.fast import cpu_kernels

BOX_LOW = (-0.17, -0.22, -0.14)
BOX_HIGH = (0.17, 0.19, 0.15)
"""Corners of the canonical box in metres: what a head with hair and neck fills (see `castfield.geometry` for the axes)."""
CELLS = 48
"""Cells along each side of the box for what is known coarsely: proposal and prior of the density."""


@cache
def _cells() -> tuple[Tensor, Tensor]:
    """Centres (48^3, 3) of all cells in metres, z slowest, and a cell's sides (3,)."""
    axis = torch.arange(CELLS, dtype=torch.float32) + 0.5
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    low, sides = torch.tensor(BOX_LOW), (torch.tensor(BOX_HIGH) - torch.tensor(BOX_LOW)) / CELLS
    return low + torch.stack([x, y, z], -1).reshape(-1, 3) * sides, sides


def cell_centres() -> Tensor:
    """Centres (48^3, 3) of the box's cells in metres, z slowest."""
    return _cells()[0]


def places_in(cells: Tensor, within: Tensor) -> Tensor:
    """Places (N, 3) in metres in some of the cells, (N,) as `cell_centres` counts them; within (N, 3) in [0, 1): where in each."""
    centres, sides = _cells()
    return centres[cells] + (within - 0.5) * sides


def to_unit(points: Tensor) -> Tensor:
    """Points (..., 3) of the box in metres -> [-1, 1]^3."""
    low, high = points.new_tensor(BOX_LOW), points.new_tensor(BOX_HIGH)
    return (points - low) * (2 / (high - low)) - 1


def depth_texels(resolution: int) -> int:
    """Texels of a side plane along z."""
    return max(4, resolution // 4)


def texels(resolutions: Sequence[int]) -> int:
    """Texels of one set of planes (texels, C): per level the frontal plane, then the side planes over (y, z) and (x, z), line by line."""
    return sum(r * (r + 2 * depth_texels(r)) for r in resolutions)


def look_up(planes: Tensor, unit: Tensor, resolutions: Sequence[int]) -> Tensor:
    """Per level the sum of the three bilinear look-ups: planes (B, texels, C), unit (B, P, 3) in [-1, 1] -> (B, P, levels x C).

    Outside the box the border continues.
    """
    sample = torch.nn.functional.grid_sample
    batch, _, channels = planes.shape
    x, y, z = unit.unbind(-1)
    features, start = [], 0
    for r in resolutions:
        q = depth_texels(r)
        found = unit.new_zeros(batch, channels, unit.shape[1])
        for u, v, columns in ((x, y, r), (z, y, q), (z, x, q)):
            plane = planes[:, start : start + r * columns].unflatten(1, (r, columns)).permute(0, 3, 1, 2)
            start += r * columns
            found = found + sample(plane, torch.stack([u, v], -1)[:, None], padding_mode="border", align_corners=False)[:, :, 0]
        features.append(found.transpose(1, 2))
    return torch.cat(features, -1)


def look_up_all(people: Sequence[Tensor], resolutions: Sequence[int], moved: Tensor, moved_resolution: int, unit: Tensor) -> Tensor:
    """Features (B, P, (levels + 1) C) of points in B frames of G people, B / G consecutive frames each.

    people: G sets of planes (texels, C); moved (B, texels', C): one further level that differs from frame to frame; unit (B, P, 3).
    """
    grouped = unit.reshape(len(people), -1, 3)
    own = look_up(torch.stack(list(people)), grouped, resolutions).reshape(*unit.shape[:2], -1)
    return torch.cat([own, look_up(moved, unit, (moved_resolution,))], -1)


def look_up_grid(grids: Tensor, which: Tensor, unit: Tensor) -> Tensor:
    """Trilinear look-up without gradients in grids (people, D, D, D), float16, of the people `which` (G,).

    unit (B, P, 3), grouped -> (B, P).
    """
    grouped = unit.detach().reshape(len(which), -1, 3)
    if fast := cpu_kernels(unit):
        found = unit.new_empty(unit.shape[:2])
        fast.trilinear(grouped.flatten(0, 1).numpy(), which.numpy(), grids.numpy().view(np.uint16), found.flatten().numpy())
        return found
    sample = torch.nn.functional.grid_sample
    return sample(grids[which].to(unit)[:, None], grouped[:, None, None], padding_mode="border", align_corners=False).reshape(
        unit.shape[:2]
    )
