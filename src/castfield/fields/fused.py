"""The fast field on a CPU: look-ups, network and their gradients by the kernels of `grid_kernels.py`, as one step of autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from castfield.fields.fast import cpu_kernels
from castfield.fields.planes import depth_texels

WIDTHS = 4
"""The kernels take networks whose width is a multiple of this."""


def raw_density_and_colour(
    unit: Tensor, bias: Tensor, weights: Sequence[Tensor], moved: Tensor, people: Sequence[Tensor], sides: Sequence[int], moved_side: int
) -> Tensor:
    """What the network says (B, P, 4) of points unit (B, P, 3) in B frames of G people, B / G consecutive frames each.

    bias (B, W) of the first layer; weights: of the first layer (W, F), of the second with its bias, of the last with its bias;
    moved (B, texels', C); people: G sets of planes (texels, C). No gradient flows to the points: where they lie is given.
    """
    learned = (bias, *weights, moved, *people)
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in learned)
    return _Field.apply(unit, (tuple(sides), moved_side), keep, *learned)


def mix_planes(weights: Tensor, planes: Tensor) -> Tensor:
    """weights (B, E) @ planes (E, texels, C) -> (B, texels, C)."""
    if cpu_kernels(planes):
        return _Mix.apply(weights, planes)
    return (weights @ planes.flatten(1)).unflatten(1, planes.shape[1:])


class _Mix(torch.autograd.Function):
    """`mix_planes` by the kernels: products of so few rows with so many columns are not what a library is made for."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, planes: Tensor) -> Tensor:
        ctx.rows, (run, ctx.back) = _kernels(planes.shape[-1])
        weights, planes = weights.detach().contiguous(), planes.detach().contiguous()
        out = planes.new_empty(len(weights), *planes.shape[1:])
        run(weights.numpy(), planes.numpy(), out.numpy())
        ctx.save_for_backward(weights, planes)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        weights, planes = ctx.saved_tensors
        cpu_kernels(planes)
        mixed, texels, channels = planes.shape
        to_weights, to_planes = planes.new_empty(-(-texels // ctx.rows), len(weights), mixed, channels), torch.empty_like(planes)
        ctx.back(*(t.numpy() for t in (weights, planes, gradients[0].contiguous(), to_weights, to_planes)))
        return to_weights.sum((0, 3)), to_planes


class _Field(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, unit: Tensor, levels: tuple[tuple[int, ...], int], keep: bool, *learned: Tensor) -> Tensor:
        cpu_kernels(unit)
        bias, entry, hidden, hidden_bias, last, last_bias, moved, *people = (t.detach().contiguous() for t in learned)
        (frames, points), (width, inputs), unit = unit.shape[:2], entry.shape, unit.contiguous()
        rows, (run, *ctx.kernels) = _kernels(moved.shape[-1], len(levels[0]) + 1, width)
        filled = -(-points // rows) * rows
        features = unit.new_empty((frames, filled, inputs) if keep else (0, 0, 0))
        kept = unit.new_empty((2, frames, filled, width) if keep else (2, 0, 0, 0))
        out = unit.new_empty(frames, filled, 4)
        weights = [t.t().contiguous().numpy() for t in (entry, hidden, hidden_bias, last, last_bias)]
        places = (_addresses(people), _sides(levels[0]), _addresses(moved), _sides(levels[1:]))
        run(unit.numpy(), *places, bias.numpy(), *weights, features.numpy(), kept.numpy(), out.numpy())
        if keep:
            ctx.save_for_backward(unit, entry, hidden, last, features, kept)
            ctx.levels, ctx.shapes = levels, (moved.shape, [planes.shape for planes in people])
        return out[:, :points]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        unit, entry, hidden, last, features, kept = ctx.saved_tensors
        cpu_kernels(unit)
        run, scatter = ctx.kernels
        frames, filled, _ = features.shape
        missing = filled - unit.shape[1]
        gradient = (torch.nn.functional.pad(gradients[0], (0, 0, 0, missing)) if missing else gradients[0]).contiguous()
        bias, *weights = (t.new_empty(frames, *t.shape) for t in (hidden[0], entry, hidden, hidden[0], last, last[:, 0]))
        run(*(t.numpy() for t in (gradient, entry, hidden, last, features, kept, bias, *weights)))
        moved, people = unit.new_empty(ctx.shapes[0]), [unit.new_empty(shape) for shape in ctx.shapes[1]]
        places = (_sides(ctx.levels[0]), _sides(ctx.levels[1:]), _addresses(people), _addresses(moved))
        scatter(unit.numpy(), features.numpy(), *places)
        return None, None, None, bias, *(t.sum(0) for t in weights), moved, *people


def _addresses(sets: Sequence[Tensor] | Tensor) -> np.ndarray:
    """Where contiguous sets of planes lie."""
    return np.array([planes.data_ptr() for planes in sets], np.int64)


def _sides(resolutions: Sequence[int]) -> np.ndarray:
    """(levels, 2) texels along the sides and in depth, as the kernels take them."""
    return np.array([[r, depth_texels(r)] for r in resolutions], np.int64)


def _kernels(channels: int, *shape: int) -> tuple[int, tuple[Callable[..., None], ...]]:
    """Rows that the kernels take together, and the kernels of a field (levels, width) or, without its shape, of mixing.

    Imported late, because Numba need not be installed.
    """
    from castfield.fields import grid_kernels

    return grid_kernels.ROWS, grid_kernels.field_kernels(channels, *shape) if shape else grid_kernels.mixing_kernels(channels)
