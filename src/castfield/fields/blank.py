"""What a cast's people begin with: zeros that take memory only where somebody is written to, and how that is done.

A hundred people are hundreds of megabytes, and the memory for them costs more time than what is written to it: a page of it at a time is
asked for, by one thread. So it is asked for where it is first written, by whoever writes, and in large pages where there are such and all
of them is written to.
"""

from __future__ import annotations

import math
import mmap

import numpy as np
import torch
from torch import Tensor


def blank(*shape: int, kind: type[np.generic] = np.float32, whole: bool = True) -> Tensor:
    """Zeros, of which no memory is taken yet. whole: whether a start writes to all of what is a person's, or to a part."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    if not size or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.from_numpy(np.zeros(shape, kind))
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if whole:
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.from_numpy(np.frombuffer(memory, kind).reshape(shape))


def move(known: Tensor, to: Tensor, weight: float) -> None:
    """Have `known` move by so much of the way to `to`, in place; all of it does not look at what it was."""
    if weight == 1:
        known.copy_(to)
    else:
        known.lerp_(to, weight)
