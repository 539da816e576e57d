"""Distances from a head, as CPU kernels (Numba); `shape.py` says what for."""

from __future__ import annotations

import numpy as np

from castfield.fields.kernels import exact, jit, single

POINTS = 64
"""Points that are looked at together."""
GROUP = 16
"""Vertices that are looked at together: a power of two."""
SLACK = np.float32(1e-6)
"""Square metres by which a vertex must be further than another one to be out: more than float32 is wrong by within half a metre."""
HALF, TWO = np.float32(0.5), np.float32(2)


@jit
def _span(at):
    """Middle and half length, float32, of what holds the numbers `at` (N,)."""
    low, high = at[0], at[0]
    for n in range(1, len(at)):
        low, high = at[n] if at[n] < low else low, at[n] if at[n] > high else high
    return np.float32((low + high) / 2), np.float32((high - low) / 2)


@jit
def _least(middle, half, other, low, high):
    """Least (v - middle)^2 - 2 half |v - other| of numbers v from low to high: at an end, or at the bottom of one of two parabolas."""
    right, left = min(max(middle + half, low), high), min(max(middle - half, low), high)
    return min((right - middle) ** 2 - TWO * half * (right - other), (left - middle) ** 2 - TWO * half * (other - left))


@jit
def _lowest(values, least, which):
    """Where values (N,), N a multiple of len(least), are least; least and which (L,): room to look at L of them at once."""
    for n in range(len(least)):
        least[n], which[n] = values[n], n
    for first in range(len(least), len(values), len(least)):
        for n in range(len(least)):
            closer = values[first + n] < least[n]
            least[n] = values[first + n] if closer else least[n]
            which[n] = first + n if closer else which[n]
    lane = 0
    for n in range(1, len(least)):
        lane = n if least[n] < least[lane] else lane
    return which[lane]


@jit
def _near(x, y, z, vertices, low, high, bound, excess, which, groups, left):
    """Of the vertices (3, V), in groups within boxes from low (3, G) to high (3, G), those that may be the nearest to some point x, y, z
    (N,): their numbers are written to left (V + 1,); how many.

    How much further a vertex is than another one, in squares, is linear in the point, and so largest and least at corners of the box
    round the points. A vertex is out when it is further, in the whole box, than one that lies near its middle; and a group, when that
    is so of every place in its box. bound (G,), excess and which (GROUP,), groups (G + 1,): room. All float32 but the points.
    """
    (mx, hx), (my, hy), (mz, hz) = _span(x), _span(y), _span(z)
    for g in range(len(bound)):
        across, down, away = ((low[0, g] + high[0, g]) * HALF - mx, (low[1, g] + high[1, g]) * HALF - my,
                              (low[2, g] + high[2, g]) * HALF - mz)  # fmt: skip
        bound[g] = across * across + down * down + away * away
    group = _lowest(bound, excess, which)
    best, limit = 0, np.float32(np.inf)
    for v in range(group * GROUP, (group + 1) * GROUP):
        square = (vertices[0, v] - mx) ** 2 + (vertices[1, v] - my) ** 2 + (vertices[2, v] - mz) ** 2
        best, limit = v if square < limit else best, square if square < limit else limit
    limit += SLACK
    ax, ay, az = vertices[0, best], vertices[1, best], vertices[2, best]
    for g in range(len(bound)):
        bound[g] = (_least(mx, hx, ax, low[0, g], high[0, g]) + _least(my, hy, ay, low[1, g], high[1, g])
                    + _least(mz, hz, az, low[2, g], high[2, g]))  # fmt: skip
    some, kept = 0, 0
    for g in range(len(bound)):  # written first and counted then: a branch would be guessed wrong as often as not
        groups[some] = g
        some += bound[g] <= limit
    for k in range(some):
        first = np.uint32(groups[k] * GROUP)
        for n in range(GROUP):
            p, q, r = vertices[0, first + n], vertices[1, first + n], vertices[2, first + n]
            excess[n] = (p - mx) ** 2 + (q - my) ** 2 + (r - mz) ** 2 - TWO * (hx * abs(p - ax) + hy * abs(q - ay) + hz * abs(r - az))
        for n in range(GROUP):
            left[kept] = first + n
            kept += excess[n] <= limit
    return kept


@single
def nearest(points, rows, vertices, found):
    """Which of the vertices (V, 3) is nearest to each of some rows (M,) of the points (N, 3), float32: written to these rows of found (N,).

    Fast where those that follow each other lie side by side, of the points as of the vertices.
    """
    groups = GROUP * ((len(vertices) + GROUP * GROUP - 1) // (GROUP * GROUP))  # the last ones are filled up with the last vertex
    every, low, high = np.empty((3, groups * GROUP), np.float32), np.empty((3, groups), np.float32), np.empty((3, groups), np.float32)
    for k in range(3):
        for v in range(groups * GROUP):
            every[k, v] = vertices[min(v, len(vertices) - 1), k]
        for g in range(groups):
            low[k, g], high[k, g] = every[k, g * GROUP : (g + 1) * GROUP].min(), every[k, g * GROUP : (g + 1) * GROUP].max()
    bound, excess, which = np.empty(groups, np.float32), np.empty(GROUP, np.float32), np.empty(GROUP, np.int32)
    some, left = np.empty(groups + 1, np.int32), np.empty(groups * GROUP + 1, np.int32)
    x, y, z, least, best = np.empty(POINTS), np.empty(POINTS), np.empty(POINTS), np.empty(POINTS), np.empty(POINTS, np.int64)
    for first in range(0, len(rows), POINTS):
        for n in range(POINTS):  # the last lot is filled up with the last point
            x[n], y[n], z[n] = points[rows[min(first + n, len(rows) - 1)]]
        least[:] = np.inf
        for k in range(_near(x, y, z, every, low, high, bound, excess, which, some, left)):
            vertex = np.uint32(left[k])  # of unsigned numbers none counts from the end
            vx, vy, vz = np.float64(every[0, vertex]), np.float64(every[1, vertex]), np.float64(every[2, vertex])
            number = np.int64(vertex)
            for n in range(POINTS):
                square = (x[n] - vx) ** 2 + (y[n] - vy) ** 2 + (z[n] - vz) ** 2
                closer = square < least[n]
                least[n] = square if closer else least[n]
                best[n] = number if closer else best[n]
        for n in range(min(POINTS, len(rows) - first)):
            found[rows[first + n]] = min(best[n], len(vertices) - 1)


@exact
def signed_distance(points, rows, vertices, normals, names, distance, nearest):
    """Write distances (N,) of some rows (M,) of the points (N, 3) from their `nearest` (N,) of the vertices (V, 3), negative behind its
    normal; and in place of its number there its name, of names (V,). All float32."""
    for row in rows:
        point, vertex, normal = points[row], vertices[nearest[row]], normals[nearest[row]]
        x, y, z = point[0] - vertex[0], point[1] - vertex[1], point[2] - vertex[2]
        length = np.sqrt(x * x + y * y + z * z)
        distance[row] = -length if x * normal[0] + y * normal[1] + z * normal[2] < 0 else length
        nearest[row] = names[nearest[row]]


@single
def choose(inside, cubes, rows):
    """Copy to rows (M,) the cells of those cubes (C, N) of which one is inside (D^3,); how many cells."""
    count = 0
    for cube in cubes:
        some = False
        for cell in cube:
            some |= inside[cell]
        if some:
            for cell in cube:
                rows[count] = cell
                count += 1
    return count


@exact
def normals(vertices, faces, total):
    """Unit normals of the vertices (V, 3) of a mesh of faces (F, 3): added to total (V, 3), which is 0 before."""
    across = np.empty((len(faces), 3), np.float32)
    for f in range(len(faces)):
        a, b, c = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
        p, q, r, u, v, w = b[0] - a[0], b[1] - a[1], b[2] - a[2], c[0] - a[0], c[1] - a[1], c[2] - a[2]
        across[f, 0], across[f, 1], across[f, 2] = q * w - r * v, r * u - p * w, p * v - q * u
    for corner in range(3):
        for f in range(len(faces)):
            v = faces[f, corner]
            for k in range(3):
                total[v, k] += across[f, k]
    for v in range(len(vertices)):
        x, y, z = total[v]
        length = max(np.sqrt(x * x + y * y + z * z), np.float32(1e-12))
        for k in range(3):
            total[v, k] /= length


@jit
def _bits(distance, word):
    """What is below 0 of distance (D, D, D), D at most 64, as bits along the last axis: word (D, D) uint64."""
    for a in range(len(word)):
        for b in range(len(word)):
            found = np.uint64(0)
            for c in range(len(word)):
                found |= np.uint64(distance[a, b, c] < 0) << np.uint64(c)
            word[a, b] = found


@jit
def _between(word):
    """Words (D, D) of which those between some along the first axis have their bits."""
    before, behind = word.copy(), word.copy()
    for a in range(1, len(word)):
        before[a] |= before[a - 1]
        behind[-1 - a] |= behind[-a]
    return before & behind


@single
def close(distance):
    """Make distances (D, D, D) negative that lie between negative ones along two axes at least. D: at most 64."""
    word = np.empty(distance.shape[:2], np.uint64)
    _bits(distance, word)
    deep, high, before, behind = _between(word), _between(word.T).T, word.copy(), word.copy()
    for shift in (1, 2, 4, 8, 16, 32):
        before |= before << np.uint64(shift)
        behind |= behind >> np.uint64(shift)
    wide = before & behind
    hollow = ((deep & high) | (deep & wide) | (high & wide)) & ~word
    for a in range(len(word)):
        for b in range(len(word)):
            if hollow[a, b]:
                for c in range(len(word)):
                    if (hollow[a, b] >> np.uint64(c)) & np.uint64(1):
                        distance[a, b, c] = -distance[a, b, c]


@single
def front(distance, at, least):
    """The last cell below 0 along the first axis of distance (D, D, D), or else that of the least one: at (D, D); and the least: (D, D)."""
    for b in range(len(at)):
        for c in range(len(at)):
            at[b, c], least[b, c] = 0, distance[0, b, c]
    for a in range(len(distance)):
        for b in range(len(at)):
            for c in range(len(at)):
                value = distance[a, b, c]
                lower = value < least[b, c]
                at[b, c] = a if value < 0 or (lower and least[b, c] >= 0) else at[b, c]
                least[b, c] = value if lower else least[b, c]


@exact
def prior(distance, slope, outside, inside, far_slope, far, found):
    """found (N,) = -distance (N,) times `slope`, from `outside` up to `inside`, less `far_slope` times what distance + far is above 0."""
    zero = np.float32(0)
    for n in range(len(distance)):
        near = min(max(-distance[n] * slope, outside), inside)
        found[n] = near - far_slope * max(distance[n] + far, zero)
