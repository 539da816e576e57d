"""Cameras and rotations. Conventions used everywhere:

- Canonical head space: metres, origin inside the head between the ears; x to the person's left, y up, z out of the face.
- Camera space (OpenCV): metres, x right, y down, z forward. `x_cam = R x_head + t`; a frontal head has R = FRONTAL.
- Pixels: x right, y down; the centre of the top left pixel is (0.5, 0.5). `u = focal * x / z + centre`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

FRONTAL = np.diag([1.0, -1.0, -1.0])


def axis_angle_to_matrix(vector: Tensor) -> Tensor:
    """Rodrigues' formula: (..., 3) axis-angle in radians -> (..., 3, 3). Smooth at zero."""
    import torch  # here and not above: tracking knows these conventions too, and takes no torch

    square = (vector * vector).sum(-1)[..., None, None]
    angle = torch.sqrt(square + 1e-16)
    small = square < 1e-8
    sine = torch.where(small, 1 - square / 6, torch.sin(angle) / angle)
    cosine = torch.where(small, 0.5 - square / 24, (1 - torch.cos(angle)) / (square + 1e-16))
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vector.shape[:-1], 3, 3)
    return torch.eye(3, dtype=vector.dtype, device=vector.device) + sine * skew + cosine * (skew @ skew)


def project(points: Tensor, rotation: Tensor, translation: Tensor, focal: Tensor, centre: Tensor) -> Tensor:
    """Pinhole projection.

    points (..., N, 3) in head space, rotation (..., 3, 3), translation (..., 3) metres, focal (...) pixels, centre (2,)
    pixels -> (..., N, 2) pixels.
    """
    camera = points @ rotation.transpose(-1, -2) + translation[..., None, :]
    return focal[..., None, None] * camera[..., :2] / camera[..., 2:].clamp_min(1e-3) + centre


def rotation_angle(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angle between rotations (..., 3, 3), in degrees."""
    trace = np.einsum("...ij,...ij->...", first, second)
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
