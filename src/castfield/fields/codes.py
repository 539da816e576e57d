"""Learned codes: one identity code per clip, one latent code per training frame (MI-NeRF, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Codes(nn.Module):
    """Identity codes (clips, d) and latent codes, a table (frames of the clip, L) per clip.

    Held-out frames have no latent code of their own: `mean_latent` stands in, the mean over the clip's training frames.
    A table per clip, so that a step touches (and Adam moves) only the clips that it saw.
    """

    def __init__(self, frames: Sequence[int], d: int, latent: int, spread: float = 0.05) -> None:
        super().__init__()
        self.identity = nn.Parameter(torch.randn(len(frames), d) * spread)
        self.tables = nn.ParameterList(torch.randn(count, latent).mul_(0.01) for count in frames)
        self.latent_dim = latent

    def latent(self, clips: Tensor, rows: Tensor) -> Tensor:
        """Latent codes (F, L) of the training frames `rows` (F,) (positions among the clip's training frames) of `clips` (F,)."""
        if not self.latent_dim:
            return self.identity.new_zeros(len(clips), 0)
        # The frames of a clip stand side by side, and are looked up together; as an embedding, whose way back is the shortest.
        runs, lengths = clips.unique_consecutive(return_counts=True)
        looked = zip(runs.tolist(), rows.split(lengths.tolist()), strict=True)
        return torch.cat([nn.functional.embedding(some, self.tables[clip]) for clip, some in looked])

    def mean_latent(self, clip: int) -> Tensor:
        """(L,) mean latent code of a clip."""
        return self.tables[clip].mean(0)
