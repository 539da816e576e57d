"""`map_clips`: the one way a stage works over many clips.

Each clip is a job with a fingerprint of (inputs, parameters, code). What a job writes is kept in the scratch folder
under that fingerprint, so one new clip among a hundred costs one clip although DVC sees one stage, and a killed stage
goes on where it stopped. A clip that fails is named, and left out as long as few do.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
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


def map_clips(
    stage: str,
    work: Work,
    jobs: Sequence[Job],
    out: Path,
    config: WorkConfig,
    code: Sequence[Any] = (),
    elsewhere: Mapping[str, Path] | None = None,
) -> list[Outcome]:
    """Run `work` on every job and gather the files in `out`, with `<out>/failed.json` naming the clips left out.

    `code` lists modules whose source enters the fingerprint beside `work`'s own. `elsewhere` maps a file suffix to
    another folder. Files of clips that are no longer asked for are removed from these folders; what they held before
    stays untouched until every clip is done. Raises ClipError when more than `config.max_failed` of the clips fail,
    and any error that is not a CastfieldError at once; in either case what was finished is cached.
    """
    folders = {"": out, **(elsewhere or {})}
    keys = {job.clip: fingerprint(stage, job.clip, work, *code, job.params, sorted(job.inputs), *_files(job)) for job in jobs}
    if len(keys) != len(jobs):
        raise ClipError(f"{stage}: a clip name stands twice", found=sorted(job.clip for job in jobs))
    stores = {clip: scratch("clips", stage, f"{clip}-{key}") for clip, key in keys.items()}
    _sweep(scratch("clips", stage, "x").parent)
    todo = [job for job in jobs if not stores[job.clip].is_dir()]
    outcomes = [Outcome(job.clip, 0.0, True, None) for job in jobs if stores[job.clip].is_dir()]
    print(f"{stage}: {len(jobs)} clips, {len(outcomes)} unchanged (cached), {len(todo)} to do", flush=True)
    with tqdm(total=len(todo), desc=stage, unit="clip", disable=None if todo else True) as bar:
        for outcome in _runner(config)(work, todo, stores, config):
            outcomes.append(outcome)
            bar.update()
            bar.write(f"{stage}: {outcome.clip} {f'FAILED: {outcome.error}' if outcome.error else f'{outcome.seconds:.1f} s'}")
    failed = {o.clip: o.error for o in outcomes if o.error}
    if len(failed) > config.max_failed * len(jobs) or failed and len(failed) == len(jobs):
        listed = "\n".join(f"  - {clip}: {error}" for clip, error in sorted(failed.items()))
        raise ClipError(
            f"{stage}: {len(failed)} of {len(jobs)} clips failed\n{listed}",
            expected=f"at most {config.max_failed:.0%} (work.max_failed)",
            cure="mend these clips or take them out of the manifest; the others are cached",
        )
    _gather([stores[job.clip] for job in jobs if job.clip not in failed], folders)
    write_json(out / "failed.json", failed)
    return sorted(outcomes, key=lambda o: o.clip)


def _files(job: Job) -> list[Path]:
    return [path for _, path in sorted(job.inputs.items())]


def _gather(stores: Sequence[Path], folders: Mapping[str, Path]) -> None:
    """Make the folders hold the stores' files and nothing else (sub-folders are left alone)."""
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    wanted = set()
    for store in stores:
        os.utime(store)  # used: the sweep keeps it
        for path in sorted(store.iterdir()):
            wanted.add(copy_into(path, folders.get(path.suffix, folders[""])))
    for folder in folders.values():
        for path in folder.iterdir():
            if path.is_file() and path not in wanted:
                path.unlink()


_KEPT = 4  # results per clip and stage that stay in the scratch folder: going back to earlier parameters is free


def _sweep(folder: Path) -> None:
    """Remove what killed runs of this machine left behind, and results that have not been used for long."""
    results: dict[str, list[Path]] = {}
    for path in folder.iterdir():
        if path.name.startswith(".part-"):
            host, _, process = path.name.removeprefix(".part-").rpartition("-")[0].rpartition("-")
            if host == _HOST and process.isdigit() and not _alive(int(process)):
                shutil.rmtree(path, ignore_errors=True)
        elif path.is_dir():
            results.setdefault(path.name.rpartition("-")[0], []).append(path)
    for paths in results.values():
        for path in sorted(paths, key=lambda p: -p.stat().st_mtime)[_KEPT:]:
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a process that ended but whose parent has not taken note still has its number
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True


def failed_clips(folder: Path) -> dict[str, str]:
    """Clips that the stage which wrote `folder` left out, with the reason."""
    import json

    path = folder / "failed.json"
    return json.loads(path.read_text()) if path.exists() else {}


def workers(config: WorkConfig) -> int:
    """How many clips are worked on at once."""
    return config.workers or len(os.sched_getaffinity(0))


_HOST = "".join(c for c in platform.node() if c.isalnum()) or "host"


def _one(work: Work, job: Job, store: Path) -> Outcome:
    """Do one job in a temporary folder that becomes `store` only when it is whole."""
    start = time.perf_counter()
    folder = Path(tempfile.mkdtemp(dir=store.parent, prefix=f".part-{_HOST}-{os.getpid()}-"))
    try:
        with _one_thread():
            work(job, folder)
        try:
            folder.rename(store)
        except OSError:
            if not store.is_dir():  # else another run finished the same job first
                raise
        return Outcome(job.clip, time.perf_counter() - start, False, None)
    except CastfieldError as error:
        return Outcome(job.clip, time.perf_counter() - start, False, str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One torch thread per clip, in a pool and inline alike: the same bytes either way, and the pool fills the machine."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(threads)


def _inline(work: Work, jobs: Sequence[Job], stores: Mapping[str, Path], config: WorkConfig) -> Iterator[Outcome]:
    for job in jobs:
        yield _one(work, job, stores[job.clip])


def _prepare_worker() -> None:
    """Ctrl-C ends a worker without a traceback, and a worker whose parent was killed ends too (it would wait for ever)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (connection.wait([parent.sentinel]), os._exit(1)), daemon=True).start()


_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def _pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of single-threaded processes. On any error the jobs that have not begun are dropped."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # inherited; read when a library is loaded
    # `spawn`, because mediapipe and torch hold threads that do not survive a fork.
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_prepare_worker)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def _processes(work: Work, jobs: Sequence[Job], stores: Mapping[str, Path], config: WorkConfig) -> Iterator[Outcome]:
    count = min(workers(config), len(jobs))
    if count <= 1:
        yield from _inline(work, jobs, stores, config)
        return
    done: set[str] = set()
    try:
        with _pool(count) as pool:
            futures = [pool.submit(_one, work, job, stores[job.clip]) for job in jobs]
            for future in as_completed(futures):
                outcome = future.result()
                done.add(outcome.clip)
                yield outcome
        return
    except BrokenProcessPool:
        pass  # the system killed a worker, and with it the pool; it does not say which clip it was
    for job in jobs:
        if job.clip in done:
            continue
        if stores[job.clip].is_dir():
            yield Outcome(job.clip, 0.0, False, None)
            continue
        try:
            with _pool(1) as pool:
                yield pool.submit(_one, work, job, stores[job.clip]).result()
        except BrokenProcessPool:
            fault = ClipError(
                "the process that worked on this clip was killed", found="by the system, most likely for want of memory", where=job.clip,
                cure="a shorter or smaller clip, fewer `work.workers`, or more memory",
            )  # fmt: skip
            yield Outcome(job.clip, 0.0, False, str(fault))


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
