"""The cast: synthetic people made from the rig, who talk, blink and move, filmed like any other footage.

`film(name, rig_folder, video, truth, seconds=None, distance=None)` writes a video with sound and its exact ground truth; `people()` lists
who there is. Later stages cannot tell such a video from another.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from castfield.cast.people import people

if TYPE_CHECKING:
    from castfield.cast.filming import Truth

__all__ = ["film", "people"]


def film(name: str, rig_folder: Path, video: Path, truth: Path, seconds: float | None = None, distance: float | None = None) -> Truth:
    """Film one person of the cast; see `castfield.cast.filming.film`."""
    from castfield.cast.filming import film as shoot

    return shoot(name, rig_folder, video, truth, seconds, distance)
