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
    """The weighted sum of the errors of colour and opacity and of what is learned of the density, and the colour's error alone.

    What is learned is an addition to what fit and masks say of a head (`systems.shape`). Drawn to nothing, it stays small where no
    camera has looked yet: what is cut away beside a head in one pose is its side in the next. The points behind the rays' samples lie
    at random places of the box, and speak for what no ray meets: they weigh as much as the samples together.
    """
    if cpu_kernels(raw):
        return _Score.apply(raw, prior, lengths, batch, config)
    on_rays = lengths.shape[1] * lengths.shape[2]
    seen = rendered(raw[:, :on_rays], prior[:, :on_rays], lengths, batch.background)
    error, mask = ((seen.colour - batch.colour) ** 2).mean(), ((seen.alpha - batch.mask) ** 2).mean()
    learned = raw[..., 0].square()
    drawn = learned[:, :on_rays].mean() + learned[:, on_rays:].mean()
    return error + config.mask_weight * mask + config.density_weight * drawn, error.detach()


def _density_and_colour(raw: Tensor, prior: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Density (F, R, S) per metre and colour (F, R, S, 3) in [0, 1]."""
    return to_density(raw[..., 0] + prior).view_as(lengths), torch.sigmoid(raw[..., 1:]).unflatten(1, lengths.shape[1:])


class _Score(torch.autograd.Function):
    """`score` by the kernel, which finds the gradient on the way."""

    @staticmethod
    def forward(ctx: Any, raw: Tensor, prior: Tensor, lengths: Tensor, batch: Batch, config: GridConfig) -> tuple[Tensor, Tensor]:
        from castfield.rendering.ray_kernels import score as run

        gradient, sums = raw.detach().clone(memory_format=torch.contiguous_format), raw.new_empty(len(raw), 4, dtype=torch.float64)
        given = (gradient, prior, lengths, batch.background, batch.colour, batch.mask)
        run(*(t.contiguous().numpy() for t in given), *DENSITY, config.mask_weight, config.density_weight, sums.numpy())
        ctx.save_for_backward(gradient)
        rays, samples = batch.mask.numel(), lengths.numel()
        error, mask, on_rays, elsewhere = sums.sum(0).tolist()
        error /= 3 * rays
        drawn = on_rays / samples + elsewhere / (raw.shape[0] * raw.shape[1] - samples)
        total = error + config.mask_weight * mask / rays + config.density_weight * drawn
        return raw.new_tensor(total), raw.new_tensor(error)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,), scale = ctx.saved_tensors, float(gradients[0])
        return gradient if scale == 1 else gradient * scale, None, None, None, None
