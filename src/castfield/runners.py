"""Where clips are worked on, by name: this process, a pool of processes, or Ray tasks.

A runner is `runner(work, jobs, stores, config)`, which does every job and yields its Outcome as it ends; `stores` says where
each clip's results go. Adding one is one function and one line in `RUNNERS`. All of them give the same bytes.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

from castfield.cluster import over_cluster
from castfield.config import WorkConfig
from castfield.work import THREADS, Job, Outcome, Work, do_one, killed

Runner = Callable[[Work, Sequence[Job], Mapping[str, Path], WorkConfig], Iterator[Outcome]]


def workers(config: WorkConfig) -> int:
    """How many clips are worked on at once."""
    return config.workers or len(os.sched_getaffinity(0))


def _inline(work: Work, jobs: Sequence[Job], stores: Mapping[str, Path], config: WorkConfig) -> Iterator[Outcome]:
    for job in jobs:
        yield do_one(work, job, stores[job.clip])


def _prepare_worker() -> None:
    """Ctrl-C ends a worker without a traceback, and a worker whose parent was killed ends too (it would wait for ever)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (connection.wait([parent.sentinel]), os._exit(1)), daemon=True).start()


@contextmanager
def _pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of single-threaded processes. On any error the jobs that have not begun are dropped."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))  # inherited; read when a library is loaded
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
            futures = [pool.submit(do_one, work, job, stores[job.clip]) for job in jobs]
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
                yield pool.submit(do_one, work, job, stores[job.clip]).result()
        except BrokenProcessPool:
            yield killed(job)


RUNNERS: dict[str, Runner] = {"inline": _inline, "processes": _processes, "ray": over_cluster}
