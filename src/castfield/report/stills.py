"""Single frames and videos as the page shows them."""

from __future__ import annotations

from typing import Any

import numpy as np

from castfield.images import resize
from castfield.report.findings import Findings
from castfield.report.html import h
from castfield.report.pictures import jpeg, nth_frame, small_mp4
from castfield.tasks import picture
from castfield.tasks.render import excerpt


def image(frame: np.ndarray, side: int, text: str, quality: int = 88) -> str:
    """A square frame enlarged to `side` pixels, as an image that `text` describes."""
    return f'<img src="{jpeg(picture.enlarge(frame, side), quality)}" alt="{h(text)}" loading="lazy">'


def video(f: Findings, task: str, name: str, width: int, poster_at: int, caption: str, *, loop: bool = False) -> str:
    """A card with the video `<task>/<name>.mp4`; until it plays it shows its frame number `poster_at`.

    `loop`: it plays at once, silently, and over and over.
    """
    path = f.layout.renders / task / f"{name}.mp4"
    label = f"{task.replace('_', ' ')}: {name.replace('__', ' driven by ')}"
    ways = "controls playsinline" + (" loop muted autoplay" if loop else "")
    poster = jpeg(nth_frame(path, poster_at))
    shown = f'<video {ways} preload="metadata" poster="{poster}" src="{small_mp4(path, width)}" aria-label="{h(label)}"></video>'
    return f'<figure class="card">{shown}<figcaption>{caption}</figcaption></figure>'


def real_frame(f: Findings, clip: str, at: int) -> np.ndarray:
    """Frame `at` of a clip's footage at the size of the renders."""
    return resize(nth_frame(f.layout.frames / f"{clip}.mkv", at), f.model.size)


def held_frame(entry: dict[str, Any]) -> int:
    """A frame that stands for an entry: the middle of the block held out in mid-speech."""
    at = [i for i, name in enumerate(entry["split"]) if name == "speech"]
    return at[len(at) // 2] if at else 0


def open_mouth(f: Findings, clip: str) -> int:
    """The frame in which the fitted inner lips stand farthest apart (points 13 and 14 of the face mesh)."""
    track = next(person.track for person in f.people if person.clip == clip)
    gap = np.linalg.norm(track.landmarks[:, 13] - track.landmarks[:, 14], axis=-1)
    part = excerpt(len(gap), f.config.render)
    return part.start + int(np.where(np.isfinite(gap) & track.valid, gap, -1)[part].argmax())


def three(ranked: list[str]) -> dict[str, str]:
    """The first, middle and last of a ranked list, and what to call them; all of a shorter one."""
    if len(ranked) < 3:
        return dict.fromkeys(ranked, "")
    return {ranked[0]: "best", ranked[len(ranked) // 2]: "middle", ranked[-1]: "worst"}
