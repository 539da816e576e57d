"""Planes and proposal against explicit loops."""

import math

import torch

from castfield.config import GridConfig
from castfield.fields.planes import BOX_HIGH, BOX_LOW, CELLS, cell_centres, depth_texels, look_up, places_in, texels, to_unit
from castfield.fields.proposal import FLOOR, Proposal

EVERY_CELL = torch.arange(CELLS**3)


def bilinear(plane, u, v):
    """plane (C, H, W) at u (along W) and v (along H) in [-1, 1], texel centres inside, the border continued."""
    height, width = plane.shape[1:]
    x = min(max((u + 1) / 2 * width - 0.5, 0), width - 1)
    y = min(max((v + 1) / 2 * height - 0.5, 0), height - 1)
    x0, y0 = math.floor(x), math.floor(y)
    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
    a, b = x - x0, y - y0
    top = (1 - a) * plane[:, y0, x0] + a * plane[:, y0, x1]
    return (1 - b) * top + b * ((1 - a) * plane[:, y1, x0] + a * plane[:, y1, x1])


def frontal_and_side(planes, start, r):
    """The three planes (C, lines, columns) of the level with r texels a side that starts at texel `start` of planes (texels, C)."""
    q = depth_texels(r)
    front, zy, zx = planes[start : start + r * (r + 2 * q)].split([r * r, r * q, r * q])
    return [plane.reshape(r, -1, planes.shape[-1]).permute(2, 0, 1) for plane in (front, zy, zx)]


def test_look_up_against_loops_and_gradient():
    torch.manual_seed(0)
    planes = torch.randn(2, texels((4, 6)), 3, dtype=torch.float64, requires_grad=True)
    unit = torch.rand(2, 6, 3, dtype=torch.float64) * 2.4 - 1.2
    found = look_up(planes, unit, (4, 6))
    for b in range(2):
        for level, (r, start) in enumerate(((4, 0), (6, texels((4,))))):
            front, zy, zx = frontal_and_side(planes[b], start, r)
            for p in range(6):
                x, y, z = unit[b, p].tolist()
                expected = bilinear(front, x, y) + bilinear(zy, z, y) + bilinear(zx, z, x)
                torch.testing.assert_close(found[b, p, 3 * level : 3 * level + 3], expected)
    assert torch.autograd.gradcheck(lambda planes: look_up(planes, unit, (4, 6)), (planes,))


def test_to_unit():
    low, high = torch.tensor(BOX_LOW), torch.tensor(BOX_HIGH)
    torch.testing.assert_close(to_unit(torch.stack([low, high, (low + high) / 2])), torch.tensor([[-1.0] * 3, [1.0] * 3, [0.0] * 3]))


def test_proposal_finds_what_was_put_in():
    proposal = Proposal(2)
    centres = cell_centres()
    ball = (centres.norm(dim=-1) < 0.05).float() * 100
    for person in range(2):
        proposal.start(person, torch.full((CELLS**3,), 30.0), torch.ones(CELLS**3, dtype=torch.bool))
    for _ in range(30):
        for some in EVERY_CELL.split(CELLS**2):  # a refresh looks at a part of them
            proposal.update(1, some, ball[some])
    inside, outside = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[0.15, 0.15, 0.0]])
    points = torch.cat([inside, outside])[None].expand(2, -1, -1)
    found = proposal.along(points, torch.tensor([0, 1]))
    assert abs(found[1, 0] - 100 - FLOOR) < 1
    assert abs(found[1, 1] - FLOOR) < 1
    assert found[0, 0] == found[0, 1] == 30 + FLOOR, "the other person's proposal is untouched"
    proposal.set_hull(1, centres[:, 0] < 0)
    assert proposal.along(points, torch.tensor([0, 1]))[1, 1] == 0
    assert proposal.along(torch.full((1, 1, 3), 9.0), torch.tensor([0])) == 0, "outside the box there is nothing"


def test_nobody_is_expected_anywhere_before_they_are_known():
    proposal, points = Proposal(2), cell_centres()[None]
    proposal.start(1, torch.full((CELLS**3,), 30.0), torch.ones(CELLS**3, dtype=torch.bool))
    assert not proposal.along(points, torch.tensor([0])).any()
    assert (proposal.along(points, torch.tensor([1])) == 30 + FLOOR).all()


def test_proposal_cells_lie_where_they_are_looked_up():
    proposal = Proposal(1)
    proposal.set_hull(0, torch.zeros(CELLS**3, dtype=torch.bool).index_fill(0, torch.tensor([12345]), True))
    found = proposal.along(places_in(EVERY_CELL, torch.rand(CELLS**3, 3))[None], torch.tensor([0]))[0]
    assert found.nonzero().flatten().tolist() == [12345]


def test_the_proposal_is_the_mean_of_neighbouring_cells():
    proposal, density = Proposal(1), torch.rand(CELLS**3).half().float()
    proposal.set_hull(0, torch.ones(CELLS**3, dtype=torch.bool))
    proposal.update(0, EVERY_CELL, density, keep=0.0)
    cube = density.view(1, 1, CELLS, CELLS, CELLS)
    expected = torch.nn.functional.avg_pool3d(cube, 3, 1, 1, count_include_pad=False)[0, 0] + FLOOR
    step = 2.0**-9  # of numbers from 2 to 4 in float16
    assert (proposal.guide[0].float() - expected).abs().max() <= step / 2 + 1e-5
    proposal.refresh()
    assert (proposal.guide[0].float() - expected).abs().max() <= step / 2 + 1e-5


def test_planes_are_as_fine_as_the_pictures():
    grid = GridConfig()
    assert grid.scaled(128) == grid
    assert grid.scaled(256).resolutions == (64, 128, 256)
    assert grid.scaled(64).expression_resolution == 32
    assert min(grid.scaled(8).resolutions) == 4
