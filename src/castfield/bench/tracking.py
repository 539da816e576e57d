"""How long landmarks, parse and fit take, against the length of the footage."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from castfield.clip import Track, clip_names
from castfield.layout import Layout
from castfield.media import FPS
from castfield.tracking import fitting, landmarks, parsing

STAGES = {"landmarks": landmarks.run, "parse": parsing.run, "fit": fitting.run}


def tracking(bench: Any) -> dict[str, Any]:
    """Seconds of the three stages over all clips, and their sum over the footage's length (below 1: faster than real time)."""
    before = os.environ.get("CASTFIELD_SCRATCH")
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        for name in ("rig", "frames", "truth"):
            source, target = getattr(bench.layout, name), getattr(layout, name)
            if source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source.resolve())
        os.environ["CASTFIELD_SCRATCH"] = str(Path(folder) / "scratch")  # a cache of its own: nothing is done beforehand
        try:
            seconds = {}
            for name, run in STAGES.items():
                began = time.monotonic()
                run(bench.config, layout)
                seconds[name] = time.monotonic() - began
            length = sum(len(Track.load(layout.tracks / f"{clip}.npz")) for clip in clip_names(layout.tracks, ".npz")) / FPS
        finally:
            if before is None:
                del os.environ["CASTFIELD_SCRATCH"]
            else:
                os.environ["CASTFIELD_SCRATCH"] = before
    figures = {f"tracking_{name}_seconds": round(value, 1) for name, value in seconds.items()}
    return {**figures, "tracking_footage_seconds": round(length, 1), "tracking_ratio": round(sum(seconds.values()) / length, 3)}
