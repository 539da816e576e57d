"""Hair, which a fitted mesh has none of: how thick it stands on the scalp is told by how far the masks hold more than the mesh.

From the front that shows at the rim of the head only, by direction; it is taken to be as thick over the scalp in front of the rim and
behind it. A head that nods moves its hair by as much as it lies before the neck's pivot, so depth counts as much as the outline.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree
from torch import Tensor

from castfield.fields.fast import has_kernels
from castfield.fields.planes import CELLS, cell_centres
from castfield.rigs import Rig
from castfield.systems.shape import SLOPE, depths, front_cells

BALD = ("skin", "brows", "ears", "neck")
"""Parts on which no hair grows."""
FADE = 0.03
"""Metres from these parts over which hair comes to its full thickness."""
SECTORS, SMOOTH = 48, 1.5
"""Directions round the head by which its thickness is told, and over how many of them it is smoothed."""
THICKEST = 0.05
"""Metres that hair stands off the scalp at most."""
REACH = 0.08
"""How far beside the fitted head, metres, hair may lie that only the masks tell of, as where it falls on shoulders."""
FORWARD, BACK = 0.01, 0.05
"""How far it goes forwards and backwards from there, metres: a wall before the rim of a face would slide over it as it turns."""


def with_hair(rig: Rig, distance: Tensor, nearest: Tensor, beyond: Tensor) -> Tensor:
    """The distances (48^3,) of a head with hair, and without what the masks do not hold.

    distance, nearest: as `shape.head_distance` gives them; beyond (48^3,) metres: as in `hull.Hull`.
    """
    bare, cut, vertex = (each.view(CELLS, CELLS, CELLS).numpy() for each in (distance, beyond, nearest))
    at, least = front_cells(distance)
    share = np.append(hair_share(rig), np.float32(0))  # of none, the last one is taken
    lines, columns = np.ogrid[:CELLS, :CELLS]
    held, full = cut[at, lines, columns], vertex[at, lines, columns]
    thick, grown = thickness(least, share[full], held < 0), np.empty_like(bare)
    grow(bare, vertex, share, thick, grown)
    # What the masks hold beside all that goes round the depth at which the head is nearest.
    at, nearer = front_cells(torch.from_numpy(grown).view(-1))
    hang(cut, depths()[at], (nearer >= 0) & (least < REACH), grown)
    return torch.from_numpy(grown).view(-1)


def grow(bare: np.ndarray, nearest: np.ndarray, share: np.ndarray, thick: np.ndarray, grown: np.ndarray) -> None:
    """Write to grown (48, 48, 48) the distances from a head with hair.

    bare: those without; nearest: the vertices next to the cells, of which share (V,) says how much of the thickness thick (48, 48) of y and
    x hair has there.
    """
    if has_kernels():
        from castfield.systems import hair_kernels as kernels

        kernels.grow(bare, nearest, share, thick, grown)
        return
    grown[:] = bare - thick[None] * share[nearest]


def hang(cut: np.ndarray, depth: np.ndarray, beside: np.ndarray, distance: np.ndarray) -> None:
    """Have in distance (48, 48, 48) hair at this depth (48, 48) of y and x, metres, where it lies beside the head (48, 48) bool and masks
    hold it; and nothing where they do not: cut (48, 48, 48) says how far beyond them it is."""
    if has_kernels():
        from castfield.systems import hair_kernels as kernels

        kernels.hang(cut, depth, beside, depths(), np.float32(FORWARD), np.float32(-BACK), np.float32(-1 / SLOPE), distance)
        return
    apart = depths()[:, None, None] - depth
    layer = beside & (cut < 0) & (apart < FORWARD) & (apart > -BACK)
    distance[:] = np.maximum(np.where(layer, np.minimum(distance, np.float32(-1 / SLOPE)), distance), cut)


def thickness(least: np.ndarray, full: np.ndarray, held: np.ndarray) -> np.ndarray:
    """How thick hair stands, metres, by lines of cells along z: (48, 48) of y and x, float32.

    least: the bare head's least distance along each line. Where its front is or, beside it, where the head is nearest: full, the share of
    a full thickness that hair has on that place of the head, and held, bool, whether the masks hold it. All (48, 48).
    """
    x, y = (cell_centres()[: CELLS * CELLS, axis].view(CELLS, CELLS).numpy() for axis in (0, 1))
    skull = (least < 0) & (y > 0)
    if not skull.any():
        return np.zeros((CELLS, CELLS), np.float32)
    turn = (np.arctan2(x - x[skull].mean(), y - y[skull].mean()) / (2 * np.pi) + 0.5) * SECTORS
    beside = (least >= 0) & (least < REACH) & held & (full > 0.3)
    thick = np.zeros(SECTORS)
    np.maximum.at(thick, turn[beside].astype(int) % SECTORS, least[beside])
    thick = np.minimum(gaussian_filter1d(thick, SMOOTH, mode="wrap"), THICKEST)
    return np.interp(turn, np.arange(-1, SECTORS + 1) + 0.5, np.concatenate([thick[-1:], thick, thick[:1]])).astype(np.float32)


def hair_share(rig: Rig) -> np.ndarray:
    """(V,) of the head's vertices: 1 where hair stands as thick as it does beside the head, falling to 0 where the scalp ends."""
    return _share(rig.neutral, rig.parts, tuple(rig.part_names))


@lru_cache(maxsize=1)
def _share(neutral: Tensor, parts: Tensor, names: tuple[str, ...]) -> np.ndarray:
    """Kept: a cast has one rig."""
    scalp, bald = (np.isin(parts.numpy(), [names.index(name) for name in some if name in names]) for some in (("scalp",), BALD))
    if not scalp.any() or not bald.any():
        return scalp.astype(np.float32)
    apart = cKDTree(neutral.numpy()[bald]).query(neutral.numpy())[0]
    return np.where(scalp, np.clip(apart / FADE, 0, 1), 0).astype(np.float32)
