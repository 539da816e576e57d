"""Positional encoding of points and directions (NeRF, eq. 4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def encode(x: Tensor, frequencies: int) -> Tensor:
    """(..., D) -> (..., D + 2 D frequencies): x itself, then sin(2^j pi x) and cos(2^j pi x) for j = 0 .. frequencies-1."""
    scales = math.pi * 2.0 ** torch.arange(frequencies, dtype=x.dtype, device=x.device)
    angles = (x[..., None, :] * scales[:, None]).flatten(-2)
    return torch.cat([x, torch.sin(angles), torch.cos(angles)], -1)


def encoded_dim(dimensions: int, frequencies: int) -> int:
    """Length of `encode`'s result."""
    return dimensions * (1 + 2 * frequencies)
