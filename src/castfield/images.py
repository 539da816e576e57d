"""A clip as the field sees it: frames, head mask, background and poses at one size, memory-mapped from scratch.

Training, rendering and evaluation read clips only through here, so that they mean the same pixels by "frame",
"head" and "background".
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from castfield import media
from castfield.clip import Split, Track, clip_names, split_frames, spread
from castfield.errors import ClipError
from castfield.layout import Layout
from castfield.scratch import fingerprint, map_npz, scratch, write_npz

REACH = 1 / 32
"""The head mask is grown by this share of the picture's side where nothing of the head may be left outside: hull and boxes."""
MARGIN = 1 / 96
"""... and by this one before its inside counts as covered. What lies beside the head is the frame's own: a guess there would be a halo."""


@dataclass(frozen=True)
class ClipImages:
    """One clip at `size` x `size` pixels. The arrays, those of the track too, are memory maps: memory hardly grows with clips."""

    clip: str
    size: int
    frames: np.ndarray
    """(T, S, S, 3) uint8 RGB."""
    head: np.ndarray
    """(T, S, S) uint8 soft mask of the head with hair and neck."""
    background: np.ndarray
    """(T, S, S, 3) uint8: the frame outside what the head covers (`covers`), inside it the plate or what surrounds it."""
    boxes: np.ndarray
    """(T, 4) int32 left, top, right, bottom of the grown head mask in pixels (right and bottom exclusive)."""
    track: Track
    split: Split

    def __len__(self) -> int:
        return len(self.track)

    @property
    def focal(self) -> float:
        """Focal length in pixels at `size`."""
        return self.track.focal * self.size / self.track.size

    @cached_property
    def train_frames(self) -> np.ndarray:
        """Indices of the frames that may be learned from: not held out, with a valid pose."""
        return self.split.train[self.track.valid[self.split.train]]

    def spread_train_frames(self, count: int) -> np.ndarray:
        """Up to `count` of the `train_frames`, evenly spread."""
        return spread(self.train_frames, count)

    def cameras(self, frames: np.ndarray) -> np.ndarray:
        """(F, 3, 4) of some of the frames: from metres in head space to homogeneous pixels at `size`."""
        lens = np.array([[self.focal, 0, self.size / 2], [0, self.focal, self.size / 2], [0, 0, 1]])
        return lens @ np.concatenate([self.track.rotation[frames], self.track.translation[frames][..., None]], -1)


def load_all_images(layout: Layout, size: int, clips: Sequence[str] | None = None) -> list[ClipImages]:
    """Every clip that has a track, in order of name."""
    return [load_images(layout, clip, size) for clip in (clips or clip_names(layout.tracks, ".npz"))]


def load_images(layout: Layout, clip: str, size: int) -> ClipImages:
    """Open a clip at `size`, building its arrays in the scratch folder where they are not there yet.

    Raises ClipError if frames, masks and track disagree about the number of frames.
    """
    sources = {
        "frames": layout.frames / f"{clip}.mkv",
        "masks": layout.masks / f"{clip}.mkv",
        "plate": layout.masks / f"{clip}.png",
        "track": layout.tracks / f"{clip}.npz",
    }
    for role, path in sources.items():
        if not path.exists():
            raise ClipError(f"the clip '{clip}' has no {role}", expected=path, cure="dvc repro")
    track = Track.load(sources["track"], mapped=True)
    key = fingerprint(clip, size, Path(__file__), sources["frames"], sources["masks"], sources["plate"])
    store = scratch("images", f"{clip}-{size}-{key}")
    if not store.is_dir():
        build(sources["frames"], sources["masks"], sources["plate"], store, size, len(track))
    arrays = {name: np.load(store / f"{name}.npy", mmap_mode="r") for name in ("frames", "head", "background")}
    boxes = map_npz(store / "boxes.npz")["boxes"]
    if len(boxes) != len(track):
        raise ClipError(
            f"the clip '{clip}' has a track of another length", expected=f"{len(boxes)} frames", found=len(track), cure="dvc repro"
        )
    return ClipImages(clip, size, **arrays, boxes=boxes, track=track, split=split_frames(len(track)))


def build(frames: Path, masks: Path, plate: Path, store: Path, size: int, count: int) -> None:
    """Write frames.npy, head.npy, background.npy and boxes.npz into the folder `store`, which appears when it is whole."""
    folder = Path(tempfile.mkdtemp(dir=store.parent, prefix=".part-"))
    try:
        shape = (count, size, size)
        out_frames = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, (*shape, 3))
        out_head = np.lib.format.open_memmap(folder / "head.npy", "w+", np.uint8, shape)
        out_back = np.lib.format.open_memmap(folder / "background.npy", "w+", np.uint8, (*shape, 3))
        boxes = np.zeros((count, 4), np.int32)
        clean, seen = _plate(plate, size)
        at = -1
        for at, (frame, mask) in enumerate(zip(media.stream(frames), media.stream(masks), strict=True)):
            if at >= count:
                break
            small, parts = resize(frame, size), resize(mask, size)
            head, torso = parts[..., 0], parts[..., 1]
            out_frames[at], out_head[at] = small, head
            out_back[at] = fill_background(small, covers(head, torso), clean, seen)
            boxes[at] = bounding_box(grow(head))
        if at + 1 != count:
            raise ClipError("frames and track differ in length", expected=f"{count} frames", found=at + 1, where=frames, cure="dvc repro")
        for array in (out_frames, out_head, out_back):
            array.flush()
        write_npz(folder / "boxes.npz", boxes=boxes)
        os.replace(folder, store)
    except ValueError as error:  # zip(strict): one of the two videos is shorter
        raise ClipError("frames and masks differ in length", found=error, where=masks, cure="dvc repro") from None
    except OSError:
        if not store.is_dir():  # another process was faster: its arrays are the same
            raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _plate(path: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Background plate (S, S, 3) uint8 and where it was seen (S, S) bool."""
    from PIL import Image

    rgba = resize(np.asarray(Image.open(path).convert("RGBA")), size)
    return rgba[..., :3], rgba[..., 3] > 127


def area_weights(source: int, target: int) -> np.ndarray:
    """Box filter from `source` to `target` samples as a matrix (target, source) whose rows sum to one."""
    edges = np.arange(target + 1) * (source / target)
    low, high = edges[:-1, None], edges[1:, None]
    cell = np.arange(source)[None]
    overlap = np.clip(np.minimum(high, cell + 1) - np.maximum(low, cell), 0, None)
    return (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)


def resize(picture: np.ndarray, size: int) -> np.ndarray:
    """Area-average a square uint8 picture (N, N, C) to (size, size, C)."""
    if len(picture) == size:
        return picture
    if len(picture) % size == 0:
        step = len(picture) // size
        blocks = picture.reshape(size, step, size, step, -1).astype(np.uint32).sum((1, 3))
        return ((blocks + step * step // 2) // (step * step)).astype(np.uint8)
    weights = area_weights(len(picture), size)
    return np.round(np.einsum("ij,jkc,lk->ilc", weights, picture.astype(np.float32), weights, optimize=True)).astype(np.uint8)


def grow(head: np.ndarray, share: float = REACH) -> np.ndarray:
    """Head mask (S, S) or masks (S, S, F) uint8 -> bool, grown by a share of the side, as far as there is any of it: hair is thin."""
    import cv2

    reach = max(1, round(len(head) * share))
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return cv2.dilate((head > 12).view(np.uint8), square).view(bool).reshape(head.shape)


def covers(head: np.ndarray, torso: np.ndarray) -> np.ndarray:
    """What the rendered head may cover, (S, S) bool, from masks (S, S) uint8: the grown head without the torso beside it."""
    return grow(head, MARGIN) & ~((torso > 127) & (head < 64))


def bounding_box(covered: np.ndarray) -> np.ndarray:
    """(4,) left, top, right, bottom of a mask (S, S); the whole picture where the mask is empty."""
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    if not len(rows):
        return np.array([0, 0, covered.shape[1], covered.shape[0]])
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def fill_background(frame: np.ndarray, covered: np.ndarray, plate: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """What lies behind the head: (S, S, 3) uint8.

    Outside `covered` it is the frame itself; inside, the plate where it was `seen` in a training frame, elsewhere a
    smooth continuation of what surrounds it.
    """
    known = ~covered | seen
    picture = np.where(covered[..., None], plate, frame)
    if known.all() or not known.any():
        return picture
    filled = push_pull(torch.from_numpy(picture.astype(np.float32)), torch.from_numpy(known))
    return np.round(filled.numpy()).astype(np.uint8)


def push_pull(picture: Tensor, known: Tensor) -> Tensor:
    """Fill unknown pixels smoothly from known ones (Gortler et al. 1996, "The Lumigraph", pull-push).

    picture (H, W, C) float, known (H, W) bool -> (H, W, C); known pixels are unchanged.
    """
    weight = known.float()[None, None]
    colour = picture.permute(2, 0, 1)[None]
    return _push_pull(colour * weight, weight)[0].permute(1, 2, 0)


def _push_pull(colour: Tensor, weight: Tensor) -> Tensor:
    """colour is premultiplied by weight in [0, 1]."""
    size = weight.shape[-2:]
    if max(size) > 1:
        pool = torch.nn.functional.avg_pool2d
        coarse_weight = pool(weight, 2, ceil_mode=True, count_include_pad=False)
        coarse_colour = pool(colour, 2, ceil_mode=True, count_include_pad=False)
        # A coarse pixel with half of its area known is as good as known.
        gain = (2 * coarse_weight).clamp(max=1) / coarse_weight.clamp_min(1e-9)
        below = _push_pull(coarse_colour * gain, coarse_weight * gain)
        below = torch.nn.functional.interpolate(below, size=size, mode="bilinear", align_corners=False)
    else:
        below = torch.zeros_like(colour)
    return colour + (1 - weight) * below
