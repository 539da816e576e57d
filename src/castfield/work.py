"""One clip's work, done so that its results appear whole or not at all, wherever it runs."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from castfield.errors import CastfieldError, ClipError


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


TOOK = ".seconds"
"""File in a clip's store that says what its result took: beside the result and not in it, which is the same whenever it is made."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that a numeric library reads its number of threads from when it is loaded."""
HOST = "".join(c for c in platform.node() if c.isalnum()) or "host"


def do_one(work: Work, job: Job, store: Path) -> Outcome:
    """Do one job in a temporary folder that becomes `store` only when it is whole."""
    start = time.perf_counter()
    folder = Path(tempfile.mkdtemp(dir=store.parent, prefix=f".part-{HOST}-{os.getpid()}-"))
    try:
        with _one_thread():
            work(job, folder)
        (folder / TOOK).write_text(f"{time.perf_counter() - start:.3f}\n")
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


def killed(job: Job, times: str = "") -> Outcome:
    """What becomes of a clip whose process did not come back."""
    fault = ClipError(
        f"the process that worked on this clip was killed{times}", found="by the system, most likely for want of memory", where=job.clip,
        cure="a shorter or smaller clip, fewer `work.workers`, or more memory",
    )  # fmt: skip
    return Outcome(job.clip, 0.0, False, str(fault))
