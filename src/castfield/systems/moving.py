"""What each action of the rig moves in one person's head, seen from the front: what `fields.motion` starts from."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from torch import Tensor

from castfield.fields.fast import has_kernels
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
    chosen = np.flatnonzero(_moving(rig.parts, tuple(rig.part_names))[: len(surface.normals)] & (surface.normals[:, 2].numpy() > FACING))
    mixed = torch.empty(len(rig.expression_basis), SIDE, SIDE, 2)
    mix(surface.vertices.numpy()[chosen, :2], chosen, _by_vertex(rig.expression_basis), mixed.numpy())
    return mixed


def mix(vertices: np.ndarray, names: np.ndarray, moves: np.ndarray, mixed: np.ndarray) -> None:
    """Write to mixed (d, SIDE, SIDE, 2) what moves (V, 2 d) of vertices at (W, 2), metres, whose names among these are names (W,), mean."""
    low, step = np.array(BOX_LOW[:2]), (np.array(BOX_HIGH[:2]) - np.array(BOX_LOW[:2])) / SIDE
    if has_kernels():
        from castfield.systems import moving_kernels as kernels

        kernels.mix(vertices, names, moves, low, step, NEIGHBOURS, NEAR, REACH, FADE, mixed)
        return
    y, x = np.meshgrid(*(low[k] + step[k] * (np.arange(SIDE) + 0.5) for k in (1, 0)), indexing="ij")
    tree = cKDTree(vertices, balanced_tree=False, compact_nodes=False)  # looked up in once: built fast
    apart, nearest = tree.query(np.stack([x, y], -1).reshape(-1, 2), NEIGHBOURS, distance_upper_bound=FADE)
    share = 1 / (apart + NEAR) ** 2  # 0 of what is too far away to be found
    share *= np.clip(1 - (apart[:, :1] - REACH) / (FADE - REACH), 0, 1) / share.sum(1, keepdims=True).clip(1e-12)
    rows, columns = np.arange(0, share.size + 1, NEIGHBOURS), np.append(names, 0)[nearest].ravel()
    of_place = csr_array((share.ravel().astype(np.float32), columns, rows), shape=(len(share), len(moves))) @ moves
    mixed[:] = of_place.reshape(SIDE, SIDE, -1, 2).transpose(2, 0, 1, 3)


@lru_cache(maxsize=1)
def _moving(parts: Tensor, names: tuple[str, ...]) -> np.ndarray:
    """(V,) bool: which vertices are seen to move. Kept: a cast has one rig."""
    return np.isin(parts.numpy(), [names.index(name) for name in MOVING if name in names])


@lru_cache(maxsize=1)
def _by_vertex(basis: Tensor) -> np.ndarray:
    """(V, 2 d) x and y of an expression basis (d, V, 3) in units of the box. Kept: a cast has one rig."""
    sides = torch.tensor(BOX_HIGH[:2]) - torch.tensor(BOX_LOW[:2])
    return np.ascontiguousarray((basis[..., :2] * (2 / sides)).permute(1, 0, 2).flatten(1).numpy())
