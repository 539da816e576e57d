"""Where the CPU kernels are used: for float32 on a CPU, where Numba is installed. Everything computes the same in plain PyTorch, slower."""

from __future__ import annotations

import os
import platform
import warnings
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor


def cpu_kernels(points: Tensor) -> Any:
    """The module `castfield.fields.kernels`, on as many threads as PyTorch uses; None where plain PyTorch has to do.

    CASTFIELD_KERNELS=off switches the kernels off.
    """
    if points.device.type != "cpu" or points.dtype != torch.float32 or not has_kernels():
        return None
    import numba

    kernels = _started()
    numba.set_num_threads(min(torch.get_num_threads(), kernels.THREADS))
    return kernels


def has_kernels() -> bool:
    """Whether there are kernels, and nobody switched them off."""
    return os.environ.get("CASTFIELD_KERNELS") != "off" and _usable()


@cache
def _usable() -> bool:
    """Whether Numba is installed and compiles for a CPU that converts float16 by itself: it links nothing that would do that."""
    if find_spec("numba") is None:
        return False
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    from llvmlite import binding
    from numba import config

    asked = config.CPU_FEATURES  # type: ignore[attr-defined]  # NUMBA_CPU_FEATURES, or none of them where NUMBA_CPU_NAME=generic
    if "+f16c" in (binding.get_host_cpu_features().flatten() if asked is None else asked):
        return True
    warnings.warn("the CPU kernels need a CPU with f16c (NUMBA_CPU_FEATURES says which): plain PyTorch is used, slower", stacklevel=2)
    return False


@cache
def _started() -> Any:
    """The kernels, with their threads running.

    Starting them sets the number of OpenMP threads, which is PyTorch's too; on another number its bits differ.
    """
    from castfield.fields import kernels

    threads, one = torch.get_num_threads(), np.zeros((1, 3), np.float32)
    kernels.trilinear(one, np.zeros(1, np.int64), np.zeros((1, 2, 2, 2), np.uint16), np.zeros(1, np.float32))
    torch.set_num_threads(threads)
    return kernels
