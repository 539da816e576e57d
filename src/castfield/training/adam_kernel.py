"""A step of Adam as CPU kernels (Numba); `adam.py` calls them. Every number is written by itself, so threads do not change the bits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import prange

from castfield.fields.kernels import LENGTH, jit, parallel
from castfield.fields.vectors import add_product, add_scaled, load, mean_square, over_root, repeat, store, zeros
from castfield.training.adam import BETAS, EPSILON

KEEP_MEAN, KEEP_SQUARE, TINY = np.float32(BETAS[0]), np.float32(BETAS[1]), np.float32(EPSILON)
MIX_MEAN, MIX_SQUARE = np.float32(1 - BETAS[0]), np.float32(1 - BETAS[1])


@jit
def _mean(zero, gradient, mean, at):
    """The running mean at offset `at`, with a gradient blended in."""
    blended = add_scaled(add_scaled(zero, KEEP_MEAN, load(zero, mean, at)), MIX_MEAN, gradient)
    store(blended, mean, at)
    return blended


@jit
def _square(squares, square, at):
    """The running mean of squares at offset `at`, with the gradient's `squares` blended in."""
    kept = add_scaled(zeros(len(squares)), KEEP_SQUARE, load(squares, square, at))
    blended = add_scaled(kept, MIX_SQUARE, squares)
    store(blended, square, at)
    return blended


@jit
def _move(zero, weight, gradient, mean, square, at, rate, root):
    """As many numbers as `zero` has, at offset `at` of the four arrays."""
    given = load(zero, gradient, at)
    first, second = _mean(zero, given, mean, at), _square(add_product(zero, given, given), square, at)
    store(add_scaled(load(zero, weight, at), -rate, over_root(first, second, root, TINY)), weight, at)


@jit
def _move_together(zero, weight, gradient, mean, square, at, rate, root):
    """The same where these numbers share one place of `square`."""
    given = load(zero, gradient, at)
    first, second = _mean(zero, given, mean, at), _square(mean_square(given), square, at // len(zero))
    store(add_scaled(load(zero, weight, at), -rate, over_root(first, repeat(zero, second), root, TINY)), weight, at)


@cache
def mover(together: int) -> Callable[..., None]:
    """A step of parameters of which so many numbers at a time, side by side, share the running mean of squares.

    addresses (K, 4): where each parameter, its gradient and its running means of gradient and square lie; sizes (K,). rates (K, 2):
    learning rate over the mean's bias, and one over the root of the square's. Blocks (N,) of `length` numbers, a multiple of `together`,
    are given by the parameter that they belong to, and by their first number in it.
    """
    T = int(together)

    @parallel
    def move(addresses, sizes, rates, which, first, length):
        for block in prange(len(which)):
            k = which[block]
            weight, gradient, mean, square = addresses[k, 0], addresses[k, 1], addresses[k, 2], addresses[k, 3]
            end = min(sizes[k], first[block] + length)
            whole = first[block] + (end - first[block]) // LENGTH * LENGTH
            for at in range(first[block], whole, LENGTH):
                _move(zeros(LENGTH), weight, gradient, mean, square, at, rates[k, 0], rates[k, 1])
            for at in range(whole, end):
                _move(zeros(1), weight, gradient, mean, square, at, rates[k, 0], rates[k, 1])

    @parallel
    def move_together(addresses, sizes, rates, which, first, length):
        for block in prange(len(which)):
            k = which[block]
            weight, gradient, mean, square = addresses[k, 0], addresses[k, 1], addresses[k, 2], addresses[k, 3]
            for at in range(first[block], min(sizes[k], first[block] + length), T):
                _move_together(zeros(T), weight, gradient, mean, square, at, rates[k, 0], rates[k, 1])

    return move_together if T > 1 else move
