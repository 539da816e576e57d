"""Native code (MediaPipe, warp) writes a page to stderr at every start, whatever its log level says."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Send what native code writes to stderr nowhere for a moment; Python exceptions still get through."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
