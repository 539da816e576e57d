"""The Ray runner: clips as tasks on the nodes of a cluster. A node that dies costs the clips it was at, which begin again elsewhere.

`RAY_ADDRESS` names the cluster; without it Ray is started on this machine alone. Every node needs this package installed and
sees the project and the scratch folder under the same paths (a shared file system): only paths travel.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from castfield.config import WorkConfig
from castfield.errors import CastfieldError
from castfield.work import THREADS, Job, Outcome, Work, do_one, killed

RETRIES = 3
"""How often a clip begins again after its node or its process has died."""
CARRIED = ("CASTFIELD_", "GLOG_", "TF_CPP_", "OMP_WAIT_")
"""Environment variables whose names begin so are the same on every node."""


def over_cluster(work: Work, jobs: Sequence[Job], stores: Mapping[str, Path], config: WorkConfig) -> Iterator[Outcome]:
    """Do the jobs as Ray tasks, one CPU each; `config.workers` bounds how many are under way (0 = as many as the cluster has CPUs)."""
    if not jobs:
        return
    with _joined(config) as ray:
        task = ray.remote(do_there).options(num_cpus=1, max_retries=RETRIES, runtime_env={"env_vars": _environment()})
        waiting = iter(jobs)
        room = config.workers or len(jobs)
        running: dict[Any, Job] = {}
        try:
            while True:
                for job in islice(waiting, room - len(running)):
                    running[task.remote(str(Path.cwd()), work, job, stores[job.clip])] = job
                if not running:
                    return
                done, _ = ray.wait(list(running))
                for reference in done:
                    yield _outcome(ray, reference, running.pop(reference))
        finally:  # on an error what has not begun is dropped, and what has is ended
            for reference in running:
                ray.cancel(reference, force=True)


def do_there(folder: str, work: Work, job: Job, store: Path) -> Outcome:
    """`do_one` in the driver's working folder: the paths of a job may be relative to it."""
    os.chdir(folder)
    return do_one(work, job, store)


@contextmanager
def _joined(config: WorkConfig) -> Iterator[Any]:
    """Ray, connected to the cluster or started here. What was started here is stopped again."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    try:
        import ray
    except ImportError:
        cure = ".venv/bin/python -m pip install 'ray>=2.60,<3', or work.runner=processes"
        raise CastfieldError("the Ray runner needs Ray", cure=cure) from None
    address = os.environ.get("RAY_ADDRESS")
    ours = not ray.is_initialized()
    if ours and address:
        try:
            _must_answer(address)
            ray.init(address=address)
        except OSError as error:  # ConnectionError is one
            cure = "start one (`ray start --head`), or unset RAY_ADDRESS to use this machine alone"
            raise CastfieldError("no Ray cluster answers", found=str(error).splitlines()[0], where=address, cure=cure) from None
    elif ours:
        ray.init(address="local", num_cpus=config.workers or len(os.sched_getaffinity(0)), include_dashboard=False)
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def _must_answer(address: str) -> None:
    """Raises OSError where nobody listens at `host:port`; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        with socket.create_connection((host, int(port)), timeout=10):
            pass


def _environment() -> dict[str, str]:
    """Variables of a task's process: one thread as in the other runners, what concerns Castfield, and where its code lies."""
    carried = {name: value for name, value in os.environ.items() if name.startswith(CARRIED)}
    return {**carried, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _outcome(ray: Any, reference: Any, job: Job) -> Outcome:
    """A finished task's outcome; a bug in the work is raised as it was there."""
    try:
        outcome: Outcome = ray.get(reference)
        return outcome
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError):
        return killed(job, f" {1 + RETRIES} times")
