"""What the machine can do: floating-point operations and memory traffic, measured by the same PyTorch in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from castfield.config import GridConfig
from castfield.fields.planes import texels


@dataclass(frozen=True)
class Limits:
    """Attainable rates."""

    flops: float
    """Per second: products of the field's own shape, all samples of a step (N, width) by (width, width)."""
    bytes: float
    """Per second, read plus written: a scaled sum of two arrays of the planes' size."""


@dataclass(frozen=True)
class Cost:
    """What a training step of the fast field has to do at least."""

    flops: float
    bytes: float


def best(work: Callable[[], object], repeats: int = 30) -> float:
    """Shortest time of a piece of work, seconds."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def measure_limits(config: GridConfig, people: int) -> Limits:
    """Measure both, on as many threads as PyTorch uses."""
    rows, width = config.frames * config.frame_rays(people) * config.samples, config.width
    a, b, out = torch.randn(rows, width), torch.randn(width, width), torch.empty(rows, width)
    products = best(lambda: torch.mm(a, b, out=out))
    x, y, z = (torch.zeros(people * texels(config.resolutions) * config.channels) for _ in range(3))
    triad = best(lambda: torch.add(x, y, alpha=2.0, out=z))
    return Limits(2 * rows * width * width / products, 12 * len(x) / triad)


def step_cost(config: GridConfig, people: int, parameters: int) -> Cost:
    """Operations and compulsory traffic of one step, forward and backward, with planes of `people` people in the batch.

    parameters: what the step moves, so without what belongs to people who are not in the batch.
    Operations: the network's three products and the mixing of the expression planes for every frame (three times: forward, and backward
    to weights and to inputs), and the look-ups' sums of twelve texels a level, twice. Traffic: Adam reads weight, gradient and two moments
    and writes three of them, where planes have one second moment a texel (latent codes, too few to tell, one a frame); planes are read
    and their gradients written; the mixed expression planes and their gradients are written and read; features, their gradients and two
    hidden layers wait for the way back.
    What caches absorb, such as a texel that neighbouring samples share or the gradients of hidden layers, is not counted.
    """
    rays = config.frame_rays(people)
    points = config.frames * (rays * config.samples + rays // 2)
    features = config.channels * (len(config.resolutions) + 1)
    network = features * config.width + config.width * config.width + config.width * 4
    expression = texels((config.expression_resolution,)) * config.channels
    mixing = config.frames * config.expression_planes * expression
    flops = 3 * 2 * (points * network + mixing) + points * 2 * 2 * 12 * features
    planes = people * texels(config.resolutions) * config.channels + config.expression_planes * expression
    moved = config.frames * expression
    waiting = points * (2 * features + 2 * config.width)
    adam = 7 * (parameters - planes) + 5 * planes + 2 * planes // config.channels
    return Cost(float(flops), float(4 * (adam + 2 * planes + 4 * moved + 2 * waiting)))
