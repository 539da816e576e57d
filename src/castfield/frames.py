"""From footage to the square head clips that every later stage sees: crop, resize, 25 frames a second, speech.

One crop serves the whole clip, so that the background stands still and head motion stays motion of the head.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from castfield import footage
from castfield.clip import Crop, clip_names
from castfield.config import Config, FramesConfig
from castfield.errors import ClipError
from castfield.footage import WHOLE, Excerpt, Footage, cut_square, excerpt, samples, sound, write_wav
from castfield.layout import Layout
from castfield.media import FPS, Probe, probe
from castfield.shards import Job, map_clips
from castfield.tracking import detection
from castfield.tracking.detection import Face, FaceDetector, people

SAMPLE_HZ = 5.0
MOST_SAMPLES = 400
SURE = 0.75  # score that at least one of a person's faces has; cats reach 0.55
OFTEN = 0.2  # share of the sampled frames that makes a person part of the film
LEAST_MARGIN = 0.25  # of the face box's side: hair and chin still fit; taken where the picture has no more room


def run(config: Config, layout: Layout) -> None:
    """Cut every clip of `data/raw` into `data/frames` and `data/speech`; what a person should know is printed last."""
    jobs = []
    for clip in clip_names(layout.raw, ".json"):
        about = layout.raw / f"{clip}.json"
        jobs.append(Job(clip, {"about": about, "footage": layout.raw / Footage.load(about).file}, config.frames))
    code = [footage, detection, Crop]
    done = map_clips("frames", cut_clip, jobs, layout.frames, config.work, [sys.modules[__name__], *code], {".wav": layout.speech})
    for outcome in done:
        if not outcome.error:
            for warning in Crop.load(layout.frames / f"{outcome.clip}.json").warnings:
                print(f"frames: {outcome.clip}: {warning}")


def cut_clip(job: Job, folder: Path) -> None:
    """Work of the stage: `<clip>.mkv`, `<clip>.json` (Crop) and, with sound, `<clip>.wav`.

    Inputs `footage` (the file) and `about` (its Footage); params FramesConfig. Raises ClipError for footage that is
    empty, corrupt, shorter than `min_seconds` or without a face.
    """
    config: FramesConfig = job.params
    path, about = job.inputs["footage"], Footage.load(job.inputs["about"])
    opened = open_clip(job.clip, path, about, config)
    film, there = opened.film, opened.there
    warnings: list[str] = []
    box = find_square(film, opened.wanted, config, about.region, job.clip, warnings)
    frames, complaints = cut_square(film, folder / f"{job.clip}.mkv", box, config.size)
    must_be_whole(job.clip, opened, frames, complaints, config)
    if complaints:
        warnings.append(f"the decoder complained {len(complaints.splitlines())} times, first: {complaints.splitlines()[0][:160]}")
    if there is not None and opened.to_the_end and there > config.max_seconds + 1 / FPS:
        warnings.append(f"cut after {config.max_seconds:g} of {there:.1f} s (frames.max_seconds)")
    wave = sound(film, frames)
    if wave is not None:
        write_wav(folder / f"{job.clip}.wav", wave)
    else:
        warnings.append("no sound: speech metrics are left out for this clip")
    crop = Crop(
        (float(box[0]), float(box[1]), float(box[2])), config.size, (film.width, film.height), opened.header.fps, frames, film.start,
        wave is not None, tuple(warnings),
    )  # fmt: skip
    crop.save(folder / f"{job.clip}.json")


@dataclass(frozen=True)
class Opened:
    """A clip's footage whose header promises enough of it."""

    film: Excerpt
    header: Probe
    there: float | None
    """Seconds from the excerpt's start to the end of the file, as the header has it; None where it does not say."""
    wanted: float
    """Seconds that are to become the clip."""
    to_the_end: bool
    """Nobody asked for an earlier end than the file's."""


def open_clip(clip: str, path: Path, about: Footage, config: FramesConfig) -> Opened:
    """Open a clip's part of its file. Raises ClipError if the file is empty, corrupt or shorter than `min_seconds`."""
    start, end = (None, None) if about.cut else (about.start, about.end)
    start = start or 0.0
    film = excerpt(path, start, min(config.max_seconds, end - start if end is not None else config.max_seconds))
    header = probe(path)
    there = max(0.0, header.seconds - film.start) if header.seconds else None
    wanted = min(film.seconds or config.max_seconds, there if there is not None else config.max_seconds)
    if there is not None and wanted < config.min_seconds - 1 / FPS:
        raise _too_short(clip, wanted, config)
    return Opened(film, header, there, wanted, end is None)


def must_be_whole(clip: str, opened: Opened, frames: int, complaints: str, config: FramesConfig) -> None:
    """Raises ClipError where a film gave `frames` pictures at 25 Hz and that is too few, or far fewer than its header promised."""
    film, seconds = opened.film, frames / FPS
    if opened.there is not None and complaints and seconds < 0.9 * opened.wanted - 0.2:
        where = f"{clip}: {film.path}, frame {frames} ({film.start + seconds:.2f} s)"
        raise ClipError(
            "the video breaks off", expected=f"{opened.wanted:.2f} s", found=complaints.splitlines()[-1], where=where, cure=WHOLE
        )
    if seconds < config.min_seconds - 1 / FPS:
        raise _too_short(clip, seconds, config)


def find_square(
    film: Excerpt, seconds: float, config: FramesConfig, region: tuple[float, ...] | None, clip: str, warnings: list[str]
) -> tuple[int, int, int]:
    """Left, top and side of the square around the main person's head over the whole film, in upright source pixels.

    The main person is the one whose face fills most of the film; others seen in a fifth of it are named in `warnings`.
    Raises ClipError if no sampled frame shows a face.
    """
    persons = find_people([film], seconds, sampling(seconds), region, clip)
    seen = np.array([[f.x, f.y, f.side] for _, f in persons[0]])
    if len(persons) > 1:
        x, y = (float(v) for v in seen[:, :2].mean(0))
        warnings.append(
            f"{len(persons)} people are seen; the crop follows the larger face, around ({x:.0f}, {y:.0f}): give `crop` to choose another"
        )
    return head_square(seen, config.margin, film.width, film.height)


def sampling(seconds: float) -> float:
    """Samples a second in which faces are looked for in a film of `seconds`."""
    return min(SAMPLE_HZ, MOST_SAMPLES / max(seconds, 1.0))


def find_people(
    films: Sequence[Excerpt], seconds: float, rate: float, region: tuple[float, ...] | None, clip: str
) -> list[list[tuple[int, Face]]]:
    """The main person's faces in sampled frames, then those of others seen in a fifth of them: (sample, face in upright source pixels).

    `films` are stretches of one film of `seconds`; each is sampled at `rate` hertz. Raises ClipError if no sample shows a face.
    """
    film = films[0]
    found: list[list[Face]] = []
    persons: list[list[tuple[int, Face]]] = []
    with FaceDetector() as detector:
        # The whole picture first; then closer, for people far away, where texture resembles faces more often.
        for longest, tile, least in ((640, 0, 0.5), (1920, 480, SURE)):
            found = []
            for picture in chain.from_iterable(samples(film, rate, longest) for film in films):
                scale = film.width / picture.shape[1]
                faces = (Face(f.x * scale, f.y * scale, f.side * scale, f.score) for f in detector.find(picture, tile))
                found.append([face for face in faces if face.score >= least and _inside(face, region)])
            persons = [person for person in people(found) if max(face.score for _, face in person) >= SURE]
            if persons and len(persons[0]) >= OFTEN * len(found):
                break
    if not persons:
        raise ClipError(
            "no face was found", expected="one person who faces the camera", found=f"no face in {len(found)} sampled frames",
            where=f"{clip}: {film.path}, frames 0 to {max(0, round(seconds * FPS) - 1)}",
            cure="give `start`, `end` or `crop` in the manifest, or take the clip out",
        )  # fmt: skip
    return [persons[0], *(person for person in persons[1:] if len(person) >= OFTEN * len(found))]


def _inside(face: Face, region: tuple[float, ...] | None) -> bool:
    if region is None:
        return True
    left, top, width, height = region
    return left <= face.x <= left + width and top <= face.y <= top + height


def head_square(faces: np.ndarray, margin: float, width: int, height: int) -> tuple[int, int, int]:
    """One square for the face boxes (N, 3: centre x, y and side in pixels) of a film with pictures of `width` x `height`.

    It holds 95 % of the boxes' motion and `margin` face sides on each side. It is moved into the picture, and shrunk
    down to LEAST_MARGIN, before it may leave the picture: real pixels are worth more than continued edges.
    """
    side = float(np.median(faces[:, 2]))
    half = faces[:, 2:] / 2
    low = np.percentile(faces[:, :2] - half, 2.5, axis=0)
    high = np.percentile(faces[:, :2] + half, 97.5, axis=0)
    extent = float((high - low).max())
    wanted, least = extent + 2 * margin * side, extent + 2 * min(margin, LEAST_MARGIN) * side
    square = max(2, round(max(min(wanted, min(width, height)), least)))
    middle = (low + high) / 2
    corner = [_into(float(middle[axis]) - square / 2, square, (width, height)[axis]) for axis in (0, 1)]
    return corner[0], corner[1], square


def _into(corner: float, side: int, room: int) -> int:
    return round(min(max(corner, 0), room - side)) if side <= room else round(corner)


def _too_short(clip: str, seconds: float, config: FramesConfig) -> ClipError:
    return ClipError(
        "the clip is too short", expected=f"at least {config.min_seconds:g} s (frames.min_seconds)", found=f"{seconds:.2f} s",
        where=f"{clip}, frame {round(seconds * FPS)}", cure="use a longer film, correct `start` and `end`, or lower frames.min_seconds",
    )  # fmt: skip
