import torch

from castfield.geometry import axis_angle_to_matrix, project
from castfield.rendering.rays import Rays, box_bounds, pixel_rays, sphere_bounds

SIZE = 64


def made_rays(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    facing = torch.diag(torch.tensor([1.0, -1, -1]).double())
    rotation = axis_angle_to_matrix(torch.randn(3, 3, generator=generator, dtype=torch.float64)) @ facing
    translation = torch.tensor([0.02, -0.03, 0.7], dtype=torch.float64) + 0.05 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
    focal = torch.tensor([90.0, 150.0, 230.0], dtype=torch.float64)
    pixels = torch.rand(3, 20, 2, generator=generator, dtype=torch.float64) * SIZE
    return pixels, rotation, translation, focal, pixel_rays(pixels, rotation, translation, focal, SIZE)


def test_points_on_a_ray_project_onto_its_pixel():
    pixels, rotation, translation, focal, rays = made_rays()
    depth = torch.rand(3, 20, 5, dtype=torch.float64) + 0.3
    centre = torch.full((2,), SIZE / 2, dtype=torch.float64)
    at = project(rays.at(depth).flatten(1, 2), rotation, translation, focal, centre)
    torch.testing.assert_close(at, pixels[:, :, None].expand(-1, -1, 5, -1).flatten(1, 2))
    torch.testing.assert_close(rays.direction.norm(dim=-1), torch.ones(3, 20, dtype=torch.float64))


def test_rays_start_at_the_camera():
    _, rotation, translation, _, rays = made_rays()
    camera = rays.origin @ rotation.transpose(1, 2) + translation[:, None]
    torch.testing.assert_close(camera, torch.zeros_like(camera), atol=1e-12, rtol=0)


def test_box_bounds_against_marching():
    _, _, _, _, rays = made_rays(3)
    low, high = torch.tensor([-0.1, -0.2, -0.1]).double(), torch.tensor([0.15, 0.1, 0.2]).double()
    near, far = box_bounds(rays, low, high)
    depth = torch.linspace(0, 3, 3001, dtype=torch.float64)
    points = rays.at(depth.expand(3, 20, -1))
    inside = ((points >= low) & (points <= high)).all(-1)
    for f in range(3):
        for r in range(20):
            found = depth[inside[f, r]]
            if len(found) > 1:
                assert abs(found[0] - near[f, r]) < 2e-3
                assert abs(found[-1] - far[f, r]) < 2e-3
            else:
                assert far[f, r] - near[f, r] < 2e-3


def test_a_ray_along_an_axis_is_finite():
    rays = Rays(torch.tensor([[[0.0, 0.0, -1.0]]]), torch.tensor([[[0.0, 0.0, 1.0]]]))
    near, far = box_bounds(rays, torch.tensor([-0.1, -0.1, -0.2]), torch.tensor([0.1, 0.1, 0.3]))
    torch.testing.assert_close(torch.stack([near, far]).flatten(), torch.tensor([0.8, 1.3]))
    torch.testing.assert_close(torch.stack(sphere_bounds(rays, 0.3)).flatten(), torch.tensor([0.7, 1.3]))
