"""The silhouette of the hull misses no ray that meets it."""

import numpy as np
import torch

from castfield.fields.planes import CELLS
from castfield.fields.proposal import Proposal
from castfield.geometry import FRONTAL, axis_angle_to_matrix
from castfield.rendering.rays import box_bounds, pixel_rays


def test_every_ray_that_meets_the_hull_is_in_the_silhouette():
    size = 48
    proposal = Proposal(2)
    generator = torch.Generator().manual_seed(0)
    inside = torch.nn.functional.max_pool3d((torch.rand(1, CELLS, CELLS, CELLS, generator=generator) > 0.9995).float(), 3, 1, 1).reshape(-1)
    proposal.start(1, torch.full_like(inside, 30.0), inside > 0)
    turns = torch.tensor([[0.0, 0.0, 0.0], [0.2, -0.5, 0.1], [-0.3, 0.4, 0.2]])
    rotation = torch.from_numpy(FRONTAL).float() @ axis_angle_to_matrix(turns)
    translation = torch.tensor([[0.0, 0.0, 0.6], [0.1, -0.05, 0.7], [-0.2, 0.1, 0.5]])
    focal = torch.full((3,), 90.0)
    shown = proposal.silhouette(1, rotation, translation, focal, size)
    line, column = np.indices((size, size))
    pixels = torch.from_numpy(np.stack([column, line], -1).reshape(1, -1, 2)).float() + 0.5
    rays = pixel_rays(pixels.expand(3, -1, -1), rotation, translation, focal, size)
    near, far = box_bounds(rays, torch.tensor((-0.17, -0.22, -0.10)), torch.tensor((0.17, 0.18, 0.12)))
    share = (torch.arange(200) + 0.5) / 200
    points = rays.at(near[..., None] + (far - near)[..., None] * share)
    met = (proposal.along(points.flatten(1, 2), torch.tensor([1, 1, 1])) > 0).unflatten(1, points.shape[1:3]).any(-1)
    assert met.any()
    assert not (met & ~shown.flatten(1)).any()
    assert shown.float().mean() < 0.9, "a silhouette that shows everything spares nothing"
