"""Hair on a head that is a ball: what the masks hold more than it says how thick."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_scene import made_rig

from castfield.fields.planes import CELLS, cell_centres
from castfield.systems.hair import BACK, FORWARD, REACH, hair_share, thickness, with_hair
from castfield.systems.hull import BEYOND
from castfield.systems.shape import density_prior, front_cells

RADIUS = 0.08
MIDDLE = torch.tensor([0.0, 0.02, 0.0])


def bare() -> torch.Tensor:
    """The cells' distances from a bald ball."""
    return (cell_centres() - MIDDLE).norm(dim=1) - RADIUS


def wig(upper: bool = True) -> SimpleNamespace:
    """A rig of two vertices: hair grows on the first one; the other one is skin, far away."""
    parts = torch.tensor([0, 1]) if upper else torch.tensor([1, 1])
    return SimpleNamespace(neutral=torch.tensor([[0.0, 0.1, 0.0], [0.0, -0.1, 0.0]]), parts=parts, part_names=("scalp", "skin"))


def masks(held: torch.Tensor) -> torch.Tensor:
    """What `hull.Hull.beyond` says where the masks hold these cells."""
    return torch.where(held, -BEYOND / 2, BEYOND / 2)


def scalp() -> torch.Tensor:
    """Which vertex of `wig` is nearest: above the ball's middle its scalp."""
    return (cell_centres()[:, 1] < MIDDLE[1]).long()


def test_hair_is_as_thick_before_the_rim_as_the_masks_say_at_it():
    distance, up = bare(), cell_centres()[:, 1] > MIDDLE[1]
    beside = (cell_centres()[:, :2] - MIDDLE[:2]).norm(dim=1)
    held = (distance < 0) | (beside < RADIUS) | (up & (beside < RADIUS + 0.03))  # from the front: 3 cm of hair
    found = with_hair(wig(), distance, scalp(), masks(held))
    high = (cell_centres()[:, 1] > MIDDLE[1] + 0.05) & held
    hair = high & (distance > 0.006) & (distance < 0.018)
    assert hair.sum() > 500
    assert (found[hair] < 0).all(), "also in front of the head and behind it"
    assert (found[high & (distance > 0.045) & (cell_centres()[:, 2] > FORWARD)] > 0).all()
    skin = (cell_centres()[:, 1] < MIDDLE[1] - 0.02) & held & (beside < RADIUS - 0.02)
    assert torch.equal(density_prior(found[skin]), density_prior(distance[skin])), "no hair on skin"


def test_a_bald_head_stays_as_it_is():
    distance = bare()
    held = (cell_centres()[:, :2] - MIDDLE[:2]).norm(dim=1) < RADIUS
    found = with_hair(wig(), distance, scalp(), masks(held))
    within = held & (distance < -0.013)
    assert torch.equal(density_prior(found[within]), density_prior(distance[within]))
    assert (found[~held] >= BEYOND / 2).all(), "and what the masks do not hold is not there"


def test_what_masks_alone_hold_hangs_beside_the_head():
    distance, centres = bare(), cell_centres()
    left = centres[:, 0] < 0
    found = with_hair(wig(upper=False), distance, torch.ones_like(scalp()), masks(left | (distance < 0)))
    changed = (found < distance - 1e-6) & (distance > 0)
    assert density_prior(found[changed]).min() > 0
    assert left[changed].all()
    cell = float(centres[CELLS * CELLS, 2] - centres[0, 2])
    deep = centres[changed, 2]
    assert ((deep < FORWARD + cell) & (deep > -BACK - cell)).all(), "at the depth at which the head is nearest"
    assert (distance[changed] < REACH + 0.01).all()
    hangs = (centres[:, 0] < -RADIUS - 0.01) & (centres[:, 0] > -RADIUS - 0.05) & ((centres - MIDDLE)[:, 1].abs() < 0.02)
    hangs &= (centres[:, 2] < 0) & (centres[:, 2] > -0.03)
    assert changed[hangs].all()
    assert hangs.any()


@pytest.mark.parametrize("side", [-1, 1])
def test_hair_on_one_side_is_thick_on_that_side(side):
    distance = bare()
    beside = (cell_centres()[:, :2] - MIDDLE[:2]).norm(dim=1)
    held = (beside < RADIUS) | ((beside < RADIUS + 0.03) & (cell_centres()[:, 0] * side > 0))
    at, least = front_cells(distance)
    held = np.take_along_axis(held.view(CELLS, CELLS, CELLS).numpy(), at[None], 0)[0]
    thick = thickness(least, np.ones((CELLS, CELLS), np.float32), held)
    x = cell_centres()[: CELLS * CELLS, 0].view(CELLS, CELLS).numpy() * side
    y = cell_centres()[: CELLS * CELLS, 1].view(CELLS, CELLS).numpy()
    level = (np.abs(y - float(MIDDLE[1])) < 0.03) & (np.abs(x) > 0.05)
    assert thick[level & (x > 0)].min() > 0.02
    assert thick[level & (x < 0)].max() < 0.002


def test_hair_is_the_same_with_kernels_and_without(monkeypatch):
    distance, random = bare(), torch.Generator().manual_seed(0)
    held = distance < 0.05 * torch.rand(CELLS**3, generator=random)
    nearest = torch.randint(-1, 2, (CELLS**3,), generator=random)
    found = with_hair(wig(), distance, nearest, masks(held))
    monkeypatch.setenv("CASTFIELD_KERNELS", "off")
    assert torch.equal(found, with_hair(wig(), distance, nearest, masks(held)))
    assert (found != distance).any()


def test_a_rig_without_a_scalp_has_no_hair():
    assert not hair_share(made_rig()).any()


def test_hair_fades_to_where_the_scalp_ends(rig):
    share, scalp = hair_share(rig), rig.part("scalp").numpy()
    assert share[~scalp].max() == 0
    assert share[scalp].max() == 1
    highest = rig.neutral[: rig.head_vertices, 1].argmax()
    assert share[highest] == 1
    assert 0.05 < np.median(share[scalp]) <= 1
