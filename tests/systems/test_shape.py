"""The fitted head as a prior: signs and distances on a mesh whose truth is known."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from made_scene import made_clip

from castfield.fields.grid import to_density
from castfield.fields.planes import CELLS, cell_centres
from castfield.geometry import project
from castfield.images import grow
from castfield.systems.hull import SHARE, visual_hull
from castfield.systems.shape import density_prior, enclosed, front, head_distance, signed_distance, vertex_normals, with_hair

RADIUS = 0.08


@dataclass
class Ball:
    """A sphere in place of a head, whose first expression moves it along x."""

    part_names = ("skin",)

    def __post_init__(self):
        steps = 60
        up, round_ = np.meshgrid(np.linspace(0, np.pi, steps), np.linspace(0, 2 * np.pi, steps, endpoint=False), indexing="ij")
        points = np.stack([np.sin(up) * np.cos(round_), np.cos(up), np.sin(up) * np.sin(round_)], -1).reshape(-1, 3)
        self.neutral = torch.from_numpy(points).float() * RADIUS
        at = lambda r, c: r * steps + c % steps  # noqa: E731
        cells = [(r, c) for r in range(steps - 1) for c in range(steps)]
        faces = [f for r, c in cells for f in ((at(r, c), at(r, c + 1), at(r + 1, c)), (at(r, c + 1), at(r + 1, c + 1), at(r + 1, c)))]
        self.faces = torch.tensor(faces)
        self.head_faces = len(faces)
        self.parts = torch.zeros(len(points), dtype=torch.int64)

    def vertices(self, identity, expression, head_only=False):
        return self.neutral + expression[0] * torch.tensor([0.1, 0.0, 0.0])


def test_normals_point_outwards():
    ball = Ball()
    normals = vertex_normals(ball.neutral, ball.faces)
    inner = slice(60, -60)  # at the poles triangles are degenerate
    torch.testing.assert_close(normals[inner], (ball.neutral / RADIUS)[inner], atol=0.03, rtol=0)


def test_distance_to_a_sphere():
    ball, points = Ball(), torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * 0.08
    spacing = RADIUS * np.pi / 59  # distances are to vertices, so this is how wrong they may be
    found = signed_distance(ball, ball.neutral, points)
    torch.testing.assert_close(found, points.norm(dim=1) - RADIUS, atol=spacing, rtol=0)


@pytest.mark.parametrize("count", [1, 64, 1000, 20_000])
@pytest.mark.parametrize("size", [0.02, 0.3, 2.0])
def test_the_distance_is_that_of_the_nearest_of_all_vertices(count, size, monkeypatch):
    ball, random = Ball(), torch.Generator().manual_seed(count)
    points = (torch.rand(count, 3, generator=random) - 0.5) * size  # within the head, round it, and far away
    points = points[(points / size * 16).round().mul(torch.tensor([1e4, 1e2, 1.0])).sum(1).argsort()]  # beside one another
    surface = ball.neutral + 1e-4 * torch.randn(ball.neutral.shape, generator=random)  # no two vertices in one place
    expected = torch.cdist(points.double(), surface.double(), compute_mode="donot_use_mm_for_euclid_dist").min(1).values
    found = signed_distance(ball, surface, points)
    torch.testing.assert_close(found.abs().double(), expected, atol=1e-7, rtol=1e-6)
    monkeypatch.setenv("CASTFIELD_KERNELS", "off")
    assert torch.equal(found, signed_distance(ball, surface, points))


def test_prior_is_opaque_inside_and_air_outside():
    clip = made_clip("a", 10, 16)
    centres = cell_centres()
    prior = density_prior(head_distance(Ball(), clip.track, centres, torch.ones(len(centres), dtype=torch.bool)))
    middle = torch.tensor([0.1 * clip.track.expression[:, 0].mean(), 0.0, 0.0])
    distance = (centres - middle).norm(dim=1) - RADIUS
    density = to_density(prior)
    assert density[distance < -0.02].min() > 200
    assert density[distance > 0.03].max() < 1
    far = density[distance > 0.15].max()
    assert far < density[(distance > 0.03) & (distance < 0.05)].min(), "hair grows near the head"


def test_the_prior_is_air_where_the_masks_see_none_of_the_head():
    clip, centres = made_clip("a", 10, 16), cell_centres()
    everywhere = density_prior(head_distance(Ball(), clip.track, centres, torch.ones(len(centres), dtype=torch.bool)))
    left = centres[:, 0] < 0
    prior = density_prior(head_distance(Ball(), clip.track, centres, left))
    assert torch.equal(prior[left], everywhere[left])
    beyond = centres[:, 0] > 0.03  # further than a cube of cells, all of which are looked at where one may hold the head
    assert everywhere[beyond].max() > 0 > prior[beyond].max()


@pytest.mark.parametrize("kernels", ["on", "off"])
def test_hull_is_what_the_masks_say_of_every_cell(kernels, monkeypatch):
    monkeypatch.setenv("CASTFIELD_KERNELS", kernels)
    clip, centres = made_clip("a", 12, 64), cell_centres()
    votes = torch.zeros(len(centres))
    for frame in clip.train_frames:
        pose = torch.from_numpy(clip.track.rotation[frame]), torch.from_numpy(clip.track.translation[frame])
        at = project(centres, *pose, torch.tensor(float(clip.focal)), torch.tensor([32.0, 32.0])).floor().long().clamp(0, 63)
        votes += torch.from_numpy(grow(clip.head[frame]))[at[:, 1], at[:, 0]]
    inside = (votes >= SHARE * len(clip.train_frames)).float().view(1, 1, CELLS, CELLS, CELLS)
    expected = torch.nn.functional.max_pool3d(inside, 3, 1, 1).flatten() > 0
    assert (visual_hull(clip, centres) != expected).sum() <= 2, "only where a cell falls between two pixels"


def test_hull_is_the_same_with_kernels_and_without(monkeypatch):
    clip, centres = made_clip("a", 12, 64), cell_centres()
    found = visual_hull(clip, centres)
    monkeypatch.setenv("CASTFIELD_KERNELS", "off")
    assert torch.equal(visual_hull(clip, centres), found)


def test_hull_holds_the_head_and_not_the_rest():
    clip = made_clip("a", 20, 64)
    inside = visual_hull(clip, cell_centres())
    assert inside.shape == (CELLS**3,)
    centres = cell_centres()
    head = ((centres / torch.tensor([0.07, 0.10, 0.08])).norm(dim=1)) < 1
    assert inside[head].all()
    beside = (centres[:, 0].abs() > 0.14) & (centres[:, 2].abs() < 0.05)
    assert not inside[beside].any()


def test_what_lies_between_solid_cells_is_enclosed():
    solid = torch.zeros(CELLS, CELLS, CELLS, dtype=torch.bool)
    solid[10:30, 10:30, 10:30] = True
    solid[15:30, 14:26, 14:26] = False  # a hole that is open to the front, as between lips
    solid[40, 5, 5] = True  # something apart
    found = enclosed(solid.view(-1)).view_as(solid)
    expected = solid.clone()
    expected[15:30, 14:26, 14:26] = True
    assert torch.equal(found, expected)
    assert not enclosed(torch.zeros(CELLS**3, dtype=torch.bool)).any()


def ball_distance(middle: float = 0.0) -> torch.Tensor:
    """The cells' distances from a ball whose middle lies at this x."""
    return (cell_centres() - torch.tensor([middle, 0.0, 0.0])).norm(dim=1) - RADIUS


def test_the_front_of_a_head_is_where_a_camera_sees_it():
    centres = cell_centres().view(CELLS, CELLS, CELLS, 3)
    x, y, z = centres[0, :, :, 0], centres[0, :, :, 1], centres[:, 0, 0, 2]
    depth, cell = front(ball_distance()), float(z[1] - z[0])
    away = (x * x + y * y).sqrt()
    on = away < 0.9 * RADIUS
    truth = (RADIUS**2 - away[on] ** 2).sqrt()
    assert ((depth[on] - truth).abs() < cell).all()
    assert (depth[away > RADIUS + 0.01].abs() < cell).all(), "beside the ball it is nearest at its middle"


def test_hair_is_what_the_masks_hold_beside_the_head():
    distance, centres = ball_distance(), cell_centres()
    cover = np.zeros((96, 96), np.float32)
    cover[:, :48] = 1.0  # everything on the left
    inside = centres[:, 1] > -0.1
    found = with_hair(distance, inside, torch.from_numpy(cover))
    changed = found != distance
    assert torch.equal(found[distance < 0], distance[distance < 0]), "the head stays"
    assert (found[changed] < 0).all()
    assert density_prior(found[changed]).min() > 0
    assert (centres[changed, 0] < 0).all()
    assert inside[changed].all()
    beside = (centres[:, 0] < -RADIUS - 0.01) & (centres[:, 0] > -RADIUS - 0.05) & (centres[:, 1:].norm(dim=1) < 0.02)
    assert changed[beside].all()
    assert beside.any()
    assert (centres[changed, 2].abs() < 0.04).all(), "near the depth at which the head is nearest"
    assert (distance[changed] < 0.09).all()
