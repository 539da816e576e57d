"""The stage `parse`: head (with hair and neck), torso and background as soft masks, and the background plate."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from castfield import media, weights
from castfield.clip import Landmarks, clip_names, split_frames
from castfield.config import Config, ParseConfig
from castfield.layout import Layout
from castfield.quiet import quiet
from castfield.scratch import atomic
from castfield.shards import Job, map_clips
from castfield.tracking import head_split, matting, plate
from castfield.tracking.head_split import Colours, face_frame, head_share, place
from castfield.tracking.plate import background_plate


class Parsed(NamedTuple):
    """What a network says of a frame."""

    person: np.ndarray
    """(H, W) float32 coarse mask of the person in [0, 1]."""
    head: np.ndarray | None = None
    """(H, W) float32 how much of the person is head, in [0, 1]; None from a network that does not tell."""


Parser = Callable[[np.ndarray], Parsed]
"""A frame (H, W, 3) uint8 -> what is in it."""

PLATE_FRAMES = 64
"""Training frames that the plate and the colours are learned from: spread over the clip, so memory does not grow with it."""


def run(config: Config, layout: Layout) -> None:
    """Parse every clip that has landmarks into `data/masks`."""
    jobs = [
        Job(clip, {"frames": layout.frames / f"{clip}.mkv", "landmarks": layout.landmarks / f"{clip}.npz"}, config.parse)
        for clip in clip_names(layout.landmarks, ".npz")
    ]
    code = [matting, plate, head_split]
    if config.parse.parser == "bisenet":
        from castfield.tracking import bisenet

        code.append(bisenet)
    map_clips("parse", parse_clip, jobs, layout.masks, config.work, code)


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

        def masks() -> Iterator[np.ndarray]:
            for t, picture, alpha, share in _alphas(job.inputs["frames"], parser, known, weight):
                if share is None:
                    share = head_share(picture, alpha, *place(face, t, *alpha.shape), colours)
                head = np.rint(255 * alpha * share)
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
    return pictures, [parser(pictures[t]).person for t in sorted(pictures)]


def _alphas(
    path: Path, parser: Parser, known: np.ndarray, weight: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray | None]]:
    """Number, picture, steadied alpha and, if the parser tells, steadied share of head of every frame; a window of three is held."""
    window: deque[tuple[np.ndarray, np.ndarray, np.ndarray | None]] = deque(maxlen=3)
    count = 0
    for frame in media.stream(path):
        picture = frame.astype(np.float32) / 255
        parsed = parser(frame)
        window.append((picture, matting.refine(picture, parsed.person, known, weight), parsed.head))
        count += 1
        if count > 1:
            yield _centre(window, len(window) - 2, count - 2)
    yield _centre(window, len(window) - 1, count - 1)


def _centre(
    window: deque[tuple[np.ndarray, np.ndarray, np.ndarray | None]], at: int, number: int
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray | None]:
    near = list(window)[max(0, at - 1) : at + 2]
    middle = at - max(0, at - 1)
    pictures, heads = [picture for picture, _, _ in near], [head for _, _, head in near if head is not None]
    alpha = matting.steady([alpha for _, alpha, _ in near], pictures, middle)
    return number, pictures[middle], alpha, matting.steady(heads, pictures, middle) if heads else None


@contextmanager
def selfie() -> Iterator[Parser]:
    """MediaPipe's selfie segmentation (Apache-2.0), whose weights lie in its wheel."""
    with quiet():
        from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

        network = SelfieSegmentation(model_selection=0)
        network.process(np.zeros((64, 64, 3), np.uint8))
    with network:
        yield lambda frame: Parsed(np.clip(network.process(np.ascontiguousarray(frame)).segmentation_mask, 0, 1).astype(np.float32))


@contextmanager
def celeb_labels(path: Path | None = None) -> Iterator[Parser]:
    """BiSeNet with the labels of CelebAMask-HQ, from the weights at `path` or those called `bisenet`. Raises WeightsError."""
    import torch

    from castfield.tracking.bisenet import BiSeNet

    torch.set_num_threads(1)  # one core per clip, as above
    network = BiSeNet.load(weights.find("bisenet") if path is None else path)

    def parser(frame: np.ndarray) -> Parsed:
        with torch.inference_mode():
            person, head = network.parse(torch.tensor(frame))
        return Parsed(person.numpy(), head.numpy())

    yield parser


PARSERS = {"selfie": selfie, "bisenet": celeb_labels}
