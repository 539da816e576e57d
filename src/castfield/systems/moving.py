"""What each action of the rig moves in one person's head, seen from the front: what `fields.motion` starts from."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from torch import Tensor

from castfield.clip import Track
from castfield.fields.motion import SIDE
from castfield.fields.planes import BOX_HIGH, BOX_LOW
from castfield.rigs import Rig
from castfield.systems.shape import vertex_normals

MOVING = ("skin", "scalp", "brows", "ears", "neck", "lips")
"""Parts that are seen to move with an expression; eyes look about in their place."""
FACING = 0.15
"""Least z of the normal of a vertex that is seen from the front."""
NEIGHBOURS, NEAR = 6, 0.0015
"""Vertices whose motion a place shares, and metres within which they count alike."""
REACH, FADE = 0.015, 0.045
"""Metres beside the head up to which all moves with its rim, and from which on nothing does."""


def actions(rig: Rig, track: Track) -> tuple[Tensor, Tensor]:
    """The clip's mean expression (d,), at which the person counts as being at rest, and what each action in full adds to x and y at
    SIDE x SIDE places of the box from the front, (d, SIDE, SIDE, 2) in units of [-1, 1]."""
    identity, rest = torch.from_numpy(np.array(track.identity)), torch.from_numpy(track.expression[track.valid]).mean(0)
    surface = rig.vertices(identity, rest, head_only=True)
    parts = torch.tensor([rig.part_names.index(name) for name in MOVING if name in rig.part_names])
    facing = vertex_normals(surface, rig.faces[: rig.head_faces])[:, 2] > FACING
    chosen = (torch.isin(rig.parts[: len(surface)], parts) & facing).nonzero()[:, 0]
    low, high = np.array(BOX_LOW), np.array(BOX_HIGH)
    within = (np.arange(SIDE) + 0.5) / SIDE
    y, x = np.meshgrid(*(low[k] + (high[k] - low[k]) * within for k in (1, 0)), indexing="ij")
    apart, nearest = cKDTree(surface[chosen, :2].numpy()).query(np.stack([x, y], -1).reshape(-1, 2), NEIGHBOURS)
    share = 1 / (apart + NEAR) ** 2
    share *= np.clip(1 - (apart[:, :1] - REACH) / (FADE - REACH), 0, 1) / share.sum(1, keepdims=True)
    rows, moves = np.arange(0, share.size + 1, NEIGHBOURS), _by_vertex(rig.expression_basis)
    mixed = csr_array((share.ravel().astype(np.float32), chosen.numpy()[nearest].ravel(), rows), shape=(len(share), len(moves)))
    return rest, torch.from_numpy(mixed @ moves).view(SIDE, SIDE, -1, 2).permute(2, 0, 1, 3)


@lru_cache(maxsize=1)
def _by_vertex(basis: Tensor) -> np.ndarray:
    """(V, 2 d) x and y of an expression basis (d, V, 3) in units of the box. Kept: a cast has one rig."""
    sides = torch.tensor(BOX_HIGH[:2]) - torch.tensor(BOX_LOW[:2])
    return np.ascontiguousarray((basis[..., :2] * (2 / sides)).permute(1, 0, 2).flatten(1).numpy())
