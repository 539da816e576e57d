"""Camera rays in canonical head space (axes and units: `castfield.geometry`)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Rays:
    """R rays in each of F frames."""

    origin: Tensor
    """(F, R, 3) metres, head space."""
    direction: Tensor
    """(F, R, 3) unit vectors, head space."""

    @property
    def shape(self) -> torch.Size:
        """(F, R)."""
        return self.origin.shape[:2]

    def at(self, depth: Tensor) -> Tensor:
        """Points (F, R, S, 3) at depths (F, R, S) metres along the rays."""
        return self.origin[..., None, :] + depth[..., None] * self.direction[..., None, :]


def pixel_rays(pixels: Tensor, rotation: Tensor, translation: Tensor, focal: Tensor, size: int) -> Rays:
    """Rays through pixel positions, the inverse of `geometry.project`.

    pixels (F, R, 2) in pixels (the first pixel's centre is .5, .5), rotation (F, 3, 3) and translation (F, 3) head -> camera,
    focal (F,) pixels, size: side of the picture, whose middle is the optical centre.
    """
    toward = (pixels - size / 2) / focal[:, None, None]
    camera = torch.cat([toward, torch.ones_like(toward[..., :1])], -1)
    direction = torch.nn.functional.normalize(camera, dim=-1) @ rotation  # row vectors: R^T d
    origin = -(translation[:, None, :] @ rotation)
    return Rays(origin.expand_as(direction), direction)


def box_bounds(rays: Rays, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Depths (F, R) where rays enter and leave the box [low, high] (3,); leave <= enter where they miss it."""
    inverse = 1.0 / torch.where(rays.direction.abs() < 1e-8, torch.full_like(rays.direction, 1e-8), rays.direction)
    first, second = (low - rays.origin) * inverse, (high - rays.origin) * inverse
    enter = torch.minimum(first, second).amax(-1).clamp_min(0.0)
    leave = torch.maximum(first, second).amin(-1)
    return enter, torch.maximum(leave, enter)


def sphere_bounds(rays: Rays, radius: float) -> tuple[Tensor, Tensor]:
    """Depths (F, R) of the shell of `radius` metres round the head's origin: distance -+ radius, for every ray of a frame."""
    distance = rays.origin.norm(dim=-1)
    return (distance - radius).clamp_min(1e-3), distance + radius
