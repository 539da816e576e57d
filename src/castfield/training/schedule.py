"""Learning rates over a run, in steps."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate, which falls exponentially from `lr` to `lr_end`, but for the first steps, where it rises."""

    parameters: list[nn.Parameter]
    lr: float
    lr_end: float
    together: int = 1
    """So many numbers of a parameter share the running mean of their squared gradients: its last axis, or 1 (see `adam.Adam`)."""
    warm: int = 0
    """Steps over which the rate rises to what it would be."""

    def rate(self, step: int, progress: float) -> float:
        """Learning rate of a step, counted from 0, at this share of all steps."""
        return exponential(self.lr, self.lr_end, progress) * min(1.0, (step + 1) / max(1, self.warm))


def exponential(start: float, end: float, progress: float) -> float:
    """start (end / start)^progress, progress in [0, 1]."""
    return start * (end / start) ** progress if start > 0 else 0.0
