"""Learning rates over a run, in steps."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate, which falls exponentially from `lr` to `lr_end`."""

    parameters: list[nn.Parameter]
    lr: float
    lr_end: float
    together: int = 1
    """So many numbers of a parameter share the running mean of their squared gradients: its last axis, or 1 (see `adam.Adam`)."""


def exponential(start: float, end: float, progress: float) -> float:
    """start (end / start)^progress, progress in [0, 1]."""
    return start * (end / start) ** progress if start > 0 else 0.0
