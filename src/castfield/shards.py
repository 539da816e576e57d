"""`map_clips`: the one way a stage works over many clips.

Each clip is a job with a fingerprint of (inputs, parameters, code). What a job writes is kept in the scratch folder
under that fingerprint, so one new clip among a hundred costs one clip although DVC sees one stage, and a killed stage
goes on where it stopped. A clip that fails is named, and left out as long as few do.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from castfield.config import WorkConfig
from castfield.errors import CastfieldError, ClipError
from castfield.scratch import copy_into, fingerprint, scratch, write_json


@dataclass(frozen=True)
class Job:
    """One clip's work in one stage."""

    clip: str
    inputs: Mapping[str, Path]
    """Files that the result depends on, by role; their contents enter the fingerprint."""
    params: Any = None
    """The stage's config (a dataclass) or other plain values; enters the fingerprint."""


Work = Callable[[Job, Path], None]
"""A top-level function that writes files named `<clip>.*` into the folder it is given. Raises CastfieldError."""


@dataclass(frozen=True)
class Outcome:
    """How one clip went."""

    clip: str
    seconds: float
    cached: bool
    error: str | None


def map_clips(stage: str, work: Work, jobs: Sequence[Job], out: Path, config: WorkConfig, code: Sequence[Any] = ()) -> list[Outcome]:
    """Run `work` on every job and gather the files in `out`, with `<out>/failed.json` naming the clips left out.

    `code` lists modules whose source enters the fingerprint beside `work`'s own. Raises ClipError when more than
    `config.max_failed` of the clips fail, and any error that is not a CastfieldError at once.
    """
    out.mkdir(parents=True, exist_ok=True)
    keys = {job.clip: fingerprint(stage, job.clip, work, *code, job.params, *[v for _, v in sorted(job.inputs.items())]) for job in jobs}
    stores = {clip: scratch("clips", stage, f"{clip}-{key}") for clip, key in keys.items()}
    todo = [job for job in jobs if not stores[job.clip].is_dir()]
    outcomes = [Outcome(job.clip, 0.0, True, None) for job in jobs if stores[job.clip].is_dir()]
    print(f"{stage}: {len(jobs)} clips, {len(outcomes)} unchanged (cached), {len(todo)} to do", flush=True)
    with tqdm(total=len(todo), desc=stage, unit="clip", disable=not todo) as bar:
        for outcome in _runner(config)(work, todo, stores, config):
            outcomes.append(outcome)
            bar.update()
            bar.write(f"{stage}: {outcome.clip} {f'FAILED: {outcome.error}' if outcome.error else f'{outcome.seconds:.1f} s'}")
    failed = {o.clip: o.error for o in outcomes if o.error}
    for job in jobs:
        if job.clip not in failed:
            for path in sorted(stores[job.clip].iterdir()):
                copy_into(path, out)
    write_json(out / "failed.json", failed)
    if len(failed) > config.max_failed * len(jobs) or len(failed) == len(jobs):
        listed = "\n".join(f"  - {clip}: {error}" for clip, error in sorted(failed.items()))
        raise ClipError(
            f"{stage}: {len(failed)} of {len(jobs)} clips failed\n{listed}",
            expected=f"at most {config.max_failed:.0%} (work.max_failed)",
            cure="mend these clips or take them out of the manifest; the others are cached",
        )
    return sorted(outcomes, key=lambda o: o.clip)


def failed_clips(folder: Path) -> dict[str, str]:
    """Clips that the stage which wrote `folder` left out, with the reason."""
    import json

    path = folder / "failed.json"
    return json.loads(path.read_text()) if path.exists() else {}


def workers(config: WorkConfig) -> int:
    """How many clips are worked on at once."""
    return config.workers or len(os.sched_getaffinity(0))


def _one(work: Work, job: Job, store: Path) -> Outcome:
    """Do one job in a temporary folder that becomes `store` only when it is whole."""
    start = time.perf_counter()
    folder = Path(tempfile.mkdtemp(dir=store.parent, prefix=".part-"))
    try:
        work(job, folder)
        os.replace(folder, store)
        return Outcome(job.clip, time.perf_counter() - start, False, None)
    except CastfieldError as error:
        return Outcome(job.clip, time.perf_counter() - start, False, str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _inline(work: Work, jobs: Sequence[Job], stores: Mapping[str, Path], config: WorkConfig) -> Iterator[Outcome]:
    for job in jobs:
        yield _one(work, job, stores[job.clip])


def _limit_threads() -> None:
    """One core per worker: the pool is what fills the machine."""
    import torch

    torch.set_num_threads(1)


def _processes(work: Work, jobs: Sequence[Job], stores: Mapping[str, Path], config: WorkConfig) -> Iterator[Outcome]:
    count = min(workers(config), len(jobs))
    if count <= 1:
        yield from _inline(work, jobs, stores, config)
        return
    # `spawn`, because mediapipe and torch hold threads that do not survive a fork.
    with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_limit_threads) as pool:
        futures = [pool.submit(_one, work, job, stores[job.clip]) for job in jobs]
        for future in as_completed(futures):
            yield future.result()


def _ray(work: Work, jobs: Sequence[Job], stores: Mapping[str, Path], config: WorkConfig) -> Iterator[Outcome]:
    try:
        import ray
    except ImportError:
        raise CastfieldError("the Ray runner needs Ray", cure="pip install 'castfield[ray]', or work.runner=processes") from None
    ray.init(address=os.environ.get("RAY_ADDRESS"), ignore_reinit_error=True)
    task = ray.remote(max_retries=3, num_cpus=1)(_one)
    pending = [task.remote(work, job, stores[job.clip]) for job in jobs]
    while pending:
        done, pending = ray.wait(pending)
        yield from ray.get(done)


_RUNNERS: dict[str, Callable[..., Iterator[Outcome]]] = {"inline": _inline, "processes": _processes, "ray": _ray}


def _runner(config: WorkConfig) -> Callable[..., Iterator[Outcome]]:
    return _RUNNERS[config.runner]
