"""How fast the footage was tracked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from castfield.clip import Track, clip_names
from castfield.media import FPS
from castfield.shards import Step


def pace(steps: Sequence[Step], tracks: Path, workers: int) -> dict[str, float]:
    """realtime_ratio: seconds of all steps over the length of the footage in `tracks`; below 1, tracking is faster than the clips are long.

    Clips are worked on side by side, as many as there are `workers`: their seconds are shared out. A clip whose result was
    kept from an earlier run counts with what it took then. Nothing is told where that is not known.
    """
    clips = clip_names(tracks, ".npz")
    took = [step.seconds() for step in steps]
    if any(clip not in seconds for clip in clips for seconds in took):
        return {}
    spent = sum(seconds[clip] for clip in clips for seconds in took)
    length = sum(len(Track.load(tracks / f"{clip}.npz")) for clip in clips) / FPS
    return {"realtime_ratio": round(spent / min(workers, len(clips)) / length, 3)}
