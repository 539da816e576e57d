"""How a person looks from the front, in the mean over their footage: what their planes start from.

Every texel of a frontal plane stands for a line through the head, of which cameras see the front. So before the first step a
person is there already, at rest; what is learned is how they move, and what is seen from the side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from castfield.fields.planes import BOX_HIGH, BOX_LOW
from castfield.geometry import project
from castfield.images import ClipImages

VIEWS = 8
"""Training frames that are looked at, evenly spread."""
SEEN = 0.02
"""Cover from which on a place's own colour counts; elsewhere it is the person's mean."""


@dataclass(frozen=True)
class FrontalView:
    """Texels of the frontal plane, line by line along y, in each line along x."""

    colour: Tensor
    """(side, side, 3) RGB in [0, 1]."""
    cover: Tensor
    """(side, side) in [0, 1]: how much of them the head masks hold."""


def frontal_view(clip: ClipImages, depth: Tensor, side: int) -> FrontalView:
    """The clip's training frames as seen at `side` x `side` places of the box, which lie at depth (D, D), z in metres by lines of y."""
    (left, low, _), (right, high, _) = BOX_LOW, BOX_HIGH
    within = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(low + (high - low) * within, left + (right - left) * within, indexing="ij")
    z = interpolate(depth[None, None], (side, side), mode="bilinear")[0, 0]
    frames = clip.train_frames[np.unique(np.linspace(0, len(clip.train_frames) - 1, VIEWS).round().astype(int))]
    rotation, translation = (torch.from_numpy(poses[frames]) for poses in (clip.track.rotation, clip.track.translation))
    focal, centre = torch.full((len(frames),), clip.focal), torch.full((2,), clip.size / 2)
    at = project(torch.stack([x, y, z], -1).view(-1, 3), rotation, translation, focal, centre) * (2 / clip.size) - 1
    pictures = torch.from_numpy(np.concatenate([clip.frames[frames], clip.head[frames][..., None]], -1)).permute(0, 3, 1, 2) / 255
    looked = grid_sample(pictures, at.view(-1, side, side, 2), padding_mode="border", align_corners=False)
    colours, weight = (looked[:, :3] * looked[:, 3:]).sum(0), looked[:, 3].sum(0)
    mean = torch.from_numpy(colours.numpy().sum((1, 2))) / weight.numpy().sum().clip(1e-6)  # NumPy's sums hang on no number of threads
    colour = torch.where(weight > SEEN * len(frames), colours / weight.clamp_min(1e-6), mean[:, None, None])
    return FrontalView(colour.permute(1, 2, 0).contiguous(), weight / len(frames))
