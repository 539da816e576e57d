"""Adam (Kingma and Ba 2015) in one pass over all parameters: with a step as short as the fast field's, it is bound by memory.

Numbers that stand side by side can share the running mean of their squared gradients (as in Adam-mini, Zhang et al. 2024): a texel's
channels, which are looked up together, so that their gradients come and go together. That is a third of the state less.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from castfield.fields.fast import cpu_kernels

BETAS, EPSILON = (0.9, 0.999), 1e-8
BLOCK = 4096
"""Numbers that a thread takes at a time, about."""

Rated = tuple[Tensor, float, int]
"""A parameter, its learning rate, and how many of its numbers share a mean of squares."""


class Adam(torch.optim.Adam):
    """PyTorch's Adam, with its state; on a CPU as one kernel for all parameters instead of one for each.

    A group's `together` (1 where it is left out) says how many numbers share a mean of squares: the length of a parameter's last axis,
    which `exp_avg_sq` then lacks.
    """

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__([{"together": 1} | group for group in groups], betas=BETAS, eps=EPSILON, fused=True)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move all parameters that have a gradient."""
        rated = [
            (p, float(group["lr"]), int(group["together"])) for group in self.param_groups for p in group["params"] if p.grad is not None
        ]
        fast = all(p.device.type == "cpu" and p.dtype == torch.float32 and p.is_contiguous() for p, _, _ in rated)
        if closure is not None or not rated or not fast or not cpu_kernels(rated[0][0]):
            return self._step_plainly(rated, closure)
        for together, some in groupby(sorted(rated, key=_together), _together):
            self._step_fast(list(some), together)
        return None

    def _step_fast(self, rated: Sequence[Rated], together: int) -> None:
        """By the kernel, for parameters that are alike in what they share."""
        from castfield.training.adam_kernel import mover

        states, rates = self._next([p for p, _, _ in rated], np.array([rate for _, rate, _ in rated]), together)
        gradients = [p.grad.contiguous() for p, _, _ in rated if p.grad is not None]
        arrays = zip((p for p, _, _ in rated), gradients, states, strict=True)
        addresses = np.array([[t.data_ptr() for t in (p, g, s["exp_avg"], s["exp_avg_sq"])] for p, g, s in arrays])
        sizes, length = np.array([p.numel() for p, _, _ in rated]), BLOCK // together * together
        # Blocks of equal length over all parameters, so that threads share them evenly.
        blocks = -(-sizes // length)
        which = np.repeat(np.arange(len(sizes)), blocks)
        first = (np.arange(len(which)) - np.repeat(np.cumsum(blocks) - blocks, blocks)) * length
        mover(together)(addresses, sizes, rates.astype(np.float32), which, first, length)

    def _step_plainly(self, rated: Sequence[Rated], closure: Any) -> Any:
        """In PyTorch: what shares nothing by its own Adam."""
        shared = [(p, p.grad, rate, together) for p, rate, together in rated if together > 1 and p.grad is not None]
        for parameter, gradient, rate, together in shared:
            (state,), ((speed, root),) = self._next([parameter], np.array([rate]), together)
            state["exp_avg"].lerp_(gradient, 1 - BETAS[0])
            state["exp_avg_sq"].lerp_(gradient.square().mean(-1), 1 - BETAS[1])
            parameter.sub_(state["exp_avg"] / (state["exp_avg_sq"].sqrt() * root + EPSILON)[..., None], alpha=float(speed))
            parameter.grad = None
        result = super().step(closure)
        for parameter, gradient, _, _ in shared:
            parameter.grad = gradient
        return result

    def _next(self, parameters: Sequence[Tensor], rates: np.ndarray, together: int) -> tuple[list[dict[str, Tensor]], np.ndarray]:
        """States of parameters, with a step counted; and (K, 2) their learning rates over the mean's bias, and one over the root of the
        square's."""
        states = [self.state[p] or self._new_state(p, together) for p in parameters]
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        unbias = 1 - np.array(BETAS) ** torch.stack(steps).numpy()[:, None].astype(np.float64)
        return states, np.stack([rates / unbias[:, 0], 1 / np.sqrt(unbias[:, 1])], 1)

    def _new_state(self, parameter: Tensor, together: int) -> dict[str, Tensor]:
        """Before the first step, with the names that PyTorch gives."""
        if together > 1 and parameter.shape[-1] != together:
            raise ValueError(f"{together} numbers are to share a mean of squares, but the last axis has {parameter.shape[-1]}")
        state = self.state[parameter]
        state["step"] = torch.zeros(())
        state["exp_avg"] = torch.zeros_like(parameter)
        state["exp_avg_sq"] = torch.zeros_like(parameter if together == 1 else parameter[..., 0], memory_format=torch.contiguous_format)
        return state


def _together(rated: Rated) -> int:
    return rated[2]
