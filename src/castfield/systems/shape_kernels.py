"""The nearest vertex of a head, and the votes of a mask, as CPU kernels (Numba); `shape.py` and `hull.py` say what for."""

from __future__ import annotations

import numpy as np

from castfield.fields.kernels import exact, jit, single

LARGE, SMALL = 512, 64
"""Points that are looked at together, first and then: the fewer they are, the fewer vertices are left for them."""


@jit
def _near(x, y, z, vertices, count, left):
    """Of the first `count` vertices (4, V) those that may be the nearest to some point x, y, z (N,): copied to `left`; how many.

    A vertex is out when the box round the points is further from it, at its nearest, than from another one at its furthest.
    """
    mx, my, mz = (x.min() + x.max()) / 2, (y.min() + y.max()) / 2, (z.min() + z.max()) / 2
    hx, hy, hz = x.max() - mx, y.max() - my, z.max() - mz
    limit, kept = np.inf, 0
    for v in range(count):
        dx, dy, dz = abs(vertices[0, v] - mx), abs(vertices[1, v] - my), abs(vertices[2, v] - mz)
        limit = min(limit, (dx + hx) ** 2 + (dy + hy) ** 2 + (dz + hz) ** 2)
    for v in range(count):
        for k in range(4):
            left[k, kept] = vertices[k, v]
        dx, dy, dz = abs(vertices[0, v] - mx) - hx, abs(vertices[1, v] - my) - hy, abs(vertices[2, v] - mz) - hz
        kept += max(dx, 0.0) ** 2 + max(dy, 0.0) ** 2 + max(dz, 0.0) ** 2 <= limit
    return kept


@single
def nearest(points, vertices, found):
    """Which of the vertices (3, V) is nearest to each of the points (3, N), float64: found (N,). The first one of equals."""
    every = np.empty((4, vertices.shape[1]))  # places and numbers
    every[:3], every[3] = vertices, np.arange(vertices.shape[1])
    some, few = np.empty_like(every), np.empty_like(every)
    x, y, z, least, which = np.empty(LARGE), np.empty(LARGE), np.empty(LARGE), np.empty(SMALL), np.empty(SMALL)
    for first in range(0, len(found), LARGE):
        for n in range(LARGE):  # the last lot is filled up with the last point
            at = min(first + n, len(found) - 1)
            x[n], y[n], z[n] = points[0, at], points[1, at], points[2, at]
        many = _near(x, y, z, every, every.shape[1], some)
        for begin in range(0, LARGE, SMALL):
            a, b, c = x[begin : begin + SMALL], y[begin : begin + SMALL], z[begin : begin + SMALL]
            least[:] = np.inf
            for v in range(_near(a, b, c, some, many, few)):
                vx, vy, vz, number = few[0, v], few[1, v], few[2, v], few[3, v]  # here, so that the loop becomes one of vectors
                for n in range(SMALL):
                    square = (a[n] - vx) ** 2 + (b[n] - vy) ** 2 + (c[n] - vz) ** 2
                    closer = square < least[n]
                    least[n] = square if closer else least[n]
                    which[n] = number if closer else which[n]
            for n in range(min(SMALL, len(found) - first - begin)):
                found[first + begin + n] = which[n]


@exact
def vote(mask, layer, line, near, votes):
    """Add mask (S, S) uint8 to votes (D, D, D) at homogeneous pixels layer (3, D, D) + line (3, D); to the bit as PyTorch has them.

    near: the least depth, metres.
    """
    cells, last, zero = len(votes), np.float32(len(mask) - 1), np.float32(0)
    flat, at = mask.reshape(-1), np.empty(cells, np.int32)
    for z in range(cells):
        for y in range(cells):
            for x in range(cells):  # apart from what looks up, so that the loop becomes one of vectors
                depth = max(layer[2, y, x] + line[2, z], near)
                column = np.int32(min(max((layer[0, y, x] + line[0, z]) / depth, zero), last))
                at[x] = np.int32(min(max((layer[1, y, x] + line[1, z]) / depth, zero), last)) * np.int32(len(mask)) + column
            for x in range(cells):
                votes[z, y, x] += flat[at[x]]
