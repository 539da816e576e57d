"""What each action of the rig moves in one person's head, seen from the front: what `fields.motion` starts from."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from torch import Tensor

from castfield.fields.motion import SIDE
from castfield.fields.planes import BOX_HIGH, BOX_LOW
from castfield.rigs import Rig
from castfield.systems.shape import Surface

MOVING = ("skin", "scalp", "brows", "ears", "neck", "lips")
"""Parts that are seen to move with an expression; eyes look about in their place."""
FACING = 0.15
"""Least z of the normal of a vertex that is seen from the front."""
NEIGHBOURS, NEAR = 6, 0.0015
"""Vertices whose motion a place shares, and metres within which they count alike."""
REACH, FADE = 0.015, 0.045
"""Metres beside the head up to which all moves with its rim, and from which on nothing does."""


def actions(rig: Rig, surface: Surface) -> Tensor:
    """What each action in full adds to x and y of a head at rest at SIDE x SIDE places of the box from the front, (d, SIDE, SIDE, 2) in
    units of [-1, 1]."""
    parts = torch.tensor([rig.part_names.index(name) for name in MOVING if name in rig.part_names])
    chosen = (torch.isin(rig.parts[: len(surface.vertices)], parts) & (surface.normals[:, 2] > FACING)).nonzero()[:, 0]
    low, high = np.array(BOX_LOW), np.array(BOX_HIGH)
    within = (np.arange(SIDE) + 0.5) / SIDE
    y, x = np.meshgrid(*(low[k] + (high[k] - low[k]) * within for k in (1, 0)), indexing="ij")
    tree = cKDTree(surface.vertices[chosen, :2].numpy(), balanced_tree=False, compact_nodes=False)  # looked up in once: built fast
    apart, nearest = tree.query(np.stack([x, y], -1).reshape(-1, 2), NEIGHBOURS, distance_upper_bound=FADE)
    share = 1 / (apart + NEAR) ** 2  # 0 of what is too far away to be found
    share *= np.clip(1 - (apart[:, :1] - REACH) / (FADE - REACH), 0, 1) / share.sum(1, keepdims=True).clip(1e-12)
    rows, moves = np.arange(0, share.size + 1, NEIGHBOURS), _by_vertex(rig.expression_basis)
    columns = np.append(chosen.numpy(), 0)[nearest].ravel()
    mixed = csr_array((share.ravel().astype(np.float32), columns, rows), shape=(len(share), len(moves)))
    return torch.from_numpy(mixed @ moves).view(SIDE, SIDE, -1, 2).permute(2, 0, 1, 3)


@lru_cache(maxsize=1)
def _by_vertex(basis: Tensor) -> np.ndarray:
    """(V, 2 d) x and y of an expression basis (d, V, 3) in units of the box. Kept: a cast has one rig."""
    sides = torch.tensor(BOX_HIGH[:2]) - torch.tensor(BOX_LOW[:2])
    return np.ascontiguousarray((basis[..., :2] * (2 / sides)).permute(1, 0, 2).flatten(1).numpy())
