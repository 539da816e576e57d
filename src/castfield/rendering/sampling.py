"""Where along a ray the field is looked at."""

from __future__ import annotations

import torch
from torch import Tensor


def stratified(near: Tensor, far: Tensor, count: int, noise: Tensor | None) -> Tensor:
    """One depth in each of `count` equal parts of [near, far] (...): (..., count), ascending (NeRF, eq. 2).

    noise (..., count) uniform in [0, 1) places it inside its part; None takes the middle.
    """
    part = torch.arange(count, dtype=near.dtype, device=near.device)
    share = (part + (0.5 if noise is None else noise)) / count
    return near[..., None] + (far - near)[..., None] * share


def inverse_cdf(edges: Tensor, weights: Tensor, quantiles: Tensor) -> Tensor:
    """Depths at `quantiles` (..., Q) of the piecewise constant density with `weights` (..., B) on bins `edges` (..., B + 1)."""
    total = weights.sum(-1, keepdim=True)
    share = torch.where(total > 0, weights / total.clamp_min(1e-12), torch.full_like(weights, 1 / weights.shape[-1]))
    cdf = torch.cat([torch.zeros_like(total), share.cumsum(-1)], -1)
    last = cdf.shape[-1] - 1
    above = torch.searchsorted(cdf, quantiles.contiguous(), right=True).clamp(1, last)
    below = above - 1
    cdf_low, cdf_high = cdf.gather(-1, below), cdf.gather(-1, above)
    inside = ((quantiles - cdf_low) / (cdf_high - cdf_low).clamp_min(1e-9)).clamp(0, 1)
    low, high = edges.gather(-1, below), edges.gather(-1, above)
    return low + inside * (high - low)


def hierarchical(depth: Tensor, weights: Tensor, count: int, noise: Tensor | None) -> Tensor:
    """NeRF's second pass: `count` more depths where the first pass saw `weights`, merged with its own (section 5.2).

    depth (..., S) ascending and weights (..., S) of the coarse samples -> (..., S + count) ascending. noise (..., count)
    uniform in [0, 1); None spreads the quantiles evenly. Gradients do not flow through the positions.
    """
    middle = 0.5 * (depth[..., 1:] + depth[..., :-1])
    inner = weights[..., 1:-1].detach() + 1e-5
    evenly = (torch.arange(count, dtype=depth.dtype, device=depth.device) + 0.5) / count
    more = inverse_cdf(middle, inner, evenly.expand(*depth.shape[:-1], count) if noise is None else noise)
    return torch.cat([depth, more], -1).sort(-1).values.detach()


def near_surface(edges: Tensor, weights: Tensor, count: int, noise: Tensor | None) -> tuple[Tensor, Tensor]:
    """`count` samples where a proposal expects the surface: depths and the lengths they stand for, both (..., count).

    The proposal's mass is cut into `count` equal parts; each part has one sample, placed by `noise` (..., count) in [0, 1) or
    in its middle, and stands for the part's length in metres. edges (..., B + 1), weights (..., B).
    """
    part = torch.arange(count + 1, dtype=edges.dtype, device=edges.device)
    # The ends stay a little inside, or the first and last part would reach through all of the empty space.
    cuts = (part / count).clamp(0.02 / count, 1 - 0.02 / count)
    inside = (part[:-1] + (0.5 if noise is None else noise)) / count
    batch = edges.shape[:-1]
    quantiles = torch.cat([cuts.expand(*batch, -1), inside.expand(*batch, count)], -1)
    depth = inverse_cdf(edges, weights, quantiles)
    cut, sample = depth[..., : count + 1], depth[..., count + 1 :]
    return sample, cut[..., 1:] - cut[..., :-1]
