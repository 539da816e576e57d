"""The volume rendering integral (Max 1995; NeRF, eq. 3), with the background as the last sample (AD-NeRF, MI-NeRF)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Rendering:
    """What R rays of F frames show."""

    colour: Tensor
    """(F, R, 3) RGB in [0, 1], over the background."""
    alpha: Tensor
    """(F, R) how much of the background is covered."""
    coarse: Tensor | None = None
    """(F, R, 3) colour of the coarse model, where there is one."""


def sample_weights(density: Tensor, length: Tensor) -> Tensor:
    """w_j = T_j (1 - exp(-sigma_j d_j)), T_j = exp(-sum_{k<j} sigma_k d_k).

    density (..., S) per metre, length (..., S) metres -> (..., S), whose sum is the opacity.
    """
    optical = density * length
    before = torch.cumsum(optical, -1) - optical
    return torch.exp(-before) * -torch.expm1(-optical)


def composite(density: Tensor, colour: Tensor, length: Tensor, background: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Colour (..., 3), opacity (...) and weights (..., S) of rays.

    density (..., S), colour (..., S, 3), length (..., S), background (..., 3): the last sample, opaque, lies on it.
    """
    weights = sample_weights(density, length)
    opacity = weights.sum(-1)
    seen = (weights[..., None] * colour).sum(-2) + (1 - opacity)[..., None] * background
    return seen, opacity, weights
