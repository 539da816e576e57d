"""Which rays a training step sees. A batch is a pure function of (seed, step): nothing is carried from step to step, so a
run that was killed draws what an undisturbed one would have drawn, and several processes share one batch between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from castfield.errors import TrainingError
from castfield.images import ClipImages


@dataclass
class Batch:
    """R rays in each of F frames; the frames of one clip stand side by side."""

    people: Tensor
    """(F,) int64 positions among the clips."""
    rows: Tensor
    """(F, W) int64 positions among the clip's training frames: the frame itself (W = 1) or the window round it."""
    expression: Tensor
    """(F, W, d) of those frames."""
    rotation: Tensor
    """(F, 3, 3) head -> camera."""
    translation: Tensor
    """(F, 3) metres."""
    focal: Tensor
    """(F,) pixels."""
    pixels: Tensor
    """(F, R, 2) pixel centres."""
    colour: Tensor
    """(F, R, 3) in [0, 1]."""
    background: Tensor
    """(F, R, 3) in [0, 1]."""
    mask: Tensor
    """(F, R) head mask in [0, 1]."""
    noise: Tensor
    """(F, R, K) uniform in [0, 1): places the samples along the rays."""

    def to(self, device: torch.device | str) -> Batch:
        """The batch on another device."""
        return Batch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})

    def share(self, rank: int, world: int) -> Batch:
        """The frames of process `rank` of `world`."""
        return Batch(**{f.name: getattr(self, f.name).tensor_split(world)[rank] for f in fields(self)})


@dataclass(frozen=True)
class Plan:
    """How a batch is made up."""

    frames: int
    """Frames a step (F)."""
    clips: int
    """Clips a step at most."""
    rays: int
    """Rays a frame (R)."""
    head_share: float
    """Share of the rays inside the head's box."""
    noise: int
    """Random numbers a ray (K)."""
    window: int = 1
    """Frames of the window round each frame (W)."""


class Batches:
    """Draws batches over a cast."""

    def __init__(self, images: Sequence[ClipImages], plan: Plan, seed: int) -> None:
        for clip in images:
            if not len(clip.train_frames):
                raise TrainingError(f"the clip '{clip.clip}' has no frame to learn from", expected="valid frames that are not held out")
        self.images, self.plan, self.seed = list(images), plan, seed
        people = len(self.images)
        # As many clips a step as divide its frames evenly: equal groups are looked up together.
        self.groups = max(g for g in range(1, min(plan.clips, people, plan.frames) + 1) if plan.frames % g == 0)
        self._rows = [_window_rows(clip.train_frames, len(clip), plan.window) for clip in self.images]
        # As plain arrays: indexing a memory map takes longer than the pixels that are read.
        names = ("frames", "background", "head")
        self._pictures = [[_pixel_rows(getattr(clip, name)) for name in names] for clip in self.images]

    def random(self, step: int, purpose: int = 0) -> np.random.Generator:
        """The generator of a step; `purpose` tells independent uses apart."""
        return np.random.Generator(np.random.Philox(key=[self.seed, purpose], counter=[0, 0, 0, step]))

    def draw(self, step: int) -> Batch:
        """The batch of a step, for all processes together."""
        plan, random = self.plan, self.random(step)
        people = np.repeat(random.permutation(len(self.images))[: self.groups], plan.frames // self.groups)
        rows = np.array([random.integers(len(self.images[p].train_frames)) for p in people])
        frames = [self.images[p].train_frames[row] for p, row in zip(people, rows, strict=True)]
        clips = [self.images[p] for p in people]
        boxes, size = np.stack([clip.boxes[frame] for clip, frame in zip(clips, frames, strict=True)]), clips[0].size
        places = self._pixels(random, boxes, size)
        looked = [np.empty((*places.shape, channels), np.uint8) for channels in (3, 3, 1)]
        for n, (person, frame) in enumerate(zip(people, frames, strict=True)):
            for pictures, found in zip(self._pictures[person], looked, strict=True):
                pictures.take(places[n] + frame * size * size, 0, found[n], mode="clip")
        colour, background, mask = (torch.from_numpy(found).float() / 255 for found in looked)
        windows = [self._rows[p][row] for p, row in zip(people, rows, strict=True)]
        expression = [clip.track.expression[clip.train_frames[window]] for clip, window in zip(clips, windows, strict=True)]
        return Batch(
            torch.from_numpy(people), torch.from_numpy(np.stack(windows)), _stack(expression),
            _stack([clip.track.rotation[frame] for clip, frame in zip(clips, frames, strict=True)]),
            _stack([clip.track.translation[frame] for clip, frame in zip(clips, frames, strict=True)]),
            _stack([clip.focal for clip in clips]),
            torch.from_numpy(np.stack([places % size, places // size], -1)).float() + 0.5,
            colour, background, mask[..., 0],
            torch.from_numpy(random.random((plan.frames, plan.rays, plan.noise), np.float32)),
        )  # fmt: skip

    def _pixels(self, random: np.random.Generator, boxes: np.ndarray, size: int) -> np.ndarray:
        """Pixels (F, R), counted line by line, most inside the boxes (F, 4), sorted along the picture, because neighbours share texels."""
        plan = self.plan
        inside = round(plan.rays * plan.head_share)
        u = random.random((2, len(boxes), plan.rays))
        low = np.zeros((2, len(boxes), plan.rays))
        extent = np.full_like(low, size)
        low[:, :, :inside] = boxes[:, :2].T[:, :, None]
        extent[:, :, :inside] = (boxes[:, 2:] - boxes[:, :2]).T[:, :, None]
        column, line = np.minimum((low + u * extent).astype(np.int64), size - 1)
        return np.sort(line * size + column, -1)


def _stack(values: Sequence[object]) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))


def _pixel_rows(pictures: np.ndarray) -> np.ndarray:
    """Pictures (T, S, S) or (T, S, S, C) as (T S S, C)."""
    return np.asarray(pictures).reshape(-1, pictures.shape[3] if pictures.ndim == 4 else 1)


def _window_rows(train: np.ndarray, count: int, window: int) -> np.ndarray:
    """(training frames, window) positions among the training frames of the frames round each.

    A neighbour in time that is held out or invalid is replaced by the training frame nearest to it.
    """
    if window == 1:
        return np.arange(len(train))[:, None]
    wanted = np.clip(train[:, None] + np.arange(window) - window // 2, 0, count - 1)
    return np.abs(wanted[..., None] - train).argmin(-1)
