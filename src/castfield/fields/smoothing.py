"""Self-attention over a window of frames, which takes jitter out of conditions (AD-NeRF, section 3.2; MI-NeRF, appendix E)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class AttentionSmoothing(nn.Module):
    """Weighs the frames of a window and gives their weighted mean: (..., window, D) -> (..., D).

    As in AD-NeRF: five 1-D convolutions over time (width 3; 16, 8, 4, 2 channels, then one; leaky ReLU of slope .02)
    give a score per frame, a linear layer over the window and a softmax give the weights.
    """

    def __init__(self, dimension: int, window: int) -> None:
        super().__init__()
        channels = [dimension, 16, 8, 4, 2, 1]
        self.window = window
        self.convolutions = nn.ModuleList(nn.Conv1d(a, b, 3, padding=1) for a, b in pairwise(channels))
        self.scores = nn.Linear(window, window)

    def weights(self, x: Tensor) -> Tensor:
        """Attention weights (..., window) of a window (..., window, D); they sum to one."""
        y = x.flatten(0, -3).transpose(-1, -2) if x.ndim > 2 else x.transpose(-1, -2)[None]
        for convolution in self.convolutions:
            y = torch.nn.functional.leaky_relu(convolution(y), 0.02)
        return torch.softmax(self.scores(y[:, 0]), -1).reshape(x.shape[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return (self.weights(x)[..., None] * x).sum(-2)


def window_of(frames: Tensor, window: int, count: int) -> Tensor:
    """Indices (F, window) of the window around each of `frames` (F,): window/2 before to window/2 - 1 after, clamped to [0, count)."""
    offsets = torch.arange(window, device=frames.device) - window // 2
    return (frames[:, None] + offsets).clamp(0, count - 1)
