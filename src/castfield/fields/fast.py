"""Where the CPU kernels are used: for float32 on a CPU, where Numba is installed. Everything computes the same in plain PyTorch, slower."""

from __future__ import annotations

import os
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
    return os.environ.get("CASTFIELD_KERNELS") != "off" and _installed()


@cache
def _installed() -> bool:
    return find_spec("numba") is not None


@cache
def _started() -> Any:
    """The kernels, with their threads running.

    Starting them sets the number of OpenMP threads, which is PyTorch's too; on another number its bits differ.
    """
    from castfield.fields import kernels

    threads, one = torch.get_num_threads(), np.zeros((1, 3), np.float32)
    kernels.trilinear(one, np.zeros(1, np.int64), np.zeros((1, 2, 2, 2), np.float32), np.zeros(1, np.float32))
    torch.set_num_threads(threads)
    return kernels
