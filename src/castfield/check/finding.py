"""What one criterion says of a clip, and the verdict over all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How much a finding matters."""

    FINE = 0
    """As it should be."""
    NOTE = 1
    """Good to know; costs little."""
    REMARK = 2
    """The result will be worse for it."""
    STOP = 3
    """The clip cannot be used: a stage refuses it, or there is nothing in it to learn from."""


@dataclass(frozen=True)
class Finding:
    """One criterion's word on one clip."""

    name: str
    """The criterion."""
    level: Level
    text: str
    """What was found, as a sentence."""
    cure: str = ""
    """What to do about it."""
    frames: tuple[int, ...] = ()
    """Frames at 25 Hz that show it."""
    whole: bool = False
    """Show the whole picture rather than the crop around the head."""


def fine(name: str, text: str) -> Finding:
    """All is well."""
    return Finding(name, Level.FINE, text)


VERDICTS = {
    Level.FINE: "good",
    Level.NOTE: "good",
    Level.REMARK: "usable with remarks",
    Level.STOP: "not usable",
}


def worst(findings: list[Finding]) -> Level:
    """The gravest level among findings."""
    return max((finding.level for finding in findings), default=Level.FINE)


def plain(text: object) -> str:
    """ffmpeg's words without the names and addresses of its parts, and without a full stop."""
    return re.sub(r"\[[^\]]*@ 0x[0-9a-f]+\]\s*", "", str(text)).strip().rstrip(".")


def some(frames: list[int], most: int = 4) -> tuple[int, ...]:
    """At most `most` of the frames, evenly spread over the list."""
    if len(frames) <= most:
        return tuple(frames)
    return tuple(frames[round(k * (len(frames) - 1) / (most - 1))] for k in range(most))
