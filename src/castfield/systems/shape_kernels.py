"""Distances from a head, the votes of masks and what is seen from the front, as CPU kernels (Numba); `shape.py`, `hull.py` and `frontal.py`
say what for."""

from __future__ import annotations

import numpy as np

from castfield.fields.kernels import HALF, ONE, exact, jit, single
from castfield.fields.vectors import add_scaled, load, store, zeros

ZERO = np.float32(0)

LARGE, SMALL = 512, 64
"""Points that are looked at together, first and then: the fewer they are, the fewer vertices are left for them."""
SLACK = 1e-9
"""Square metres by which a vertex must be further than another one to be out, so that no rounding decides."""


@jit
def _span(at):
    """Middle and half length of what holds the numbers `at` (N,)."""
    low, high = at[0], at[0]
    for n in range(1, len(at)):
        low, high = at[n] if at[n] < low else low, at[n] if at[n] > high else high
    return (low + high) / 2, (high - low) / 2


@jit
def _near(x, y, z, vertices, count, left, excess):
    """Of the first `count` vertices (4, V) those that may be the nearest to some point x, y, z (N,): copied to `left`; how many.

    How much further a vertex is than another one, in squares, is linear in the point, and so largest and least at corners of the box
    round the points. A vertex is out when it is further, in the whole box, than the vertex nearest to the box's middle.
    excess (V,): room for these least differences.
    """
    (mx, hx), (my, hy), (mz, hz) = _span(x), _span(y), _span(z)
    for v in range(count):
        excess[v] = (vertices[0, v] - mx) ** 2 + (vertices[1, v] - my) ** 2 + (vertices[2, v] - mz) ** 2
    best, limit = 0, excess[0]
    for v in range(1, count):
        if excess[v] < limit:
            best, limit = v, excess[v]
    ax, ay, az = vertices[0, best], vertices[1, best], vertices[2, best]
    for v in range(count):
        excess[v] -= 2 * (hx * abs(vertices[0, v] - ax) + hy * abs(vertices[1, v] - ay) + hz * abs(vertices[2, v] - az))
    kept = 0
    for v in range(count):
        if excess[v] <= limit + SLACK:
            for k in range(4):
                left[k, kept] = vertices[k, v]
            kept += 1
    return kept


@single
def nearest(points, vertices, found):
    """Which of the vertices (V, 3) is nearest to each of the points (N, 3), float32: found (N,). The first one of equals."""
    every = np.empty((4, len(vertices)))  # places and numbers
    every[:3], every[3] = vertices.T, np.arange(len(vertices))
    some, few, excess = np.empty_like(every), np.empty_like(every), np.empty(len(vertices))
    x, y, z, least, which = np.empty(LARGE), np.empty(LARGE), np.empty(LARGE), np.empty(SMALL), np.empty(SMALL)
    for first in range(0, len(points), LARGE):
        for n in range(LARGE):  # the last lot is filled up with the last point
            x[n], y[n], z[n] = points[min(first + n, len(points) - 1)]
        many = _near(x, y, z, every, every.shape[1], some, excess)
        for begin in range(0, LARGE, SMALL):
            a, b, c = x[begin : begin + SMALL], y[begin : begin + SMALL], z[begin : begin + SMALL]
            least[:] = np.inf
            for v in range(_near(a, b, c, some, many, few, excess)):
                vx, vy, vz, number = few[0, v], few[1, v], few[2, v], few[3, v]  # here, so that the loop becomes one of vectors
                for n in range(SMALL):
                    square = (a[n] - vx) ** 2 + (b[n] - vy) ** 2 + (c[n] - vz) ** 2
                    closer = square < least[n]
                    least[n] = square if closer else least[n]
                    which[n] = number if closer else which[n]
            for n in range(min(SMALL, len(points) - first - begin)):
                found[first + begin + n] = which[n]


@exact
def signed_distance(points, vertices, normals, nearest, distance):
    """Distances (N,) of the points (N, 3) from their `nearest` (N,) of the vertices (V, 3), negative behind its normal. All float32."""
    for n in range(len(points)):
        point, vertex, normal = points[n], vertices[nearest[n]], normals[nearest[n]]
        x, y, z = point[0] - vertex[0], point[1] - vertex[1], point[2] - vertex[2]
        length = np.sqrt(x * x + y * y + z * z)
        distance[n] = -length if x * normal[0] + y * normal[1] + z * normal[2] < 0 else length


@jit
def _between(solid, found):
    """Add 1 to found (D, D, D) where a cell lies between solid ones (D, D, D) along the first axis."""
    cells = len(solid)
    for b in range(cells):
        for c in range(cells):
            first, last = cells, -1
            for a in range(cells):
                if solid[a, b, c]:
                    first, last = min(first, a), a
            for a in range(first, last + 1):
                found[a, b, c] += 1


@single
def enclosed(solid, found):
    """Along how many axes cells lie between solid ones (D, D, D) bool: found (D, D, D) uint8, 0 before."""
    _between(solid, found)
    _between(solid.transpose(1, 0, 2), found.transpose(1, 0, 2))
    _between(solid.transpose(2, 0, 1), found.transpose(2, 0, 1))


@exact
def vote(says, cameras, x, y, z, near, votes):
    """Add what pictures say (F, S, S) to votes (D, D, D), both int32, of cells at x, y and z (D,), seen by cameras (F, 3, 4); to the bit as
    PyTorch has them.

    near: the least depth, metres. All else is float32.
    """
    cells, size, last, zero = len(votes), np.int32(says.shape[1]), np.float32(says.shape[1] - 1), np.float32(0)
    at, row = np.empty(cells, np.int32), np.empty((cells, 3, cells), np.float32)
    for f in range(len(cameras)):
        camera, flat = cameras[f], says[f].reshape(-1)
        for j in range(cells):
            for k in range(3):
                for i in range(cells):
                    row[j, k, i] = camera[k, 0] * x[i] + camera[k, 1] * y[j]
        for layer in range(cells):
            across, down, away = (camera[0, 2] * z[layer] + camera[0, 3], camera[1, 2] * z[layer] + camera[1, 3],
                                  camera[2, 2] * z[layer] + camera[2, 3])  # fmt: skip
            for j in range(cells):
                for i in range(cells):  # apart from what looks up, so that the loop becomes one of vectors
                    depth = max(row[j, 2, i] + away, near)
                    column = np.int32(min(max((row[j, 0, i] + across) / depth, zero), last))
                    at[i] = np.int32(min(max((row[j, 1, i] + down) / depth, zero), last)) * size + column
                for i in range(cells):
                    votes[layer, j, i] += flat[at[i]]


@single
def look(x, y, z, cameras, pictures, masks, seen):
    """Add to seen (H, W, 4) what pictures (F, S, S, 3) times masks (F, S, S) show at x (W,), y (H,) and z (H, W), and what the masks do.

    cameras (F, 3, 4). Pictures and masks are uint8 and go on beyond their edges; all else is float32.
    """
    size, wide, of_byte = pictures.shape[1], len(x), np.float32(1 / 255)
    last = np.float32(size - 1)
    held, at, like = np.empty(4 * size * size, np.float32), np.empty((2, wide), np.float32), zeros(4)
    for f in range(len(cameras)):
        c, picture, mask = cameras[f], pictures[f].reshape(-1, 3), masks[f].reshape(-1)
        for n in range(size * size):
            weight = of_byte * mask[n]
            for k in range(3):
                held[4 * n + k] = of_byte * weight * picture[n, k]
            held[4 * n + 3] = weight
        for j in range(len(y)):
            for i in range(wide):  # apart from what looks up, so that the loop becomes one of vectors
                away = c[2, 0] * x[i] + c[2, 1] * y[j] + c[2, 2] * z[j, i] + c[2, 3]
                column = (c[0, 0] * x[i] + c[0, 1] * y[j] + c[0, 2] * z[j, i] + c[0, 3]) / away - HALF
                row = (c[1, 0] * x[i] + c[1, 1] * y[j] + c[1, 2] * z[j, i] + c[1, 3]) / away - HALF
                at[0, i], at[1, i] = min(max(column, ZERO), last), min(max(row, ZERO), last)
            for i in range(wide):
                column, row = at[0, i], at[1, i]
                left, top = int(column), int(row)
                right, low, u, v = min(left + 1, size - 1), min(top + 1, size - 1), column - np.float32(left), row - np.float32(top)
                found = load(like, seen, 4 * (j * wide + i))
                found = add_scaled(found, (ONE - v) * (ONE - u), load(like, held, 4 * (top * size + left)))
                found = add_scaled(found, (ONE - v) * u, load(like, held, 4 * (top * size + right)))
                found = add_scaled(found, v * (ONE - u), load(like, held, 4 * (low * size + left)))
                found = add_scaled(found, v * u, load(like, held, 4 * (low * size + right)))
                store(found, seen, 4 * (j * wide + i))
