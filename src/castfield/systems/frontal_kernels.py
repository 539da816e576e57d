"""What is seen from the front, as CPU kernels (Numba); `frontal.py` says what for."""

from __future__ import annotations

import numpy as np

from castfield.fields.kernels import HALF, ONE, single
from castfield.fields.vectors import add_scaled, load, store, zeros

ZERO = np.float32(0)


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


@single
def mean(sums, least, colour):
    """colour (H, W, 3) = what sums (H, W, 4) hold of colours over what they hold of weights; where that is not above `least`, over all."""
    total = np.zeros(4)
    for y in range(len(sums)):
        for x in range(sums.shape[1]):
            for k in range(4):
                total[k] += sums[y, x, k]
    of_all = (total[:3] / max(total[3], 1e-6)).astype(np.float32)
    for y in range(len(sums)):
        for x in range(sums.shape[1]):
            weight = sums[y, x, 3]
            share = ONE / max(weight, np.float32(1e-6))
            for k in range(3):
                colour[y, x, k] = share * sums[y, x, k] if weight > least else of_all[k]
