"""Which rays a training step sees. A batch is a pure function of (seed, step): nothing is carried from step to step, so a
run that was killed draws what an undisturbed one would have drawn, and several processes share one batch between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from torch import Tensor

from castfield.errors import TrainingError
from castfield.images import ClipImages
from castfield.training.regions import region_boxes


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
    part: Tensor = field(default_factory=lambda: torch.ones(()))
    """() share of the step's rays that these are. A loss is scaled by it, so that the losses of all shares add up to the step's."""

    def to(self, device: torch.device | str) -> Batch:
        """The batch on another device."""
        return Batch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})

    def share(self, rank: int, world: int) -> Batch:
        """What process `rank` of `world` learns from: some of the frames or, where the processes are more, some rays of every frame.

        Raises TrainingError where there is nothing for a process to do.
        """
        frames, rays = self.mask.shape
        by_rays = frames < world
        # Rays stay in pairs, because the grid field looks at a random place beside every second one.
        size, count = (2, rays // 2) if by_rays else (1, frames)
        if count < world:
            raise TrainingError("there are more processes than pairs of rays in a step", expected=f"at most {count}", found=world)
        cuts = [size * (count * k // world) for k in range(1, world)]
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in PER_RAY if by_rays else own.keys() - {"part"}:
            own[name] = own[name].tensor_split(cuts, int(by_rays))[rank]
        own["part"] = self.part * own["mask"].numel() / self.mask.numel()
        return Batch(**own)


PER_RAY = ("pixels", "colour", "background", "mask", "noise")
"""What a batch holds for every ray (F, R, ...), not only for every frame."""


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
    lips_share: float = 0.0
    """Share of the rays inside the lips' box; they count among the head's."""
    eyes_share: float = 0.0
    """The same for the eyes."""

    @property
    def ends(self) -> list[int]:
        """Where the rays of the lips, of the eyes and of the rest of the head end among a frame's R rays; others lie anywhere."""
        lips, eyes = round(self.rays * self.lips_share), round(self.rays * self.eyes_share)
        return [lips, lips + eyes, max(lips + eyes, round(self.rays * self.head_share))]


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
        self._boxes = [region_boxes(clip) for clip in self.images]
        self._rows = [_window_rows(clip.train_frames, len(clip), plan.window) for clip in self.images]
        # As plain arrays: indexing a memory map takes longer than the pixels that are read.
        names = ("frames", "background", "head")
        self._pictures = [[_pixel_rows(getattr(clip, name)) for name in names] for clip in self.images]

    def random(self, step: int, purpose: int = 0) -> np.random.Generator:
        """The generator of a step; `purpose` tells independent uses apart."""
        return np.random.Generator(np.random.Philox(key=[self.seed, purpose], counter=[0, 0, 0, step]))

    def ahead(self, first: int, end: int) -> Iterator[Batch]:
        """The batches of the steps from `first` up to `end`, each drawn while the caller is busy with the one before."""
        with ThreadPoolExecutor(1, "draw") as pool:
            coming = [pool.submit(self.draw, first)] if first < end else []
            for step in range(first + 1, end + 1):
                batch = coming.pop().result()
                if step < end:
                    coming.append(pool.submit(self.draw, step))
                yield batch

    def draw(self, step: int) -> Batch:
        """The batch of a step, for all processes together."""
        plan, random = self.plan, self.random(step)
        people = np.repeat(random.permutation(len(self.images))[: self.groups], plan.frames // self.groups)
        rows = np.array([random.integers(len(self.images[p].train_frames)) for p in people])
        frames = [self.images[p].train_frames[row] for p, row in zip(people, rows, strict=True)]
        clips = [self.images[p] for p in people]
        boxes, size = np.stack([self._boxes[p][frame] for p, frame in zip(people, frames, strict=True)]), clips[0].size
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
        """Pixels (F, R), counted line by line, most inside the boxes (F, 3, 4), sorted along the picture: neighbours share texels."""
        u = random.random((2, len(boxes), self.plan.rays))
        low, extent = np.zeros_like(u), np.full_like(u, size)
        begin = 0
        for region, end in enumerate(self.plan.ends):
            low[:, :, begin:end] = boxes[:, region, :2].T[:, :, None]
            extent[:, :, begin:end] = (boxes[:, region, 2:] - boxes[:, region, :2]).T[:, :, None]
            begin = end
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
