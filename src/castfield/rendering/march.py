"""The two ways rays are marched: the paper's two passes, and few samples where a proposal expects the surface."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from castfield.rendering.compositing import Rendering, composite, sample_weights
from castfield.rendering.rays import Rays
from castfield.rendering.sampling import hierarchical, near_surface, stratified

Query = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Points (F, R, S, 3) -> density (F, R, S) per metre, colour (F, R, S, 3)."""
Expect = Callable[[Tensor], Tensor]
"""Points (F, R, S, 3) -> expected density (F, R, S), without gradients."""


def two_passes(
    coarse: Query, fine: Query, rays: Rays, near: Tensor, far: Tensor, background: Tensor, samples: tuple[int, int], noise: Tensor | None
) -> Rendering:
    """NeRF's hierarchical sampling; the last sample of each pass lies on the background.

    near, far (F, R) metres, background (F, R, 3), samples = (coarse, further fine ones); noise (F, R, coarse + fine) or None.
    """
    first, second = samples
    depth = stratified(near, far, first, None if noise is None else noise[..., :first])
    density, colour = coarse(rays.at(depth))
    rough, _, weights = composite(density, colour, _lengths(depth, far), background)
    depth = hierarchical(depth, weights, second, None if noise is None else noise[..., first:])
    density, colour = fine(rays.at(depth))
    seen, opacity, _ = composite(density, colour, _lengths(depth, far), background)
    return Rendering(seen, opacity, rough)


def _lengths(depth: Tensor, far: Tensor) -> Tensor:
    """Distance to the next sample; from the last one to where the march ends."""
    return torch.cat([depth[..., 1:], far[..., None]], -1) - depth


def expected_samples(
    expect: Expect, rays: Rays, near: Tensor, far: Tensor, samples: int, probes: int, noise: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Depths and lengths (F, R, samples) near the surface that a proposal expects, looked up at `probes` places along each ray.

    near, far (F, R) metres; noise (F, R, samples) in [0, 1) or None. Where the proposal sees nothing along a ray, the lengths are 0.
    """
    length = (far - near)[..., None] / probes
    edges = near[..., None] + length * torch.arange(probes + 1, dtype=near.dtype, device=near.device)
    expected = expect(rays.at(edges[..., :-1] + 0.5 * length))
    hit = (expected > 0).any(-1)
    depth, lengths = near_surface(edges, sample_weights(expected, length), samples, noise)
    return depth, lengths * hit[..., None]
