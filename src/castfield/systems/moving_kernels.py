"""What actions of a rig move, seen from the front, as a CPU kernel (Numba); `moving.py` says what it computes."""

from __future__ import annotations

import numpy as np

from castfield.fields.kernels import exact, jit


@jit
def _sorted(vertices, low, step, first, order, places):
    """Sort vertices (W, 2) into bins of `step` (2,) from `low` (2,) on; those beyond the edge are in the last one.

    Bin b of S x S, line by line, has the vertices order[first[b] : first[b + 1]], which lie at the same rows of places (W, 2).
    first (S * S + 1,), order (W,).
    """
    side = np.int64(np.sqrt(len(first) - 1))
    bins = np.empty(len(vertices), np.int64)
    first[:] = 0
    for v in range(len(vertices)):
        column, line = (vertices[v, 0] - low[0]) / step[0], (vertices[v, 1] - low[1]) / step[1]
        bins[v] = np.int64(min(max(line, 0.0), side - 1.0)) * side + np.int64(min(max(column, 0.0), side - 1.0))
        first[bins[v] + 1] += 1
    for b in range(len(first) - 1):
        first[b + 1] += first[b]
    free = first[:-1].copy()
    for v in range(len(vertices)):
        n = free[bins[v]]
        order[n], places[n, 0], places[n, 1] = v, vertices[v, 0], vertices[v, 1]
        free[bins[v]] += 1


@jit
def _empty(first, rings):
    """How many rings of bins round each bin hold nothing, itself the first of them: to rings (S, S). first: as in `_sorted`."""
    side = len(rings)
    for j in range(side):
        for i in range(side):
            rings[j, i] = 2 * side if first[j * side + i] == first[j * side + i + 1] else 0
    for turn in range(2):  # forth and back: each knows more than those that were asked before it by one ring at most
        for m in range(side * side):
            n = side * side - 1 - m if turn else m
            j, i, before = n // side, n % side, 2 * turn - 1
            for k in range(-1, 2):
                if 0 <= j + before < side and 0 <= i + k < side:
                    rings[j, i] = min(rings[j, i], rings[j + before, i + k] + 1)
            if 0 <= i + before < side:
                rings[j, i] = min(rings[j, i], rings[j, i + before] + 1)


@jit
def _nearest(x, y, i, j, start, places, first, step, most, squares, found):
    """Up to len(found) of the places (W, 2) nearest to x, y, the middle of bin i, j, with squared distances below `most`, nearest first.

    Their rows are written to found, their squared distances to squares; how many. places, first: as in `_sorted`; step: a bin's shorter
    side; start: rings of bins that hold nothing.
    """
    side, count, limit = np.int64(np.sqrt(len(first) - 1)), 0, most
    for ring in range(start, side):
        apart = (ring - 0.5) * step  # all that lies in this ring of bins is so far away at least
        if ring > 0 and apart * apart >= limit:
            break
        for line in range(max(0, j - ring), min(side, j + ring + 1)):
            whole = line == j - ring or line == j + ring  # bins of one line follow each other; between these a ring has two a line
            for part in range(1 if whole else 2):
                left, right = max(0, i - ring if whole or part == 0 else i + ring), min(side - 1, i + ring if whole or part else i - ring)
                if left > right:
                    continue
                for n in range(first[line * side + left], first[line * side + right + 1]):
                    across, down = x - places[n, 0], y - places[n, 1]
                    square = across * across + down * down
                    if square >= limit:
                        continue
                    k = min(count, len(found) - 1)
                    while k > 0 and squares[k - 1] > square:
                        squares[k], found[k] = squares[k - 1], found[k - 1]
                        k -= 1
                    squares[k], found[k], count = square, n, min(count + 1, len(found))
                    limit = squares[count - 1] if count == len(found) else most
    return count


@exact
def look(vertices, names, low, step, near, reach, fade, found, share):
    """The vertices (W, 2) next to S x S places, line by line: to found (S * S, K) by their names (W,), and how much they count to share.

    Both are 0 before. The places are the middles of bins of `step` (2,) from `low` (2,) on. A vertex counts by the inverse square of its
    distance plus `near`; all of them as much as one up to `reach` from the nearest one, and nothing from `fade` on.
    """
    side = np.int64(np.sqrt(len(found)))
    first, order, places = np.empty(side * side + 1, np.int64), np.empty(len(vertices), np.int64), np.empty((len(vertices), 2))
    _sorted(vertices.astype(np.float64), low, step, first, order, places)
    rings = np.empty((side, side), np.int64)
    _empty(first, rings)
    squares, rows, weight = np.empty(found.shape[1]), np.empty(found.shape[1], np.uint64), np.empty(found.shape[1])
    least = min(step[0], step[1])
    for j in range(side):
        y = low[1] + step[1] * (j + 0.5)
        for i in range(side):
            x = low[0] + step[0] * (i + 0.5)
            count = _nearest(x, y, i, j, rings[j, i], places, first, least, fade * fade, squares, rows)
            total = 0.0
            for k in range(count):
                apart = np.sqrt(squares[k]) + near
                weight[k] = 1 / (apart * apart)
                total += weight[k]
            fades = min(max(1 - (np.sqrt(squares[0]) - reach) / (fade - reach), 0.0), 1.0) / max(total, 1e-12)
            for k in range(count):
                found[j * side + i, k], share[j * side + i, k] = names[order[rows[k]]], weight[k] * fades
