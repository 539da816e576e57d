"""Works for `map_clips` as test subjects (importable, so that worker processes find them), and a stage that runs them.

python tests/works.py RUNNER OUT LOG CLIP... runs `work` over clips as a stage script would.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from castfield.config import Config, WorkConfig
from castfield.errors import ClipError
from castfield.layout import Layout
from castfield.scratch import write_npz
from castfield.shards import Job, map_clips
from castfield.stage import run_stage


def work(job: Job, folder: Path) -> None:
    """Write numbers that depend on the clip and on the number of threads in a sum; what its name asks for happens first."""
    log = Path(job.params["log"])
    with open(log, "a") as stream:
        stream.write(f"{job.clip} begins {os.getpid()}\n")
    if job.clip.startswith("bad"):
        raise ClipError("no face was found", where=job.clip, cure="take it out")
    if job.clip.startswith("bug"):
        raise ZeroDivisionError("a bug")
    if job.clip.startswith("killed"):
        (folder / f"{job.clip}.npz").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    while job.clip.startswith("wait") and not (log.parent / "release").exists():
        time.sleep(0.01)
    if job.clip.startswith("large"):
        write_npz(folder / f"{job.clip}.npz", values=np.zeros(200_000))
    seed = job.inputs["seed"].read_bytes() if "seed" in job.inputs else job.clip.encode()
    write_npz(folder / f"{job.clip}.npz", values=np.random.default_rng(list(seed)).random((64, 64)).astype(np.float32) @ np.ones((64, 64)))
    (folder / f"{job.clip}.txt").write_text(job.clip)
    with open(log, "a") as stream:
        stream.write(f"{job.clip} done\n")


def run(runner: str, out: Path, log: Path, clips: list[str], *, max_failed: float = 0.25, workers: int = 2, version: int = 1):
    """`work` over the clips."""
    jobs = [Job(clip, {}, {"log": str(log), "version": version}) for clip in clips]
    return map_clips("probe", work, jobs, out, WorkConfig(runner, workers, max_failed))  # type: ignore[arg-type]


def main(config: Config, layout: Layout) -> None:
    runner, out, log, *clips = sys.argv[1:]
    if limit := os.environ.get("PROBE_FILE_LIMIT"):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    run(runner, Path(out), Path(log), clips)


if __name__ == "__main__":
    run_stage(main)
