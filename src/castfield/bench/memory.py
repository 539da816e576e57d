"""Memory against clips: what training holds that cannot be dropped, for more and more long clips.

The pictures and tracks of a clip are memory maps, which the system drops and reads again as it likes; what a run holds itself (planes,
moments, codes, and what saving them takes) is what can exhaust a machine. Measured in processes of their own, as the anonymous memory
of Linux.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import torch

from castfield.clip import Track, split_frames
from castfield.config import Config, load_config
from castfield.images import ClipImages
from castfield.media import FPS
from castfield.systems.model import build_model
from castfield.training.batches import Batches
from castfield.training.checkpoints import Checkpoints
from castfield.training.loop import fit

SIZE, D = 128, 52
SECONDS, LONG = 30, 300
"""Length of the clips, and of the longest that `frames.max_seconds` lets through."""
COUNTS, LONG_COUNTS = (10, 100), (10, 24)


def measure(bench: Any) -> dict[str, Any]:
    """Peak MiB that training holds for casts of COUNTS clips of 30 s, and by how much each further clip, of 30 s or 300 s, raises it."""
    found = {n: _alone(n, SECONDS) for n in COUNTS}
    long = {n: _alone(n, LONG) for n in LONG_COUNTS}  # compared with each other: what a step holds once is longer, too
    return {
        "mib_of_clips": {str(n): round(v, 1) for n, v in found.items()},
        "mib_per_clip": _each(found),
        "mib_per_long_clip": _each(long),
    }


def _each(found: dict[int, float]) -> float:
    """What a further clip takes, from the MiB of two casts."""
    (few, less), (many, more) = sorted(found.items())
    return round((more - less) / (many - few), 2)


def _alone(clips: int, seconds: int) -> float:
    """`held` in a process of its own."""
    command = [sys.executable, "-m", __name__, str(clips), str(seconds)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def blank_clip(number: int, folder: Path, frames: int = SECONDS * FPS) -> ClipImages:
    """A clip whose pictures take no disk: sparse files. What it shows does not matter here."""
    shapes = {"frames": (frames, SIZE, SIZE, 3), "head": (frames, SIZE, SIZE), "background": (frames, SIZE, SIZE, 3)}
    arrays = {name: np.memmap(folder / f"{number}-{name}", np.uint8, "w+", shape=shape) for name, shape in shapes.items()}
    arrays["head"][:2, 32:96, 32:96] = 255
    random = np.random.default_rng(number)
    pose = np.tile(np.diag([1.0, -1.0, -1.0]).astype(np.float32), (frames, 1, 1))
    Track(
        np.zeros(1, np.float32), random.random((frames, D), np.float32), pose, np.tile(np.array([0, 0, 1.0], np.float32), (frames, 1)),
        300.0, SIZE, np.ones(frames, bool), np.zeros((frames, 478, 2), np.float32),
    ).save(folder / f"{number}.npz")  # fmt: skip
    return ClipImages(
        f"blank{number}", SIZE, **arrays, boxes=np.tile(np.array([32, 32, 96, 96], np.int32), (frames, 1)),
        track=Track.load(folder / f"{number}.npz", mapped=True), split=split_frames(frames),
    )  # fmt: skip


def anonymous_mib() -> float:
    """Memory of this process that is not backed by a file, MiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "VmSwap:"))) / 1024


def most_held(work: Callable[[], object]) -> float:
    """Largest anonymous memory while some work is done, MiB, looked at every hundredth of a second."""
    most, done = 0.0, Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.01):
            most = max(most, anonymous_mib())

    watching = Thread(target=watch)
    watching.start()
    try:
        work()
    finally:
        done.set()
        watching.join()
    return most


def held(config: Config, folder: Path, clips: int, seconds: int = SECONDS) -> float:
    """Largest anonymous memory while a cast of blank clips is trained so long that every clip had its turn, and saved, MiB."""
    images = [blank_clip(n, folder, seconds * FPS) for n in range(clips)]

    def work() -> None:
        torch.set_num_threads(config.train.threads)
        system = build_model(config, images, None).system
        steps = 6 * max(1, clips // config.train.grid.clips) + 6
        fit(system, Batches(images, system.plan(), config.seed), steps, Checkpoints("memory", f"{clips}-{seconds}", 0.0), title="memory")

    return most_held(work)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", type=int)
    parser.add_argument("seconds", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        os.environ["CASTFIELD_SCRATCH"] = own
        print(held(load_config(), Path(own), given.clips, given.seconds))
