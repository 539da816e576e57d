"""What the actions of the rig move in one person's head, seen from the front: what `fields.motion` starts from."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from castfield.fields.fast import has_kernels
from castfield.fields.motion import NEIGHBOURS, SIDE
from castfield.fields.planes import BOX_HIGH, BOX_LOW
from castfield.rigs import Rig
from castfield.systems.shape import Surface, vertex_normals

MOVING = ("skin", "scalp", "brows", "ears", "neck", "lips")
"""Parts that are seen to move with an expression; eyes look about in their place."""
FACING = 0.15
"""Least z of the normal of a vertex that is seen from the front."""
TURNED = 0.5
"""How much less z of a normal may be on the rig's mean head than on somebody's."""
NEAR = 0.0015
"""Metres within which the vertices whose motion a place shares count alike."""
REACH, FADE = 0.015, 0.045
"""Metres beside the head up to which all moves with its rim, and from which on nothing does."""


def neighbours(rig: Rig, surface: Surface) -> tuple[Tensor, Tensor]:
    """Of which of the `movers` SIDE x SIDE places of the box, seen from the front at rest, show the motion, and how much of it: (SIDE^2,
    NEIGHBOURS) int32 and float32."""
    every = movers(rig)
    chosen = np.flatnonzero(surface.normals.numpy()[every, 2] > FACING)
    near, share = np.zeros((SIDE * SIDE, NEIGHBOURS), np.int32), np.zeros((SIDE * SIDE, NEIGHBOURS), np.float32)
    look(surface.vertices.numpy()[every[chosen], :2], chosen, near, share)
    return torch.from_numpy(near), torch.from_numpy(share)


def look(vertices: np.ndarray, names: np.ndarray, near: np.ndarray, share: np.ndarray) -> None:
    """Write to near (SIDE^2, NEIGHBOURS) the vertices at (W, 2) metres next to each place, by their names (W,), and to share (SIDE^2,
    NEIGHBOURS) how much each counts."""
    low, step = np.array(BOX_LOW[:2]), (np.array(BOX_HIGH[:2]) - np.array(BOX_LOW[:2])) / SIDE
    if has_kernels():
        from castfield.systems import moving_kernels as kernels

        kernels.look(vertices, names, low, step, NEAR, REACH, FADE, near, share)
        return
    y, x = np.meshgrid(*(low[k] + step[k] * (np.arange(SIDE) + 0.5) for k in (1, 0)), indexing="ij")
    tree = cKDTree(vertices, balanced_tree=False, compact_nodes=False)  # looked up in once: built fast
    apart, found = tree.query(np.stack([x, y], -1).reshape(-1, 2), NEIGHBOURS, distance_upper_bound=FADE)
    weight = 1 / (apart + NEAR) ** 2  # 0 of what is too far away to be found
    weight *= np.clip(1 - (apart[:, :1] - REACH) / (FADE - REACH), 0, 1) / weight.sum(1, keepdims=True).clip(1e-12)
    near[:], share[:] = np.append(names, 0)[found], weight


def moves(rig: Rig) -> Tensor:
    """(d, M, 2): what each action in full adds to x and y of the `movers`, in units of the box's [-1, 1]."""
    sides = torch.tensor(BOX_HIGH[:2]) - torch.tensor(BOX_LOW[:2])
    return rig.expression_basis[:, torch.from_numpy(movers(rig)), :2] * (2 / sides)


def movers(rig: Rig) -> np.ndarray:
    """(M,) which of the head's vertices are seen to move, on whatever head."""
    return _movers(rig.neutral, rig.parts, rig.faces, tuple(rig.part_names), rig.head_vertices, rig.head_faces)


@lru_cache(maxsize=1)
def _movers(neutral: Tensor, parts: Tensor, faces: Tensor, names: tuple[str, ...], vertices: int, head_faces: int) -> np.ndarray:
    """Kept: a cast has one rig."""
    facing = vertex_normals(neutral[:vertices], faces[:head_faces])[:, 2].numpy() > FACING - TURNED
    return np.flatnonzero(np.isin(parts[:vertices].numpy(), [names.index(name) for name in MOVING if name in names]) & facing)
