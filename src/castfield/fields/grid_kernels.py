"""The fast field as CPU kernels (Numba): look-ups and network of a few points at a time, so that nothing leaves the caches in between.

`grid.GridField` says what they compute and `fused.py` calls them. Every kernel gives the same bits on any number of threads: what is
written in parallel is written to separate places, and every sum has its order. Texels hold their channels side by side; sets of planes
are given by their addresses, because each person's lie in an array of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import prange

from castfield.fields.kernels import HALF, ONE, jit, parallel
from castfield.fields.vectors import add, add_product, add_scaled, fetch, load, store, where_positive, zeros

ROWS = 64
"""Points that go through look-ups and network together; a frame's are filled up to a multiple."""
AHEAD = 12
"""Points by which texels are fetched before they are looked up: what Adam has just moved lies in main memory."""
TILE = 4
"""Rows whose sums stay in registers together."""


@jit
def _places(at, texels, low, share):
    """Coordinates at (ROWS,) in [-1, 1] among `texels` texels: the lower neighbours (ROWS,), never the last, and the upper ones' weights.

    Apart from what looks up, so that the loop becomes one of vectors.
    """
    for n in range(ROWS):
        inside = min(max(((at[n] + ONE) * np.float32(texels) - ONE) * HALF, np.float32(0)), np.float32(texels - 1))
        low[n] = min(np.int32(inside), np.int32(texels - 2))
        share[n] = inside - np.float32(low[n])


@jit
def _bilinear(to, planes, first, columns, u, v):
    """`to` plus what the plane has between texel `first` and those beside and below it."""
    C, below = len(to), (first + columns) * len(to)
    to = add_scaled(to, (ONE - v) * (ONE - u), load(to, planes, first * C))
    to = add_scaled(to, (ONE - v) * u, load(to, planes, first * C + C))
    to = add_scaled(to, v * (ONE - u), load(to, planes, below))
    return add_scaled(to, v * u, load(to, planes, below + C))


@jit
def _spread(gradient, planes, first, columns, u, v):
    """Add a gradient to the four texels from which `_bilinear` has its value."""
    C, below = len(gradient), (first + columns) * len(gradient)
    store(add_scaled(load(gradient, planes, first * C), (ONE - v) * (ONE - u), gradient), planes, first * C)
    store(add_scaled(load(gradient, planes, first * C + C), (ONE - v) * u, gradient), planes, first * C + C)
    store(add_scaled(load(gradient, planes, below), v * (ONE - u), gradient), planes, below)
    store(add_scaled(load(gradient, planes, below + C), v * u, gradient), planes, below + C)


@jit
def _level(zero, planes, low, share, n, sides, depth, start):
    """What one level has at a point: the sum of its planes over (y, x), (y, z) and (x, z)."""
    x, y, z = int(low[0, n]), int(low[1, n]), int(low[2, n])
    u, v, w = share[0, n], share[1, n], share[2, n]
    found = _bilinear(zero, planes, start + y * sides + x, sides, u, v)
    start += sides * sides
    found = _bilinear(found, planes, start + y * depth + z, depth, w, v)
    return _bilinear(found, planes, start + sides * depth + x * depth + z, depth, w, u)


@jit
def _fetch(planes, first, columns, channels):
    """Have the four texels fetched that `_bilinear` is going to look up."""
    fetch(planes, first * channels)
    fetch(planes, (first + 1) * channels)
    fetch(planes, (first + columns) * channels)
    fetch(planes, (first + columns + 1) * channels)


@jit
def _fetch_level(planes, low, n, sides, depth, start, channels):
    """Have the texels fetched that `_level` is going to look up."""
    x, y, z = int(low[0, n]), int(low[1, n]), int(low[2, n])
    _fetch(planes, start + y * sides + x, sides, channels)
    start += sides * sides
    _fetch(planes, start + y * depth + z, depth, channels)
    _fetch(planes, start + sides * depth + x * depth + z, depth, channels)


@jit
def _tile(start, x, n, weights):
    """start + x[n + j] @ weights, j = 0 to 3: x (rows, I), weights (I, len(start))."""
    a = b = c = d = start
    for k in range(x.shape[1]):
        row = load(start, weights, k * len(start))
        a, b = add_scaled(a, x[n, k], row), add_scaled(b, x[n + 1, k], row)
        c, d = add_scaled(c, x[n + 2, k], row), add_scaled(d, x[n + 3, k], row)
    return a, b, c, d


@jit
def _write(a, b, c, d, out, n):
    """Four rows of out (rows, len(a)), from row n on."""
    store(a, out, n * len(a))
    store(b, out, (n + 1) * len(a))
    store(c, out, (n + 2) * len(a))
    store(d, out, (n + 3) * len(a))


@jit
def _read(like, x, n):
    """Four rows of x (rows, len(like)), from row n on."""
    size = len(like)
    return load(like, x, n * size), load(like, x, (n + 1) * size), load(like, x, (n + 2) * size), load(like, x, (n + 3) * size)


@jit
def _linear(start, x, weights, out):
    """out (ROWS, O) = start + x (ROWS, I) @ weights (I, O)."""
    for n in range(0, ROWS, TILE):
        a, b, c, d = _tile(start, x, n, weights)
        _write(a, b, c, d, out, n)


@jit
def _rectified(start, x, weights, out):
    """As `_linear`, with 0 in place of what is negative."""
    for n in range(0, ROWS, TILE):
        a, b, c, d = _tile(start, x, n, weights)
        _write(where_positive(a, a), where_positive(b, b), where_positive(c, c), where_positive(d, d), out, n)


@jit
def _rectified_back(zero, gradient, weights, hidden, out):
    """out (ROWS, I) = gradient (ROWS, O) @ weights (O, I) where the rectified `hidden` (ROWS, I) is positive, elsewhere 0."""
    for n in range(0, ROWS, TILE):
        a, b, c, d = _tile(zero, gradient, n, weights)
        e, f, g, h = _read(zero, hidden, n)
        _write(where_positive(e, a), where_positive(f, b), where_positive(g, c), where_positive(h, d), out, n)


@jit
def _add_products(zero, gradient, x, out):
    """out (O, I) += gradient (ROWS, O)^T @ x (ROWS, I)."""
    for o in range(0, gradient.shape[1], TILE):
        a, b, c, d = _read(zero, out, o)
        for n in range(ROWS):
            row = load(zero, x, n * len(zero))
            a, b = add_scaled(a, gradient[n, o], row), add_scaled(b, gradient[n, o + 1], row)
            c, d = add_scaled(c, gradient[n, o + 2], row), add_scaled(d, gradient[n, o + 3], row)
        _write(a, b, c, d, out, o)


@jit
def _sum_rows(start, x):
    """start + the sum of the rows of x (ROWS, O)."""
    for n in range(ROWS):
        start = add(start, load(start, x, n * len(start)))
    return start


@cache
def field_kernels(channels: int, levels: int, width: int) -> tuple[Callable[..., None], Callable[..., None], Callable[..., None]]:
    """(forward, backward, scatter) of a field with so many channels, levels (the expression's is one) and units."""
    C, F, W, L = int(channels), int(channels * levels), int(width), int(levels)

    @parallel
    def forward(unit, planes, sides, moved, moved_sides, bias, entry, hidden, hidden_bias, last, last_bias, features, kept, out):
        """Raw density and colour, out (B, Q, 4), at unit (B, P, 3); Q is P filled up to a multiple of ROWS.

        planes (G,) addresses of sets (texels, C) and moved (B,) of sets (texels', C); sides (levels - 1, 2) and moved_sides (1, 2):
        texels along x and y and along z; bias (B, W); weights (inputs, outputs). What the way back needs is kept in features (B, Q, F)
        and kept (2, B, Q, W), unless features is empty.
        """
        frames, points, filled = unit.shape[0], unit.shape[1], out.shape[1]
        group, blocks = frames // len(planes), filled // ROWS
        for task in prange(frames * blocks):
            b, first = task // blocks, task % blocks * ROWS
            if len(features):
                found, one, two = features[b, first : first + ROWS], kept[0, b, first : first + ROWS], kept[1, b, first : first + ROWS]
            else:
                found, one, two = np.empty((ROWS, F), np.float32), np.empty((ROWS, W), np.float32), np.empty((ROWS, W), np.float32)
            low, share, at = np.empty((L, 3, ROWS), np.int32), np.empty((L, 3, ROWS), np.float32), np.empty(ROWS, np.float32)
            for axis in range(3):
                for n in range(ROWS):
                    at[n] = unit[b, min(first + n, points - 1), axis]
                for k in range(L):
                    level = sides[k] if k < L - 1 else moved_sides[0]
                    _places(at, level[1] if axis == 2 else level[0], low[k, axis], share[k, axis])
            zero = zeros(C)
            for n in range(ROWS):
                start, coming = 0, min(n + AHEAD, ROWS - 1)
                for k in range(L - 1):
                    _fetch_level(planes[b // group], low[k], coming, sides[k, 0], sides[k, 1], start, C)
                    store(_level(zero, planes[b // group], low[k], share[k], n, sides[k, 0], sides[k, 1], start), found, n * F + k * C)
                    start += sides[k, 0] * (sides[k, 0] + 2 * sides[k, 1])
                _fetch_level(moved[b], low[L - 1], coming, moved_sides[0, 0], moved_sides[0, 1], 0, C)
                store(_level(zero, moved[b], low[L - 1], share[L - 1], n, moved_sides[0, 0], moved_sides[0, 1], 0), found, (n + 1) * F - C)
            _rectified(load(zeros(W), bias, b * W), found, entry, one)
            _rectified(load(zeros(W), hidden_bias, 0), one, hidden, two)
            _linear(load(zeros(4), last_bias, 0), two, last, out[b, first : first + ROWS])

    @parallel
    def backward(gradient, entry, hidden, last, features, kept, to_bias, to_entry, to_hidden, to_hidden_bias, to_last, to_last_bias):
        """Gradients of the network from gradient (B, Q, 4), which is 0 beyond the frame's points; weights (outputs, inputs).

        Those of each frame apart: to_bias (B, W), to_entry (B, W, F), to_hidden (B, W, W), to_hidden_bias (B, W), to_last (B, 4, W)
        and to_last_bias (B, 4). `features` (B, Q, F) become their own gradient.
        """
        frames, filled = gradient.shape[0], gradient.shape[1]
        for b in prange(frames):
            one, two = np.empty((ROWS, W), np.float32), np.empty((ROWS, W), np.float32)
            to_entry[b], to_hidden[b], to_last[b] = np.float32(0), np.float32(0), np.float32(0)
            of_bias, of_hidden, of_last = zeros(W), zeros(W), zeros(4)
            for first in range(0, filled, ROWS):
                given, found = gradient[b, first : first + ROWS], features[b, first : first + ROWS]
                below, above = kept[0, b, first : first + ROWS], kept[1, b, first : first + ROWS]
                _add_products(zeros(W), given, above, to_last[b])
                of_last = _sum_rows(of_last, given)
                _rectified_back(zeros(W), given, last, above, two)
                _add_products(zeros(W), two, below, to_hidden[b])
                of_hidden = _sum_rows(of_hidden, two)
                _rectified_back(zeros(W), two, hidden, below, one)
                _add_products(zeros(F), one, found, to_entry[b])
                of_bias = _sum_rows(of_bias, one)
                _linear(zeros(F), one, entry, found)
            store(of_bias, to_bias, b * W)
            store(of_hidden, to_hidden_bias, b * W)
            store(of_last, to_last_bias, b * 4)

    @parallel
    def scatter(unit, gradient, sides, moved_sides, planes, moved):
        """Gradients of the planes, at addresses planes (G,) and moved (B,), from those of the features (B, Q, F)."""
        frames, points = unit.shape[0], unit.shape[1]
        group, own = frames // len(planes), len(planes) * len(sides) * 3
        # One task a set, level and plane: each owns the texels that it adds to, and they are in the cache because it sets them to 0.
        for task in prange(own + frames * 3):
            if task < own:
                g, k, plane = task // (len(sides) * 3), task // 3 % len(sides), task % 3
                level, texels, b0, b1 = sides, planes[g], g * group, (g + 1) * group
            else:
                g, k, plane = (task - own) // 3, 0, (task - own) % 3
                level, texels, b0, b1 = moved_sides, moved[g], g, g + 1
            start = 0
            for below in range(k):
                start += level[below, 0] * (level[below, 0] + 2 * level[below, 1])
            lines, columns = level[k, 0], level[k, 0] if plane == 0 else level[k, 1]
            if plane > 0:
                start += lines * (lines + (plane - 1) * columns)
            first, second = (1, 0) if plane == 0 else (1, 2) if plane == 1 else (0, 2)
            for t in range(start, start + lines * columns):
                store(zeros(C), texels, t * C)
            column = k * C if task < own else F - C
            low, share, at = np.empty((2, ROWS), np.int32), np.empty((2, ROWS), np.float32), np.empty(ROWS, np.float32)
            for b in range(b0, b1):
                for begin in range(0, points, ROWS):
                    for n in range(ROWS):
                        at[n] = unit[b, min(begin + n, points - 1), first]
                    _places(at, lines, low[0], share[0])
                    for n in range(ROWS):
                        at[n] = unit[b, min(begin + n, points - 1), second]
                    _places(at, columns, low[1], share[1])
                    for n in range(min(ROWS, points - begin)):
                        reaches = load(zeros(C), gradient, (b * gradient.shape[1] + begin + n) * F + column)
                        _spread(reaches, texels, start + int(low[0, n]) * columns + int(low[1, n]), columns, share[1, n], share[0, n])

    return forward, backward, scatter


@cache
def mixing_kernels(channels: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """(mix, mix_back) of planes with so many channels."""
    C = int(channels)

    @parallel
    def mix(weights, planes, out):
        """out (B, T, C) = weights (B, E) @ planes (E, T, C)."""
        count = planes.shape[1]
        for block in prange((count + ROWS - 1) // ROWS):
            for t in range(block * ROWS, min(count, (block + 1) * ROWS)):
                for b in range(len(weights)):
                    mixed = zeros(C)
                    for e in range(len(planes)):
                        mixed = add_scaled(mixed, weights[b, e], load(mixed, planes, (e * count + t) * C))
                    store(mixed, out, (b * count + t) * C)

    @parallel
    def mix_back(weights, planes, gradient, to_weights, to_planes):
        """The gradients of both from gradient (B, T, C): to_planes (E, T, C), and to_weights (blocks, B, E, C).

        The latter is still to be summed over blocks of ROWS texels and over channels.
        """
        count = planes.shape[1]
        for block in prange(len(to_weights)):
            sums = to_weights[block]
            sums[:] = np.float32(0)
            for t in range(block * ROWS, min(count, (block + 1) * ROWS)):
                for e in range(len(planes)):
                    plane, reaches = load(zeros(C), planes, (e * count + t) * C), zeros(C)
                    for b in range(len(weights)):
                        given, at = load(plane, gradient, (b * count + t) * C), (b * len(planes) + e) * C
                        reaches = add_scaled(reaches, weights[b, e], given)
                        store(add_product(load(plane, sums, at), plane, given), sums, at)
                    store(reaches, to_planes, (e * count + t) * C)

    return mix, mix_back
