"""The fitted head as a prior: signs and distances on a mesh whose truth is known."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from made_scene import made_clip
from scipy.ndimage import distance_transform_edt

from castfield.fields.grid import to_density
from castfield.fields.planes import CELLS, cell_centres
from castfield.geometry import project
from castfield.images import grow
from castfield.systems.hull import BEYOND, RIM, SHARE, visual_hull
from castfield.systems.shape import (
    APART,
    Surface,
    closed,
    density_prior,
    front,
    front_cells,
    head_distance,
    outline,
    signed_distance,
    surface_at_rest,
    vertex_normals,
)

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


def with_normals(ball, vertices):
    return Surface(torch.zeros(1), vertices, vertex_normals(vertices, ball.faces))


def test_normals_point_outwards():
    ball = Ball()
    normals = vertex_normals(ball.neutral, ball.faces)
    inner = slice(60, -60)  # at the poles triangles are degenerate
    torch.testing.assert_close(normals[inner], (ball.neutral / RADIUS)[inner], atol=0.03, rtol=0)


def test_distance_to_a_sphere():
    ball, points = Ball(), torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * 0.08
    spacing = RADIUS * np.pi / 59  # distances are to vertices, so this is how wrong they may be
    found, nearest = signed_distance(ball, with_normals(ball, ball.neutral), points)
    torch.testing.assert_close(found, points.norm(dim=1) - RADIUS, atol=spacing, rtol=0)
    torch.testing.assert_close((points - ball.neutral[nearest]).norm(dim=1), found.abs())


@pytest.mark.parametrize("count", [1, 64, 1000, 20_000])
@pytest.mark.parametrize("size", [0.02, 0.3, 2.0])
def test_the_distance_is_that_of_the_nearest_vertex_of_the_outline(count, size, monkeypatch):
    ball, random = Ball(), torch.Generator().manual_seed(count)
    points = (torch.rand(count, 3, generator=random) - 0.5) * size  # within the head, round it, and far away
    points = points[(points / size * 16).round().mul(torch.tensor([1e4, 1e2, 1.0])).sum(1).argsort()]  # beside one another
    surface = ball.neutral + 1e-4 * torch.randn(ball.neutral.shape, generator=random)  # no two vertices in one place
    told = surface[outline(ball, len(surface))]
    expected = torch.cdist(points.double(), told.double(), compute_mode="donot_use_mm_for_euclid_dist").min(1).values
    found, nearest = signed_distance(ball, with_normals(ball, surface), points)
    torch.testing.assert_close(found.abs().double(), expected, atol=1e-7, rtol=1e-6)
    monkeypatch.setenv("CASTFIELD_KERNELS", "off")
    for fast, plain in zip((found, nearest), signed_distance(ball, with_normals(ball, surface), points), strict=True):
        assert torch.equal(fast, plain)


def test_prior_is_opaque_inside_and_air_outside():
    clip = made_clip("a", 10, 16)
    centres = cell_centres()
    ball = Ball()
    distance, _ = head_distance(ball, surface_at_rest(ball, clip.track), centres, torch.ones(len(centres), dtype=torch.bool))
    prior = density_prior(distance)
    middle = torch.tensor([0.1 * clip.track.expression[:, 0].mean(), 0.0, 0.0])
    distance = (centres - middle).norm(dim=1) - RADIUS
    density = to_density(prior)
    assert density[distance < -0.02].min() > 200
    assert density[distance > 0.03].max() < 1
    far = density[distance > 0.15].max()
    assert far < density[(distance > 0.03) & (distance < 0.05)].min(), "hair grows near the head"


def test_the_prior_is_air_where_the_masks_see_none_of_the_head():
    clip, centres = made_clip("a", 10, 16), cell_centres()
    ball, left = Ball(), centres[:, 0] < 0
    looked = [head_distance(ball, surface_at_rest(ball, clip.track), centres, inside) for inside in (torch.ones_like(left), left)]
    everywhere, prior = (density_prior(distance) for distance, _ in looked)
    assert torch.equal(prior[left], everywhere[left])
    beyond = centres[:, 0] > 0.03  # further than a cube of cells, all of which are looked at where one may hold the head
    assert everywhere[beyond].max() > 0 > prior[beyond].max()
    assert (looked[1][1][beyond] == -1).all()
    assert (looked[0][1] >= 0).all()


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
    assert (visual_hull(clip, centres).inside != expected).sum() <= 2, "only where a cell falls between two pixels"


def test_hull_is_the_same_with_kernels_and_without(monkeypatch):
    clip, centres = made_clip("a", 12, 64), cell_centres()
    found = visual_hull(clip, centres)
    monkeypatch.setenv("CASTFIELD_KERNELS", "off")
    plain = visual_hull(clip, centres)
    assert torch.equal(plain.inside, found.inside)
    assert torch.equal(plain.beyond, found.beyond)


def test_hull_holds_the_head_and_not_the_rest():
    clip = made_clip("a", 20, 64)
    inside = visual_hull(clip, cell_centres()).inside
    assert inside.shape == (CELLS**3,)
    centres = cell_centres()
    head = ((centres / torch.tensor([0.07, 0.10, 0.08])).norm(dim=1)) < 1
    assert inside[head].all()
    beside = (centres[:, 0].abs() > 0.14) & (centres[:, 2].abs() < 0.05)
    assert not inside[beside].any()


def test_masks_tell_how_far_outside_of_them_a_cell_lies():
    """A head that stands still before the camera: across the edge of its mask the distance rises, and its sign is the mask's."""
    clip, centres = made_clip("a", 12, 128), cell_centres()
    still = np.zeros(12, int)
    track = replace(clip.track, rotation=clip.track.rotation[still], translation=clip.track.translation[still])
    clip = replace(clip, head=clip.head[still], track=track)
    beyond = visual_hull(clip, centres).beyond
    pose = torch.from_numpy(track.rotation[0]), torch.from_numpy(track.translation[0])
    at = project(centres, *pose, torch.tensor(float(clip.focal)), torch.tensor([64.0, 64.0]))
    apart = distance_transform_edt(clip.head[0] < 128) - distance_transform_edt(clip.head[0] >= 128)
    column, line = at.floor().long().clamp(0, 127).unbind(-1)
    pixels = torch.from_numpy(apart)[line, column] * 0.6 / clip.focal  # metres where the head stands
    assert (beyond[pixels > RIM] == BEYOND / 2).all()
    assert (beyond[pixels < -RIM] == -BEYOND / 2).all()
    near = pixels.abs() < RIM / 3
    assert np.corrcoef(pixels[near], beyond[near])[0, 1] > 0.9


@pytest.mark.parametrize("kernels", ["on", "off"])
def test_what_lies_between_solid_cells_is_enclosed(kernels, monkeypatch):
    monkeypatch.setenv("CASTFIELD_KERNELS", kernels)
    solid = torch.zeros(CELLS, CELLS, CELLS, dtype=torch.bool)
    solid[10:30, 10:30, 10:30] = True
    solid[15:30, 14:26, 14:26] = False  # a hole that is open to the front, as between lips
    solid[40, 5, 5] = True  # something apart
    found = (closed(torch.where(solid, -0.01, 0.01).view(-1)) < 0).view_as(solid)
    expected = solid.clone()
    expected[15:30, 14:26, 14:26] = True
    assert torch.equal(found, expected)
    assert (closed(torch.full((CELLS**3,), 0.01)) > 0).all()
    assert (closed(torch.full((CELLS**3,), -0.01)) < 0).all()


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


def test_the_outline_has_a_vertex_near_each_of_the_outside(rig):
    told = outline(rig, rig.head_vertices)
    parts = [rig.part_names.index(name) for name in ("skin", "scalp", "brows", "ears", "neck", "lips", "eyes")]
    outside = torch.isin(rig.parts[: rig.head_vertices], torch.tensor(parts))
    assert outside[told].all()
    assert len(told) < 0.6 * outside.sum()
    kept = rig.neutral[told].double()
    assert torch.cdist(rig.neutral[: rig.head_vertices][outside].double(), kept).min(1).values.max() <= APART
    assert (torch.cdist(kept, kept) + 1e9 * torch.eye(len(told))).min() > APART
    apart = torch.stack([kept[first : first + 16].std(0).norm() for first in range(0, len(told) - 15, 16)])
    assert apart.median() < 0.3 * kept.std(0).norm(), "what follows each other lies side by side"


@pytest.mark.parametrize("seed", range(3))
def test_what_is_known_of_a_shape_is_the_same_with_kernels_and_without(rig, seed, monkeypatch):
    random = torch.Generator().manual_seed(seed)
    vertices = rig.vertices(torch.randn(rig.identity_dim, generator=random), torch.rand(rig.d, generator=random) * 0.3, head_only=True)
    faces, centres = rig.faces[: rig.head_faces], cell_centres()
    inside = centres.norm(dim=1) < 0.05 + 0.05 * seed

    def found() -> list[torch.Tensor]:
        normals = vertex_normals(vertices, faces)
        distance, nearest = head_distance(rig, Surface(torch.zeros(rig.d), vertices, normals), centres, inside)
        at, least = front_cells(distance)
        return [normals, distance, nearest, torch.from_numpy(at), torch.from_numpy(least)]

    fast = found()
    monkeypatch.setenv("CASTFIELD_KERNELS", "off")
    for one, other in zip(fast, found(), strict=True):
        assert torch.equal(one, other)
