"""The stage `parse`: head (with hair and neck), torso and background as soft masks, and the background plate."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from castfield import media
from castfield.clip import Landmarks, clip_names, split_frames
from castfield.config import Config, ParseConfig
from castfield.layout import Layout
from castfield.quiet import quiet
from castfield.scratch import atomic
from castfield.shards import Job, map_clips
from castfield.tracking import head_split, matting, plate
from castfield.tracking.head_split import Colours, face_frame, head_share, place
from castfield.tracking.plate import background_plate

Parser = Callable[[np.ndarray], np.ndarray]
"""A frame (H, W, 3) uint8 -> coarse mask of the person (H, W) float32 in [0, 1]."""

PLATE_FRAMES = 64
"""Training frames that the plate and the colours are learned from: spread over the clip, so memory does not grow with it."""


def run(config: Config, layout: Layout) -> None:
    """Parse every clip that has landmarks into `data/masks`."""
    jobs = [
        Job(clip, {"frames": layout.frames / f"{clip}.mkv", "landmarks": layout.landmarks / f"{clip}.npz"}, config.parse)
        for clip in clip_names(layout.landmarks, ".npz")
    ]
    map_clips("parse", parse_clip, jobs, layout.masks, config.work, [matting, plate, head_split])


def parse_clip(job: Job, out: Path) -> None:
    """Write `<clip>.mkv` (head, torso, background; they sum to 255) and `<clip>.png` (the plate, RGBA)."""
    config: ParseConfig = job.params
    cv2.setNumThreads(1)  # one core per clip: the pool of clips is what fills the machine
    landmarks = Landmarks.load(job.inputs["landmarks"])
    face = face_frame(landmarks.points)
    with PARSERS[config.parser]() as parser:
        picture_of, people = _sample(job.inputs["frames"], len(landmarks.points), parser)
        numbers = np.array(sorted(picture_of))
        pictures = np.stack([picture_of[t] for t in numbers])
        # Well clear of the person: hair and soft edges must not tint the plate.
        wide = np.ones((2 * matting.OUTER + 1,) * 2, np.uint8)
        rgba, weight = background_plate(pictures, np.stack([cv2.dilate(person, wide) for person in people]))
        known = rgba[..., :3].astype(np.float32) / 255
        colours = Colours()
        for t, picture, person in zip(numbers, pictures, people, strict=True):
            colours.learn(picture / np.float32(255), person, *place(face, int(t), *person.shape))
        table = colours.table()

        def masks() -> Iterator[np.ndarray]:
            for t, picture, alpha in _alphas(job.inputs["frames"], parser, known, weight):
                u, v = place(face, t, *alpha.shape)
                head = np.rint(255 * alpha * head_share(picture, alpha, u, v, table))
                torso = np.rint(255 * alpha) - head
                yield np.stack([head, torso, 255 - head - torso], -1).astype(np.uint8)

        media.encode_lossless_stream(out / f"{job.clip}.mkv", masks())
    with atomic(out / f"{job.clip}.png") as part:
        cv2.imwrite(str(part), cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA))


def _sample(path: Path, frames: int, parser: Parser) -> tuple[dict[int, np.ndarray], list[np.ndarray]]:
    """Up to PLATE_FRAMES training frames by number, and their coarse masks in the same order."""
    train = split_frames(frames).train
    chosen = set(train[np.unique(np.linspace(0, len(train) - 1, PLATE_FRAMES).round().astype(int))].tolist())
    pictures = {t: frame for t, frame in enumerate(media.stream(path)) if t in chosen}
    return pictures, [parser(pictures[t]) for t in sorted(pictures)]


def _alphas(path: Path, parser: Parser, known: np.ndarray, weight: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Number, picture and steadied alpha of every frame; a window of three frames is held."""
    window: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=3)
    count = 0
    for frame in media.stream(path):
        picture = frame.astype(np.float32) / 255
        window.append((matting.refine(picture, parser(frame), known, weight), picture))
        count += 1
        if count > 1:
            yield _centre(window, len(window) - 2, count - 2)
    yield _centre(window, len(window) - 1, count - 1)


def _centre(window: deque[tuple[np.ndarray, np.ndarray]], at: int, number: int) -> tuple[int, np.ndarray, np.ndarray]:
    near = list(window)[max(0, at - 1) : at + 2]
    alpha = matting.steady([a for a, _ in near], [p for _, p in near], at - max(0, at - 1))
    return number, window[at][1], alpha


@contextmanager
def selfie() -> Iterator[Parser]:
    """MediaPipe's selfie segmentation (Apache-2.0), whose weights lie in its wheel."""
    with quiet():
        from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

        network = SelfieSegmentation(model_selection=0)
        network.process(np.zeros((64, 64, 3), np.uint8))
    with network:
        yield lambda frame: np.clip(network.process(np.ascontiguousarray(frame)).segmentation_mask, 0, 1).astype(np.float32)


PARSERS = {"selfie": selfie}
