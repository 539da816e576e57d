"""MediaPipe's networks ("solutions"), without what the package loads only to draw and to listen.

Whichever network is asked for, `import mediapipe` takes all of matplotlib and opens the sound device: most of the time that a
network needs to start, in each process anew.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from castfield.quiet import quiet


def solution(name: str) -> Any:
    """The module `mediapipe.python.solutions.<name>`. What it draws with is missing in this process, if nobody loaded it before."""
    with quiet(), _hollow("matplotlib", "matplotlib.pyplot"), _hollow("sounddevice"):
        return importlib.import_module(f"mediapipe.python.solutions.{name}")


@contextmanager
def _hollow(package: str, *modules: str) -> Iterator[None]:
    """While this lasts, who imports a package that is not loaded yet gets an empty one; afterwards the real one."""
    hollow = {name: ModuleType(name) for name in (package, *modules)} if package not in sys.modules else {}
    for name in modules if hollow else ():
        setattr(hollow[package], name.rpartition(".")[2], hollow[name])
    sys.modules.update(hollow)
    try:
        yield
    finally:
        for name in hollow:
            sys.modules.pop(name, None)
