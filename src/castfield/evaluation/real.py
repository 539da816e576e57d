"""What the metrics need to know of each real clip, measured once at the renders' resolution."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from castfield import media
from castfield.evaluation import faces, lse
from castfield.evaluation.syncnet import SyncNet
from castfield.evaluation.tracked import Tracked, track
from castfield.images import resize
from castfield.scratch import write_npz
from castfield.shards import Job


@dataclass(frozen=True)
class RealParams:
    """What a real clip is measured with."""

    clip: str
    size: int
    """Side of the renders in pixels."""
    faces: int
    """Frames whose embedding is taken."""


@dataclass(frozen=True)
class Real:
    """One real clip."""

    tracked: Tracked
    embeddings: np.ndarray
    """(K, 128) of evenly spread frames."""
    without: int
    """Of these frames, how many in which the detector found no face."""
    sync: lse.Sync | None
    """None where the clip has no sound, or SyncNet its weights."""

    def save(self, path: Path) -> None:
        s = self.sync
        sync = np.array([s.distance, s.confidence, s.offset] if s else [])
        t = self.tracked
        write_npz(path, points=t.points, found=t.found, embeddings=self.embeddings, without=np.array(self.without), sync=sync)

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path) as z:
            sync = lse.Sync(float(z["sync"][0]), float(z["sync"][1]), int(z["sync"][2])) if len(z["sync"]) else None
            return cls(Tracked(z["points"], z["found"]), z["embeddings"], int(z["without"]), sync)


def measure_real(job: Job, out: Path) -> None:
    """Write `<job>.npz` of a real clip; inputs `frames`, and `speech` and `syncnet` where there are such."""
    params: RealParams = job.params
    frames = np.stack([resize(f, params.size) for f in media.stream(job.inputs["frames"])])
    tracked = track(frames)
    at = faces.spread(len(frames), params.faces)
    seen = faces.embed(frames[at], tracked.boxes()[at])
    Real(tracked, seen.embeddings, seen.without, synchrony(frames, tracked, job)).save(out / f"{job.clip}.npz")


def synchrony(frames: np.ndarray, tracked: Tracked, job: Job) -> lse.Sync | None:
    """SyncNet's verdict on frames at 25 Hz under the job's `speech`; None without weights, sound, a face, or 13 frames."""
    if not {"speech", "syncnet"} <= set(job.inputs) or not tracked.found.any() or len(frames) < lse.MEDIAN:
        return None
    net = SyncNet.load(job.inputs["syncnet"])
    crops = lse.face_crops(frames, tracked.bridged())
    return lse.synchrony(*lse.embeddings(net, crops, media.read_wav(job.inputs["speech"])))
