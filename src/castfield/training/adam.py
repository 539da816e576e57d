"""Adam (Kingma and Ba 2015) in one pass over all parameters: with a step as short as the fast field's, it is bound by memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from castfield.fields.fast import cpu_kernels

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Adam(torch.optim.Adam):
    """PyTorch's Adam, with its state; on a CPU as one kernel for all parameters instead of one for each."""

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__(groups, betas=BETAS, eps=EPSILON, fused=True)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move all parameters that have a gradient."""
        rated = [(p, float(group["lr"])) for group in self.param_groups for p in group["params"] if p.grad is not None]
        plain = closure is not None or not all(p.device.type == "cpu" and p.dtype == torch.float32 and p.is_contiguous() for p, _ in rated)
        if plain or not rated or not cpu_kernels(rated[0][0]):
            return super().step(closure)
        from castfield.training.adam_kernel import BLOCK, move

        states = [self.state[p] or self._new_state(p) for p, _ in rated]
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        unbias = 1 - np.array(BETAS) ** torch.stack(steps).numpy()[:, None].astype(np.float64)
        rates = np.stack([np.array([rate for _, rate in rated]) / unbias[:, 0], 1 / np.sqrt(unbias[:, 1])], 1).astype(np.float32)
        gradients = [p.grad.contiguous() for p, _ in rated]
        arrays = zip((p for p, _ in rated), gradients, states, strict=True)
        addresses = np.array([[t.data_ptr() for t in (p, g, s["exp_avg"], s["exp_avg_sq"])] for p, g, s in arrays])
        sizes = np.array([p.numel() for p, _ in rated])
        # Blocks of equal length over all parameters, so that threads share them evenly.
        blocks = -(-sizes // BLOCK)
        which = np.repeat(np.arange(len(sizes)), blocks)
        first = (np.arange(len(which)) - np.repeat(np.cumsum(blocks) - blocks, blocks)) * BLOCK
        move(addresses, sizes, rates, which, first)
        return None

    def _new_state(self, parameter: Tensor) -> dict[str, Tensor]:
        """Before the first step, with the names that PyTorch gives."""
        state = self.state[parameter]
        state["step"] = torch.zeros(())
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state
