"""Where samples lie and what is known coarsely there, as CPU kernels (Numba). `planes.py` and `proposal.py` say what they compute.

Every kernel gives the same bits on any number of threads: what is written in parallel is written to separate places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, njit, prange

from castfield.fields.vectors import load, of_half, opacity, store, to_half, zeros

THREADS: int = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # set at run time
"""Threads at most."""
LENGTH = 16
"""Numbers in a vector where any length would do."""
CHUNK = 256
"""Points that a thread takes at a time."""
_options: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": {"contract", "nsz", "arcp"}, "error_model": "numpy"}
jit: Callable[..., Any] = njit(**_options, forceinline=True)
"""A part of a kernel; always inlined, because the compiler's own choice changes with every line."""
parallel: Callable[..., Any] = njit(**_options, parallel=True)
"""A kernel."""
single: Callable[..., Any] = njit(**_options)
"""A kernel on one thread, for work that is done in several threads already."""
exact: Callable[..., Any] = njit(cache=True, nogil=True, error_model="numpy")
"""The same without any liberty in the arithmetic: rounded as PyTorch rounds."""

Array = np.ndarray
ONE, HALF = np.float32(1), np.float32(0.5)


@jit
def place(unit, texels):
    """A coordinate in [-1, 1] among `texels` texels: the lower neighbour, the upper one, and the upper one's weight."""
    at = min(max(((unit + ONE) * np.float32(texels) - ONE) * HALF, np.float32(0)), np.float32(texels - 1))
    low = int(at)
    return low, min(low + 1, texels - 1), at - np.float32(low)


@parallel
def trilinear(unit, which, grids, out):
    """Values (N,) at unit (N, 3) in grids (P, D, D, D), bits of float16 by z, y, x, for len(which) equal groups of points, a grid each."""
    cells = grids.shape[1]
    each = len(unit) // len(which)
    for chunk in prange((len(unit) + CHUNK - 1) // CHUNK):
        for n in range(chunk * CHUNK, min(len(unit), (chunk + 1) * CHUNK)):
            x0, x1, u = place(unit[n, 0], cells)
            y0, y1, v = place(unit[n, 1], cells)
            z0, z1, w = place(unit[n, 2], cells)
            grid = grids[which[n // each]]
            near = (ONE - v) * ((ONE - u) * of_half(grid[z0, y0, x0]) + u * of_half(grid[z0, y0, x1]))
            near += v * ((ONE - u) * of_half(grid[z0, y1, x0]) + u * of_half(grid[z0, y1, x1]))
            far = (ONE - v) * ((ONE - u) * of_half(grid[z1, y0, x0]) + u * of_half(grid[z1, y0, x1]))
            far += v * ((ONE - u) * of_half(grid[z1, y1, x0]) + u * of_half(grid[z1, y1, x1]))
            out[n] = (ONE - w) * near + w * far


@parallel
def combine(weights, basis, out):
    """out (F, N) = weights (F, K) @ basis (K, N), a row whatever the others are."""
    blocks = (out.shape[1] + 2 * CHUNK - 1) // (2 * CHUNK)
    for task in prange(len(out) * blocks):
        f, first = task // blocks, task % blocks * 2 * CHUNK
        row, some = out[f, first : first + 2 * CHUNK], basis[:, first : first + 2 * CHUNK]
        row[:] = np.float32(0)
        for k in range(len(some)):
            weight = weights[f, k]
            for n in range(len(row)):
                row[n] += weight * some[k, n]


@parallel
def shared(at, which, near, share, out):
    """out (F, P, 2): sums of what vertices near (people, P, K) do, of at (F, 2 V), times share (people, P, K), for people which (F,)."""
    places = out.shape[1]
    blocks = (places + CHUNK - 1) // CHUNK
    for task in prange(len(out) * blocks):
        f, first = task // blocks, task % blocks * CHUNK
        row, vertices, weights = at[f], near[which[f]], share[which[f]]
        for place in range(first, min(places, first + CHUNK)):
            x, y = np.float32(0), np.float32(0)
            for k in range(vertices.shape[1]):
                vertex, weight = 2 * np.int64(vertices[place, k]), weights[place, k]
                x += weight * row[vertex]
                y += weight * row[vertex + 1]
            out[f, place, 0], out[f, place, 1] = x, y


@parallel
def at_rest(unit, moved, looks, out):
    """Where points unit (F, P, 3) of moved heads lie at rest, (F, P, 3); moved (F, S, S, 2): `motion.at_rest` says what this is."""
    points, side = unit.shape[1], moved.shape[1]
    blocks = (points + CHUNK - 1) // CHUNK
    for task in prange(len(unit) * blocks):
        f, first = task // blocks, task % blocks * CHUNK
        for n in range(first, min(points, first + CHUNK)):
            x, y = unit[f, n, 0], unit[f, n, 1]
            for _ in range(looks):
                x0, x1, u = place(x, side)
                y0, y1, v = place(y, side)
                a, b, c, d = (ONE - v) * (ONE - u), (ONE - v) * u, v * (ONE - u), v * u
                one, two, three, four = moved[f, y0, x0], moved[f, y0, x1], moved[f, y1, x0], moved[f, y1, x1]
                x = unit[f, n, 0] - (a * one[0] + b * two[0] + c * three[0] + d * four[0])
                y = unit[f, n, 1] - (a * one[1] + b * two[1] + c * three[1] + d * four[1])
            out[f, n, 0], out[f, n, 1], out[f, n, 2] = x, y, unit[f, n, 2]


@jit
def _depth_at(cdf, low, near, step, quantile):
    """Depth at a quantile of the piecewise constant density with cumulative weights `cdf` (B + 1,) on bins of length `step`; and its bin.

    The bin, whose lower edge is the last one that is not above the quantile, is looked for from `low` on.
    """
    while low < len(cdf) - 2 and cdf[low + 1] <= quantile:
        low += 1
    inside = (quantile - cdf[low]) / max(cdf[low + 1] - cdf[low], np.float32(1e-9))
    return near + (np.float32(low) + min(max(inside, np.float32(0)), ONE)) * step, low


@parallel
def propose(origin, direction, which, guide, low, high, probes, noise, length, unit):
    """Samples of N rays near the surface that a coarse grid of densities expects: length (N, S) in metres, unit (N, S, 3) in [-1, 1]^3.

    origin and direction (N, 3), in len(which) equal groups with the grids guide[which] (D, D, D), bits of float16; low and high (3,)
    corners of the box; noise (N, S) in [0, 1). A ray that meets no density has length 0. The same as `march.expected_samples` on a
    nearest-cell look-up.
    """
    count, samples, cells = len(origin), length.shape[1], guide.shape[1]
    each, last = count // len(which), np.float32(cells - 1)
    tiny, zero, two = np.float32(1e-8), np.float32(0), np.float32(2)
    part, inset = ONE / np.float32(samples), np.float32(0.02) / np.float32(samples)
    for chunk in prange((count + CHUNK - 1) // CHUNK):
        padded = np.empty((probes + LENGTH - 1) // LENGTH * LENGTH + 1, np.float32)
        cdf, cell = padded[: probes + 1], np.empty(probes, np.int32)
        start, slope = np.empty(3, np.float32), np.empty(3, np.float32)  # the ray in units of the box: 0 to 1 along each side
        for n in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK)):
            near, far = zero, np.float32(1e9)
            for axis in range(3):
                d = direction[n, axis]
                inverse = ONE / (tiny if abs(d) < tiny else d)
                a, b = (low[axis] - origin[n, axis]) * inverse, (high[axis] - origin[n, axis]) * inverse
                near, far = max(near, min(a, b)), min(far, max(a, b))
                side = ONE / (high[axis] - low[axis])
                start[axis], slope[axis] = (origin[n, axis] - low[axis]) * side, d * side
            step = (max(far, near) - near) / np.float32(probes)
            x0, y0, z0 = start[0] + near * slope[0], start[1] + near * slope[1], start[2] + near * slope[2]
            dx, dy, dz = step * slope[0], step * slope[1], step * slope[2]
            for j in range(probes):
                t = np.float32(j) + HALF
                x = np.int32(min(max((x0 + t * dx) * np.float32(cells), zero), last))
                y = np.int32(min(max((y0 + t * dy) * np.float32(cells), zero), last))
                z = np.int32(min(max((z0 + t * dz) * np.float32(cells), zero), last))
                cell[j] = (z * np.int32(cells) + y) * np.int32(cells) + x
            grid, optical = guide[which[n // each]].reshape(-1), zero
            cdf[0] = zero
            for j in range(probes):
                optical += of_half(grid[cell[j]]) * step
                cdf[j + 1] = optical
            for j in range(0, probes, LENGTH):
                store(opacity(load(zeros(LENGTH), padded, j + 1)), padded, j + 1)
            seen = cdf[probes] > zero
            if not seen:
                for j in range(probes + 1):
                    cdf[j] = np.float32(j)
            share = ONE / cdf[probes]
            for j in range(probes + 1):
                cdf[j] *= share
            before, bin = _depth_at(cdf, 0, near, step, inset)
            for k in range(samples):
                depth, bin = _depth_at(cdf, bin, near, step, (np.float32(k) + noise[n, k]) * part)
                for axis in range(3):
                    unit[n, k, axis] = (start[axis] + depth * slope[axis]) * two - ONE
                after, bin = _depth_at(cdf, bin, near, step, min(np.float32(k + 1) * part, ONE - inset))
                length[n, k] = after - before if seen else zero
                before = after


@jit
def _mean_of_three(before, own, after, first, last):
    """The mean of a number and those beside it; the first has no `before`, the last no `after`."""
    value = own if last else own + after
    return (value if first else value + before) * (HALF if first or last else ONE / np.float32(3))


@exact
def guide(density, hull, floor, out):
    """The mean of each cell of density (D, D, D) and those beside it plus `floor`, where hull (D, D, D) uint8 is 1: out (D, D, D).

    density and out: bits of float16.
    """
    cells = len(density)
    deep, high = np.empty((cells, cells), np.float32), np.empty((cells, cells + 2), np.float32)  # beside it, what does not count
    last = cells - 1
    for z in range(cells):
        below, above = density[max(z - 1, 0)], density[min(z + 1, last)]
        for y in range(cells):
            for x in range(cells):
                deep[y, x] = _mean_of_three(of_half(below[y, x]), of_half(density[z, y, x]), of_half(above[y, x]), z == 0, z == last)
        for y in range(cells):
            under, over = deep[max(y - 1, 0)], deep[min(y + 1, last)]
            for x in range(cells):
                high[y, x + 1] = _mean_of_three(under[x], deep[y, x], over[x], y == 0, y == last)
        for y in range(cells):
            for x in range(cells):
                mean = _mean_of_three(high[y, x], high[y, x + 1], high[y, x + 2], x == 0, x == last)
                out[z, y, x] = to_half((mean + floor) * np.float32(hull[z, y, x]))
