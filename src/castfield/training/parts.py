"""The parts of a step side by side: on a CPU each has a thread of its own.

Between the kernels, which use all threads by themselves, a step as short as the fast field's is many small operations that use
one: two parts at once hide them. The sums are the same in whichever order the parts end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn


class Parts(AbstractContextManager["Parts"]):
    """Computes the gradients of a step, part by part or all at once."""

    def __init__(self, parameters: Iterable[nn.Parameter], count: int) -> None:
        """parameters: what is learned; count: parts of a step that this process computes."""
        self.learned = [p for p in parameters if p.requires_grad]
        self.threads = torch.get_num_threads()
        at_once = min(count, self.threads) if self.learned[0].device.type == "cpu" else 1
        self._pool = ThreadPoolExecutor(at_once, "part", torch.set_num_threads, (self.threads // at_once,)) if at_once > 1 else None

    def __exit__(self, *_: Any) -> None:
        if self._pool:
            self._pool.shutdown()
            torch.set_num_threads(self.threads)  # also what threads to come begin with

    def learn(self, loss: Callable[[Any], tuple[Tensor, Tensor]], shares: Sequence[Any]) -> Tensor:
        """Set the gradients to the sum over the shares of a batch; the sums (2,) of what `loss` gives for each, a loss and an error."""

        def one(share: Any) -> tuple[Tensor, tuple[Tensor | None, ...]]:
            value, error = loss(share)
            # Not `backward`, which would add to the parameters' gradients from several threads.
            return torch.stack([value, error]).detach(), torch.autograd.grad(value, self.learned, allow_unused=True)

        sums = torch.zeros(2, device=self.learned[0].device)
        for values, gradients in (self._pool.map if self._pool else map)(one, shares):
            sums += values
            for parameter, gradient in zip(self.learned, gradients, strict=True):
                if gradient is not None:  # not added in place: autograd gives two parameters one tensor where they are added to each other
                    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return sums
