"""How a stage script starts: read the config, call one function, and turn a refusal into one clear message."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from castfield.config import Config, load_config
from castfield.errors import CastfieldError
from castfield.layout import Layout


def run_stage(body: Callable[[Config, Layout], None]) -> None:
    """Run `body(config, layout)` in the project's root; exit 1 with one message on a fault the user can mend."""
    if any(flag in sys.argv[1:] for flag in ("-h", "--help")):
        print(sys.modules["__main__"].__doc__ or "")
        return
    os.environ.setdefault("GLOG_minloglevel", "2")  # mediapipe's C++ side logs a page per start
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        body(load_config(), Layout())
    except CastfieldError as error:
        sys.exit(f"\n{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. What was finished is kept: `dvc repro` goes on from there.")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        cure = "free some space and run `dvc repro` again; what was finished is kept"
        sys.exit(f"\nThe disk is full: {error.filename or ''}\n  what to do: {cure}")


def fresh(folder: Path) -> Path:
    """An empty folder for a stage's outs."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
