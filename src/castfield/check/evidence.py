"""All that is looked at in a clip before any criterion judges it. The stages' own functions refuse what the stages refuse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from castfield.check import scenes
from castfield.check.decoding import Decoded, Stretch, decode, key_thumbs, stretches
from castfield.check.faces import Views, look
from castfield.check.identity import strangers
from castfield.check.packets import Packets, packets
from castfield.check.turning import turn
from castfield.config import Config
from castfield.errors import ClipError
from castfield.footage import Footage, samples, sound
from castfield.frames import SAMPLE_HZ, Opened, find_people, head_square, must_be_whole, open_clip, sampling
from castfield.media import FPS
from castfield.tracking.detection import Face
from castfield.tracking.landmarks import must_be_seen

Person = list[tuple[int, Face]]
"""A person's faces: number of the sample and the face in upright source pixels."""

GLANCE = 0.5
"""Seconds at the start of every stretch of a long film in which people are looked for."""
TURNED = 6
"""Pictures that are looked at from all four sides."""


@dataclass(frozen=True)
class Evidence:
    """One clip, looked at. What comes after a refusal is empty."""

    path: Path
    config: Config
    refusals: tuple[ClipError, ...] = ()
    """What a stage will refuse the clip for."""
    opened: Opened | None = None
    packets: Packets | None = None
    parts: tuple[Stretch, ...] = ()
    """The stretches that were decoded: one where all of the film was."""
    decoded: Decoded | None = None
    cuts: tuple[int, ...] = ()
    """Frames with which a new shot begins."""
    leaps: int = 0
    """Other scenes that appear between the stretches of a film of which only these were decoded."""
    strangers: tuple[int, ...] = ()
    """Of a few frames of a film with cuts, those that show another person than most."""
    frames: int = 0
    """Frames at 25 Hz that the clip will have."""
    people: tuple[Person, ...] = ()
    """The main person, then others seen in a fifth of the samples."""
    turned: int = 0
    """Degrees, counter-clockwise, by which the picture must be turned to be upright."""
    box: tuple[int, int, int] | None = None
    """Left, top, side of the crop in upright source pixels."""
    views: Views | None = None
    """The main person's face in the frames `decoded.at`."""
    wave: np.ndarray | None = None
    """The sound, int16 at 16 kHz; None if silent or absent."""

    @property
    def still(self) -> bool:
        """Whether it is one picture throughout."""
        thumbs = self.decoded.thumbs if self.decoded else []
        return bool(thumbs) and all(scenes.standstills(part) == [(1, len(part))] for part in thumbs if len(part) > 1)


def gather(path: Path, config: Config, about: Footage | None = None) -> Evidence:
    """Look at a video. Nothing is raised for a bad one: `refusals` holds the errors of the stages."""
    clip, about = path.stem, about or Footage(path.name, "", f"path: {path}")
    with tqdm(total=3.0, desc=path.name, bar_format="{l_bar}{bar}| {elapsed}", leave=False, disable=None) as bar:
        try:
            opened = open_clip(clip, path, about, config.frames)
        except ClipError as error:
            return Evidence(path, config, (error,))
        refusals: list[ClipError] = []
        coded = packets(opened.film)
        parts = stretches(opened.film, opened.wanted, coded.keys)
        people, box = _people(parts, opened, about, config, clip, refusals)
        bar.update(1)
        seconds = min(opened.wanted, sum(part.film.seconds or opened.wanted for part in parts))
        decoded = decode(parts, seconds, box, config.frames.size, bar)
        frames = len(decoded.thumbs[0]) if len(parts) == 1 else _frames(coded, opened.wanted)
        complaints = "\n".join(filter(None, [decoded.complaints, coded.complaints]))
        with _kept(refusals):
            must_be_whole(clip, opened, frames, complaints, config.frames)
        shown = list(decoded.crops[:: max(1, len(decoded.crops) // TURNED)])
        turned = turn(shown or [picture for part in parts for picture in samples(part.film, 1.0)][:TURNED])
        views = look(decoded.crops, bar) if len(decoded.crops) else None
        if views is not None:
            with _kept(refusals):
                must_be_seen(clip, views.found, decoded.at, config.landmarks)
        wave = sound(opened.film, frames) if frames else None
        cuts = [part.first + at for part, thumbs in zip(parts, decoded.thumbs, strict=True) for at in scenes.cuts(thumbs)]
        leaps = scenes.leaps(key_thumbs(opened.film)) if len(parts) > 1 else 0
        others = strangers(decoded.crops, views.box, views.found) if views is not None and (cuts or leaps) else ()
    return Evidence(
        path, config, tuple(refusals), opened, coded, tuple(parts), decoded, frames=frames, people=tuple(people), box=box, turned=turned,
        views=views, cuts=tuple(cuts), leaps=leaps, strangers=tuple(int(decoded.at[k]) for k in others), wave=wave,
    )  # fmt: skip


@contextmanager
def _kept(refusals: list[ClipError]) -> Iterator[None]:
    """Keep a stage's refusal and go on: there is more to be seen."""
    try:
        yield
    except ClipError as error:
        refusals.append(error)


def _people(
    parts: list[Stretch], opened: Opened, about: Footage, config: Config, clip: str, refusals: list[ClipError]
) -> tuple[list[Person], tuple[int, int, int] | None]:
    """The people and the crop around the first."""
    films, rate = [part.film for part in parts], sampling(opened.wanted)
    if len(films) > 1:
        films, rate = [replace(film, seconds=GLANCE) for film in films], SAMPLE_HZ
    people: list[Person] = []
    with _kept(refusals):
        people = find_people(films, opened.wanted, rate, about.region, clip)
    if not people:
        return [], None
    seen = np.array([[face.x, face.y, face.side] for _, face in people[0]])
    return people, head_square(seen, config.frames.margin, opened.film.width, opened.film.height)


def _frames(coded: Packets, wanted: float) -> int:
    """Frames at 25 Hz of a film that was not decoded to its end."""
    return round(min(wanted, float(np.ptp(coded.times)) + 1 / FPS if len(coded.times) else 0.0) * FPS)
