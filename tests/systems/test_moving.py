"""The rig's motion as maps: what a face shows under an expression is looked up where it lies at rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from castfield.fields.motion import SIDE, Motion, at_rest
from castfield.fields.planes import to_unit
from castfield.systems.moving import FACING, movers, moves, neighbours
from castfield.systems.shape import surface_at_rest, vertex_normals


@dataclass
class Still:
    """A track of somebody at rest."""

    identity: np.ndarray
    expression: np.ndarray
    valid: np.ndarray


def motion_of(rig, surface):
    """One person's motion."""
    motion = Motion(1, rig.d, len(movers(rig)))
    motion.moves.copy_(moves(rig))
    motion.start(0, surface.rest, *neighbours(rig, surface))
    return motion


@pytest.mark.parametrize("name", ["jawOpen", "browInnerUp", "mouthPucker", "mouthSmileLeft"])
def test_skin_is_looked_up_where_it_rests(rig, name):
    rng = np.random.default_rng(0)
    track = Still(rng.normal(0, 0.7, rig.identity_dim).astype(np.float32), np.zeros((3, rig.d), np.float32), np.ones(3, bool))
    surface = surface_at_rest(rig, track)
    motion = motion_of(rig, surface)
    expression = torch.zeros(1, rig.d)
    expression[0, rig.expression_names.index(name)] = 0.6
    identity = torch.from_numpy(track.identity)
    before, after = (rig.vertices(identity, e, head_only=True) for e in (torch.zeros(rig.d), expression[0]))
    seen = vertex_normals(before, rig.faces[: rig.head_faces])[:, 2] > FACING
    skin = rig.part("skin")[: len(before)] & seen & ((after - before).norm(dim=1) > 0.001)
    assert skin.sum() > 10
    found = at_rest(to_unit(after[skin])[None], motion.maps(torch.tensor([0]), expression))[0]
    off, moved = (np.linalg.norm((to_unit(before[skin]) - place)[:, :2].numpy(), axis=1).mean() for place in (found, to_unit(after[skin])))
    assert off < 0.35 * moved


def test_far_beside_the_head_nothing_moves(rig):
    track = Still(np.zeros(rig.identity_dim, np.float32), np.zeros((1, rig.d), np.float32), np.ones(1, bool))
    found = motion_of(rig, surface_at_rest(rig, track)).maps(torch.zeros(rig.d, dtype=torch.int64), torch.eye(rig.d))
    assert found.shape == (rig.d, SIDE, SIDE, 2)
    assert found[:, :, [0, -1]].abs().max() == 0
    assert found[rig.expression_names.index("jawOpen"), :, SIDE // 2, 1].min() < -0.05


@pytest.mark.parametrize("seed", range(3))
def test_motion_is_the_same_with_kernels_and_without(rig, seed, monkeypatch):
    rng = np.random.default_rng(seed)
    track = Still(rng.normal(0, 1.5, rig.identity_dim).astype(np.float32), np.zeros((1, rig.d), np.float32), np.ones(1, bool))
    surface = surface_at_rest(rig, track)
    (near, share), _ = neighbours(rig, surface), monkeypatch.setenv("CASTFIELD_KERNELS", "off")
    plain, plainly = neighbours(rig, surface)
    assert torch.equal(share, plainly)
    assert torch.equal(near * (share > 0), plain * (share > 0))
