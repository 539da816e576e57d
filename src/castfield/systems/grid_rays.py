"""Rays of the fast field: from what it says of their samples to colours, and to what they are scored by.

In plain PyTorch, and by the kernels of `rendering/ray_kernels.py`. raw (F, P, 4) is what is learned of density and colour, prior (F, P) the
prior of the raw density; the first R S points are the samples of R rays, which stand for lengths (F, R, S).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from castfield.config import GridConfig
from castfield.fields.fast import cpu_kernels
from castfield.fields.grid import DENSITY_SCALE, DENSITY_SHIFT, to_density
from castfield.rendering.compositing import Rendering, composite
from castfield.training.batches import Batch

DENSITY = (np.float32(DENSITY_SCALE), np.float32(DENSITY_SHIFT))


def rendered(raw: Tensor, prior: Tensor, lengths: Tensor, background: Tensor) -> Rendering:
    """Colours over background (F, R, 3), without gradients by the kernel."""
    rays, samples = lengths.shape[:2], lengths.shape[-1]
    if cpu_kernels(raw) and not (torch.is_grad_enabled() and raw.requires_grad):
        from castfield.rendering.ray_kernels import composite as run

        colour, alpha = raw.new_empty(*rays, 3), raw.new_empty(rays)
        shapes = ((-1, samples, 4), (-1, samples), (-1, samples), (-1, 3))
        given = [t.reshape(shape).numpy() for t, shape in zip((raw.detach(), prior, lengths, background), shapes, strict=True)]
        run(*given, *DENSITY, colour.view(-1, 3).numpy(), alpha.view(-1).numpy())
        return Rendering(colour, alpha)
    colour, alpha, _ = composite(*_density_and_colour(raw, prior, lengths), lengths, background)
    return Rendering(colour, alpha)


def score(raw: Tensor, prior: Tensor, lengths: Tensor, batch: Batch, config: GridConfig) -> tuple[Tensor, Tensor]:
    """The weighted sum of the errors of colour, opacity and air, and the mean squared error of the colour alone.

    The points behind the rays' samples lie at random places of the box.
    """
    if cpu_kernels(raw):
        return _Score.apply(raw, prior, lengths, batch, config)
    on_rays = lengths.shape[1] * lengths.shape[2]
    seen = rendered(raw[:, :on_rays], prior[:, :on_rays], lengths, batch.background)
    error, mask = ((seen.colour - batch.colour) ** 2).mean(), ((seen.alpha - batch.mask) ** 2).mean()
    total = error + config.mask_weight * mask + config.air_weight * in_the_air(raw[:, on_rays:, 0], prior[:, on_rays:])
    return total, error.detach()


def in_the_air(learned: Tensor, prior: Tensor) -> Tensor:
    """Mean square of the raw density that was learned where the prior sees air, both (F, P), at random places of the box.

    Nothing that a camera saw speaks of what lies behind the visible surface; this keeps it as the prior has it.
    """
    return (torch.relu(learned) * (prior < 0)).square().mean()


def _density_and_colour(raw: Tensor, prior: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Density (F, R, S) per metre and colour (F, R, S, 3) in [0, 1]."""
    return to_density(raw[..., 0] + prior).view_as(lengths), torch.sigmoid(raw[..., 1:]).unflatten(1, lengths.shape[1:])


class _Score(torch.autograd.Function):
    """`score` by the kernel, which finds the gradient on the way."""

    @staticmethod
    def forward(ctx: Any, raw: Tensor, prior: Tensor, lengths: Tensor, batch: Batch, config: GridConfig) -> tuple[Tensor, Tensor]:
        from castfield.rendering.ray_kernels import score as run

        gradient, sums = raw.detach().clone(memory_format=torch.contiguous_format), raw.new_empty(len(raw), 3, dtype=torch.float64)
        given = (gradient, prior, lengths, batch.background, batch.colour, batch.mask)
        run(*(t.contiguous().numpy() for t in given), *DENSITY, config.mask_weight, config.air_weight, sums.numpy())
        ctx.save_for_backward(gradient)
        rays, air = batch.mask.numel(), raw.shape[0] * raw.shape[1] - lengths.numel()
        error, mask, high = sums.sum(0).tolist()
        error /= 3 * rays
        total = error + config.mask_weight * mask / rays + config.air_weight * high / max(1, air)
        return raw.new_tensor(total), raw.new_tensor(error)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,), scale = ctx.saved_tensors, float(gradients[0])
        return gradient if scale == 1 else gradient * scale, None, None, None, None
