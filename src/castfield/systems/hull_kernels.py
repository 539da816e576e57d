"""The votes of masks, as CPU kernels (Numba); `hull.py` says what for."""

from __future__ import annotations

import numpy as np

from castfield.fields.kernels import exact, single


@exact
def vote(says, cameras, x, y, z, near, needed, of_mask, full, height, held, beyond):
    """Add up what pictures say (F, S, S) uint16 of cells at x, y and z (D,) that cameras (F, 3, 4) see; to the bit as PyTorch does.

    held (D, D, D) bool: whether it is `needed` or more. beyond (D, D, D): how far what lies in the bits of_mask is below half of `full`,
    in units of `height`. near: the least depth, metres. All else is float32.
    """
    cells, size, last, zero, half = len(x), np.int32(says.shape[1]), np.float32(says.shape[1] - 1), np.float32(0), np.float32(0.5)
    at, row, votes = np.empty(cells, np.uint32), np.empty((cells, 3, cells), np.float32), np.zeros((cells, cells, cells), np.uint16)
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
                    votes[layer, j, i] += flat[at[i]]  # of unsigned numbers none counts from the end
    for layer in range(cells):
        for j in range(cells):
            for i in range(cells):
                held[layer, j, i] = votes[layer, j, i] >= needed
                beyond[layer, j, i] = (half - np.float32(votes[layer, j, i] & of_mask) / full) * height


@single
def grow(inside):
    """Set the cells of inside (D, D, D) bool beside those that are set, D at most 64."""
    side = len(inside)
    word = np.zeros((side + 2, side + 2), np.uint64)  # bits along the last axis
    for a in range(side):
        for b in range(side):
            found = np.uint64(0)
            for c in range(side):
                found |= np.uint64(inside[a, b, c]) << np.uint64(c)
            word[a + 1, b + 1] = found | (found << np.uint64(1)) | (found >> np.uint64(1))
    word[1:-1] |= word[:-2] | word[2:]
    for a in range(side):
        for b in range(side):
            found = word[a + 1, b] | word[a + 1, b + 1] | word[a + 1, b + 2]
            for c in range(side):
                inside[a, b, c] = (found >> np.uint64(c)) & np.uint64(1)
