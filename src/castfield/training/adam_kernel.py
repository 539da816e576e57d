"""A step of Adam as a CPU kernel (Numba); `adam.py` calls it. Every number is written by itself, so threads do not change the bits."""

from __future__ import annotations

import numpy as np
from numba import prange

from castfield.fields.kernels import LENGTH, jit, parallel
from castfield.fields.vectors import add_product, add_scaled, load, over_root, store, zeros
from castfield.training.adam import BETAS, EPSILON

BLOCK = 4096
"""Numbers that a thread takes at a time."""
KEEP_MEAN, KEEP_SQUARE, TINY = np.float32(BETAS[0]), np.float32(BETAS[1]), np.float32(EPSILON)
MIX_MEAN, MIX_SQUARE = np.float32(1 - BETAS[0]), np.float32(1 - BETAS[1])


@jit
def _move(zero, weight, gradient, mean, square, at, rate, root):
    """As many numbers as `zero` has, at offset `at` of the four arrays."""
    given = load(zero, gradient, at)
    first = add_scaled(add_scaled(zero, KEEP_MEAN, load(zero, mean, at)), MIX_MEAN, given)
    second = add_scaled(add_scaled(zero, KEEP_SQUARE, load(zero, square, at)), MIX_SQUARE, add_product(zero, given, given))
    store(first, mean, at)
    store(second, square, at)
    store(add_scaled(load(zero, weight, at), -rate, over_root(first, second, root, TINY)), weight, at)


@parallel
def move(addresses, sizes, rates, which, first):
    """One step. addresses (K, 4): where each parameter, its gradient and its running means of gradient and square lie; sizes (K,).

    rates (K, 2): learning rate over the mean's bias, and one over the root of the square's. Blocks (N,) are given by the parameter that
    they belong to, and by their first number in it.
    """
    for block in prange(len(which)):
        k = which[block]
        weight, gradient, mean, square = addresses[k, 0], addresses[k, 1], addresses[k, 2], addresses[k, 3]
        end = min(sizes[k], first[block] + BLOCK)
        whole = first[block] + (end - first[block]) // LENGTH * LENGTH
        for at in range(first[block], whole, LENGTH):
            _move(zeros(LENGTH), weight, gradient, mean, square, at, rates[k, 0], rates[k, 1])
        for at in range(whole, end):
            _move(zeros(1), weight, gradient, mean, square, at, rates[k, 0], rates[k, 1])
