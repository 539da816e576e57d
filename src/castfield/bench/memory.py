"""Memory against clips: what training holds that cannot be dropped, for more and more long clips.

The pictures of a clip are memory maps, which the system drops and reads again as it likes; what a run holds itself (planes, moments,
codes, tracks) is what can exhaust a machine. Measured in processes of their own, as the anonymous memory of Linux.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from castfield.bench.trials import trial
from castfield.clip import Track, split_frames
from castfield.config import Config, load_config
from castfield.images import ClipImages

SIZE, FRAMES, D = 128, 750, 52
COUNTS = (10, 100)


def measure(bench: Any) -> dict[str, Any]:
    """Peak MiB that training holds for casts of COUNTS clips of 30 s, and by how much each further clip raises it."""
    found = {
        n: float(subprocess.run([sys.executable, "-m", __name__, str(n)], check=True, capture_output=True, text=True).stdout)
        for n in COUNTS
    }
    few, many = COUNTS
    return {
        "mib_of_clips": {str(n): round(v, 1) for n, v in found.items()},
        "mib_per_clip": round((found[many] - found[few]) / (many - few), 2),
    }


def blank_clip(number: int, folder: Path) -> ClipImages:
    """A clip of 30 s whose pictures take no disk: sparse files. What it shows does not matter here."""
    shapes = {"frames": (FRAMES, SIZE, SIZE, 3), "head": (FRAMES, SIZE, SIZE), "background": (FRAMES, SIZE, SIZE, 3)}
    arrays = {name: np.memmap(folder / f"{number}-{name}", np.uint8, "w+", shape=shape) for name, shape in shapes.items()}
    arrays["head"][:2, 32:96, 32:96] = 255
    random = np.random.default_rng(number)
    pose = np.tile(np.diag([1.0, -1.0, -1.0]).astype(np.float32), (FRAMES, 1, 1))
    track = Track(
        np.zeros(1, np.float32), random.random((FRAMES, D), np.float32), pose, np.tile(np.array([0, 0, 1.0], np.float32), (FRAMES, 1)),
        300.0, SIZE, np.ones(FRAMES, bool), np.zeros((FRAMES, 478, 2), np.float32),
    )  # fmt: skip
    return ClipImages(
        f"blank{number}", SIZE, **arrays, boxes=np.tile([32, 32, 96, 96], (FRAMES, 1)), track=track, split=split_frames(FRAMES)
    )


def anonymous_mib() -> float:
    """Memory of this process that is not backed by a file, MiB (Linux)."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Anonymous:", "Swap:"))) / 1024


def held(config: Config, clips: int) -> float:
    """Largest anonymous memory while a cast of blank clips is trained so long that every clip had its turn, MiB."""
    most = 0.0

    def look(model: object) -> float:
        nonlocal most
        most = max(most, anonymous_mib())
        return 0.0

    with tempfile.TemporaryDirectory() as folder:
        images = [blank_clip(n, Path(folder)) for n in range(clips)]
        trial(
            config,
            images,
            None,
            6 * max(1, clips // config.train.grid.clips) + 6,
            title="memory",
            marks=list(np.arange(0, 600, 0.05)),
            score=look,
        )
    return most


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", type=int)
    print(held(load_config(), parser.parse_args().clips))
