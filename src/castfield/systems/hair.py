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
    bare, cut = (each.view(CELLS, CELLS, CELLS).numpy() for each in (distance, beyond))
    share = np.append(hair_share(rig), np.float32(0))[nearest.numpy()].reshape(bare.shape)  # of none, the last one is taken
    grown = bare - thickness(distance, share, cut < 0)[None] * share
    # What the masks hold beside all that goes round the depth at which the head is nearest.
    apart = depths()[:, None, None] - depths()[front_cells(torch.from_numpy(grown))]
    beside = (grown.min(0) >= 0) & (bare.min(0) < REACH)
    layer = beside & (cut < 0) & (apart < FORWARD) & (apart > -BACK)
    grown = np.where(layer, np.minimum(grown, np.float32(-1 / SLOPE)), grown)
    return torch.from_numpy(np.maximum(grown, cut)).view(-1)


def thickness(distance: Tensor, share: np.ndarray, held: np.ndarray) -> np.ndarray:
    """How thick hair stands, metres, by lines of cells along z: (48, 48) of y and x, float32.

    distance (48^3,) from the bare head; share (48, 48, 48) of a full thickness that each cell's place on the head has; held (48, 48, 48)
    bool: what the masks hold.
    """
    cells, at = distance.view(CELLS, CELLS, CELLS).numpy(), front_cells(distance)[None]
    least = cells.min(0)
    x, y = (cell_centres()[: CELLS * CELLS, axis].view(CELLS, CELLS).numpy() for axis in (0, 1))
    skull = (least < 0) & (y > 0)
    if not skull.any():
        return np.zeros((CELLS, CELLS), np.float32)
    turn = (np.arctan2(x - x[skull].mean(), y - y[skull].mean()) / (2 * np.pi) + 0.5) * SECTORS
    holds, full = (np.take_along_axis(each, at, 0)[0] for each in (held, share))
    beside = (least >= 0) & (least < REACH) & holds & (full > 0.3)
    thick = np.zeros(SECTORS)
    np.maximum.at(thick, turn[beside].astype(int) % SECTORS, least[beside])
    thick = np.minimum(gaussian_filter1d(thick, SMOOTH, mode="wrap"), THICKEST)
    return np.interp(turn, np.arange(-1, SECTORS + 1) + 0.5, np.pad(thick, 1, mode="wrap")).astype(np.float32)


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
