"""Compositing of the fast field's samples as CPU kernels (Numba); `fields/fast.py` says where they are used.

What they compute stands in plain PyTorch in `compositing.py`, `fields/grid.py` (raw values to density and colour) and
`systems/grid_loss.py`. Every kernel gives the same bits on any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from castfield.fields.kernels import CHUNK, ONE, jit, parallel

ZERO = np.float32(0)


@jit
def _sigmoid(x):
    return ONE / (ONE + np.exp(-x))


@jit
def _softplus(x):
    return max(x, ZERO) + np.log1p(np.exp(-abs(x)))


@jit
def _along(raw, prior, length, background, scale, shift, weight, through, seen):
    """One ray of S samples: its opacity. Sets seen (3,), the samples' weights (S,) and the transmittance behind each (S,).

    The colours in raw (S, 4) become those in [0, 1].
    """
    clear, opacity = ONE, ZERO
    seen[:] = ZERO
    for j in range(len(length)):
        optical = _softplus(raw[j, 0] + prior[j] - shift) * scale * length[j]
        through[j] = clear * np.exp(-optical)
        weight[j] = clear - through[j]
        clear = through[j]
        opacity += weight[j]
        for c in range(3):
            raw[j, 1 + c] = _sigmoid(raw[j, 1 + c])
            seen[c] += weight[j] * raw[j, 1 + c]
    for c in range(3):
        seen[c] += (ONE - opacity) * background[c]
    return opacity


@parallel
def composite(raw, prior, length, background, scale, shift, colour, alpha):
    """Colour (N, 3) and opacity (N,) of rays: raw (N, S, 4) density and colour, its prior (N, S), length (N, S), background (N, 3).

    `raw` is overwritten. A density is scale * softplus(raw + prior - shift) per metre.
    """
    count, samples = length.shape
    for chunk in prange((count + CHUNK - 1) // CHUNK):
        weight, through = np.empty(samples, np.float32), np.empty(samples, np.float32)
        for n in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK)):
            alpha[n] = _along(raw[n], prior[n], length[n], background[n], scale, shift, weight, through, colour[n])


@parallel
def score(raw, prior, length, background, colour, mask, scale, shift, mask_weight, density_weight, sums):
    """The terms of the loss, and its gradient in place of raw (F, P, 4). The first R S points lie on rays, the others elsewhere.

    prior (F, P), length (F, R, S), background and colour (F, R, 3), mask (F, R); sums (F, 4): squared errors of colour and of opacity, and
    the square of what is learned of the raw density on rays and elsewhere, each summed over a frame.
    """
    frames, rays, samples = length.shape
    points = raw.shape[1]
    of_colour, of_mask = np.float32(2 / (3 * frames * rays)), np.float32(2 * mask_weight / (frames * rays))
    of_density = np.float32(2 * density_weight / (frames * rays * samples))
    of_elsewhere = np.float32(2 * density_weight / (frames * (points - rays * samples)))
    for b in prange(frames):
        weight, through = np.empty(samples, np.float32), np.empty(samples, np.float32)
        seen, reaches = np.empty(3, np.float32), np.empty(3, np.float32)
        error, covered, on_rays, elsewhere = np.float64(0), np.float64(0), np.float64(0), np.float64(0)
        for r in range(rays):
            first = r * samples
            some, before, behind = raw[b, first : first + samples], prior[b, first : first + samples], background[b, r]
            off = _along(some, before, length[b, r], behind, scale, shift, weight, through, seen) - mask[b, r]
            covered += off * off
            to_opacity = of_mask * off
            for c in range(3):
                wrong = seen[c] - colour[b, r, c]
                error += wrong * wrong
                reaches[c] = of_colour * wrong
                to_opacity -= reaches[c] * behind[c]
            later = ZERO  # what reaches the weights of the samples behind
            for j in range(samples - 1, -1, -1):
                to_weight = to_opacity
                for c in range(3):
                    shade = some[j, 1 + c]
                    to_weight += reaches[c] * shade
                    some[j, 1 + c] = weight[j] * reaches[c] * shade * (ONE - shade)
                to_optical = to_weight * through[j] - later
                later += to_weight * weight[j]
                added = some[j, 0]
                on_rays += added * added
                some[j, 0] = to_optical * length[b, r, j] * scale * _sigmoid(added + before[j] - shift) + of_density * added
        for p in range(rays * samples, points):
            added = raw[b, p, 0]
            elsewhere += added * added
            raw[b, p, 0] = of_elsewhere * added
            raw[b, p, 1:] = ZERO
        sums[b, 0], sums[b, 1], sums[b, 2], sums[b, 3] = error, covered, on_rays, elsewhere
