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
        plain = closure is not None or any(p.device.type != "cpu" or p.dtype != torch.float32 for p, _ in rated)
        if plain or not rated or not cpu_kernels(rated[0][0]):
            return super().step(closure)
        from castfield.training.adam_kernel import BLOCK, move

        arrays: list[tuple[Tensor, ...]] = []
        rates = []
        for parameter, rate in rated:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros(())
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            state["step"] += 1
            steps = state["step"].item()
            rates.append((rate / (1 - BETAS[0] ** steps), 1 / (1 - BETAS[1] ** steps) ** 0.5))
            arrays.append((parameter, parameter.grad.contiguous(), state["exp_avg"], state["exp_avg_sq"]))
        sizes = np.array([len(a[0].view(-1)) for a in arrays])
        addresses = np.array([[t.data_ptr() for t in a] for a in arrays])
        # Blocks of equal length over all parameters, so that threads share them evenly.
        blocks = -(-sizes // BLOCK)
        which = np.repeat(np.arange(len(sizes)), blocks)
        first = (np.arange(len(which)) - np.repeat(np.cumsum(blocks) - blocks, blocks)) * BLOCK
        move(addresses, sizes, np.array(rates, np.float32), which, first)
        return None
