"""The stage `parse`: head (with hair and neck), torso and background as soft masks, and the background plate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from castfield import media, weights
from castfield.clip import Landmarks, clip_names, split_frames, spread
from castfield.config import Config, ParseConfig
from castfield.layout import Layout
from castfield.quiet import quiet
from castfield.scratch import atomic
from castfield.shards import Job, Step, map_clips
from castfield.solutions import solution
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

EVERY = 2
"""The network looks at every second frame. Between two, the person is their mean: where it moves, the colours decide in a wider band."""
TRACE = 1e-4
"""Less of a person than this is none: it is far below a step of the mask, and denormal numbers make every blur take many times as long."""
PLATE_FRAMES = 64
"""Training frames that the plate and the colours are learned from: spread over the clip, so memory does not grow with it."""


def run(config: Config, layout: Layout) -> None:
    """Parse every clip that has landmarks into `data/masks`."""
    stage, work, jobs, code = step(config, layout)
    map_clips(stage, work, jobs, layout.masks, config.work, code)


def step(config: Config, layout: Layout) -> Step:
    """The stage's work over its clips."""
    jobs = [
        Job(clip, {"frames": layout.frames / f"{clip}.mkv", "landmarks": layout.landmarks / f"{clip}.npz"}, config.parse)
        for clip in clip_names(layout.landmarks, ".npz")
    ]
    code = [matting, plate, head_split]
    if config.parse.parser == "bisenet":
        from castfield.tracking import bisenet

        code.append(bisenet)
    return Step("parse", parse_clip, jobs, code)


def parse_clip(job: Job, out: Path) -> None:
    """Write `<clip>.mkv` (head, torso, background; they sum to 255) and `<clip>.png` (the plate, RGBA)."""
    config: ParseConfig = job.params
    cv2.setNumThreads(1)  # one core per clip: the pool of clips is what fills the machine
    face = face_frame(Landmarks.load(job.inputs["landmarks"]).points)
    film = media.rewindable(lambda: media.stream(job.inputs["frames"]), len(face.chin))
    with PARSERS[config.parser]() as parser:
        pictures, known = _sample(film(), len(face.chin), parser)
        rgba, weight = background_plate(np.stack(list(pictures.values())), np.stack([_clear(known[t].person) for t in pictures]))
        colours = Colours()
        for t, picture in pictures.items():
            colours.learn(picture * np.float32(1 / 255), known[t].person, *place(face, t, *picture.shape[:2]))
        pictures.clear()

        plate = rgba[..., :3] * np.float32(1 / 255)

        def mattes() -> Iterator[Matte]:
            for t, (frame, parsed) in enumerate(_parsed(film(), parser, known)):
                picture = frame * np.float32(1 / 255)
                alpha = matting.refine(picture, parsed.person, plate, weight)
                head = head_share(picture, alpha, *place(face, t, *alpha.shape), colours) if parsed.head is None else parsed.head
                yield Matte(picture, alpha, head)

        def masks() -> Iterator[np.ndarray]:
            for _, alpha, share in _steadied(mattes()):
                head, whole = np.rint(255 * alpha * share), np.rint(255 * alpha)
                yield cv2.merge([head, whole - head, 255 - whole]).astype(np.uint8)

        media.encode_lossless_stream(out / f"{job.clip}.mkv", masks())
    with atomic(out / f"{job.clip}.png") as part:
        cv2.imwrite(str(part), cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA))


def _sample(film: Iterable[np.ndarray], frames: int, parser: Parser) -> tuple[dict[int, np.ndarray], dict[int, Parsed]]:
    """Up to PLATE_FRAMES training frames of so many by number, and what is in them."""
    train = split_frames(frames).train
    looked = train[train % EVERY == 0] if len(train) > EVERY else train
    chosen = set(spread(looked, PLATE_FRAMES).tolist())
    pictures = {t: frame for t, frame in enumerate(film) if t in chosen}
    return pictures, {t: parser(frame) for t, frame in pictures.items()}


def _clear(person: np.ndarray) -> np.ndarray:
    """Where the person is, or so near that hair and soft edges would tint the plate: (H, W) bool."""
    wide = np.ones((2 * matting.OUTER + 5,) * 2, np.uint8)
    return cv2.dilate((person >= 0.02).view(np.uint8), wide).view(bool)


def _parsed(frames: Iterable[np.ndarray], parser: Parser, known: Mapping[int, Parsed]) -> Iterator[tuple[np.ndarray, Parsed]]:
    """Every frame and what is in it; `known` are those that the parser has seen already."""
    waiting: list[np.ndarray] = []
    before: Parsed | None = None
    for t, frame in enumerate(frames):
        if t % EVERY:
            waiting.append(frame)
            continue
        after = known[t] if t in known else parser(frame)
        for number, between in enumerate(waiting, 1):
            yield between, _between(before or after, after, number / (len(waiting) + 1))
        yield frame, after
        waiting, before = [], after
    for frame in waiting:
        yield frame, parser(frame)


def _between(before: Parsed, after: Parsed, share: float) -> Parsed:
    person = cv2.addWeighted(before.person, 1 - share, after.person, share, 0)
    if before.head is None or after.head is None:
        return Parsed(person)
    return Parsed(person, cv2.addWeighted(before.head, 1 - share, after.head, share, 0))


class Matte(NamedTuple):
    """A frame and what was found in it."""

    picture: np.ndarray
    """(H, W, 3) float32 in [0, 1]."""
    alpha: np.ndarray
    """(H, W) float32 of the person."""
    head: np.ndarray
    """(H, W) float32 how much of the person is head."""


def _steadied(frames: Iterable[Matte]) -> Iterator[Matte]:
    """Every frame with its masks averaged over the frames beside it; three of them are held."""
    before: tuple[Matte, np.ndarray] | None = None
    now: Matte | None = None
    for after in frames:
        if now is not None:
            like = matting.likeness(now.picture, after.picture)
            yield _mean(now, [*([before] if before else []), (after, like)])
            before = now, like
        now = after
    if now is not None:
        yield _mean(now, [before] if before else [])


def _mean(frame: Matte, beside: list[tuple[Matte, np.ndarray]]) -> Matte:
    alpha, head = (matting.steady(getattr(frame, name), [(getattr(o, name), like) for o, like in beside]) for name in ("alpha", "head"))
    return Matte(frame.picture, alpha, head)


@contextmanager
def selfie() -> Iterator[Parser]:
    """MediaPipe's selfie segmentation (Apache-2.0), whose weights lie in its wheel."""
    with quiet():
        network = solution("selfie_segmentation").SelfieSegmentation(model_selection=0)
        network.process(np.zeros((64, 64, 3), np.uint8))
    with network:

        def parser(frame: np.ndarray) -> Parsed:
            person = network.process(np.ascontiguousarray(frame)).segmentation_mask
            return Parsed(np.where(person < TRACE, 0, np.minimum(person, 1)).astype(np.float32, copy=False))

        yield parser


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
