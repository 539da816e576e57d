"""A coarse mask of the person refined to a soft alpha: in a band along its edge the colours decide.

Pictures are float32 RGB in [0, 1], (H, W, 3); masks float32 in [0, 1], (H, W). Radii are in pixels of 256-pixel frames.
"""

from __future__ import annotations

import cv2
import numpy as np

INNER, OUTER = 4, 9
"""How far inside and outside the coarse edge the colours decide: hair sticks out farther than faces are cut off."""


def refine(picture: np.ndarray, coarse: np.ndarray, plate: np.ndarray | None = None, plate_weight: np.ndarray | None = None) -> np.ndarray:
    """Alpha of the person.

    In the band each pixel is a mixture of the nearest sure colours of person F and background B; alpha is the point
    of the segment B-F nearest to the pixel, drawn to the coarse mask where F and B are too alike to tell. `plate`
    with `plate_weight` (H, W) is the background where it is known from other frames.
    """
    inside = _depth(coarse > 0.9)
    person, behind = inside > INNER, _depth(coarse < 0.1) > OUTER
    alpha = person.astype(np.float32)
    band = np.flatnonzero(~behind & (inside < INNER + 3))  # the last sure pixels too: nothing jumps to 1
    if not len(band):
        return alpha
    colour, seen = _at(picture, band), moments(picture)
    (foreground, unrest), (background, clutter) = (
        (values[:3], values[3]) for values in (_at(_enlarged(spread(seen, known), coarse.shape), band) for known in (person, behind))
    )
    if plate is not None and plate_weight is not None:
        known = plate_weight.ravel()[band]
        background += known * (_at(plate, band) - background)
        clutter = clutter * (1 - known)
    across = foreground - background
    square = _dot(across, across) + 1e-6
    share = np.clip(_dot(colour - background, across) / square, 0, 1)
    apart = colour - background - share * across
    prior = cv2.GaussianBlur(coarse, (0, 0), 1.0).ravel()[band]
    # Contrast below 0.07 in RGB, or below the colours' own scatter on either side, proves nothing, and neither does a colour that no
    # mixture of the two explains: the coarse mask decides.
    doubt = 0.005 + 6 * clutter + unrest + 20 * _dot(apart, apart)
    mixed = (square * share + doubt * prior) / (square + doubt)
    mixed = np.clip((mixed - 0.08) / 0.84, 0, 1)  # noise and shading around the two sure colours
    # Far from the coarse edge a colour like the person's (a red chair behind a red coat) is no proof.
    reach = np.clip((OUTER + 2 - _depth(coarse < 0.5).ravel()[band]) / 4, 0, 1)
    core = cv2.GaussianBlur(alpha, (0, 0), 1.0).ravel()[band]
    alpha.reshape(-1)[band] = np.maximum(np.minimum(mixed, reach), core)
    return alpha


def moments(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (H/2, W/2, 4): red, green, blue and the sum of their squares. Colours that are spread need no more pixels."""
    height, width = picture.shape[:2]
    small = cv2.resize(picture, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    return cv2.merge([*cv2.split(small), _squares(small)])


def spread(moments: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fill a picture from its known pixels by ever narrower Gaussian averages; what none reaches gets the mean.

    `moments` (h, w, 4) as above, `known` (H, W) bool. Returns (h/2, w/2, 4): the filled picture, and the variance of the known
    colours around each place, summed over RGB.
    """
    height, width = moments.shape[:2]
    weight = (cv2.resize(known.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0.99).astype(np.float32)
    packed = moments * cv2.merge([weight] * 4)
    total = cv2.countNonZero(weight)
    filled = np.array(cv2.sumElems(packed) if total else cv2.sumElems(moments), np.float32).reshape(1, 1, 4) / (total or weight.size)
    for sigma, shrink in ((12.0, 4), (5.0, 2), (2.0, 2)):  # in pixels of the moments
        size = (max(1, width // shrink), max(1, height // shrink))
        amount = cv2.GaussianBlur(cv2.resize(weight, size, interpolation=cv2.INTER_AREA), (0, 0), sigma / shrink)
        sums = cv2.GaussianBlur(cv2.resize(packed, size, interpolation=cv2.INTER_AREA), (0, 0), sigma / shrink)
        filled = _enlarged(filled, size[::-1])
        filled += cv2.merge([np.minimum(amount / 0.02, 1)] * 4) * (sums / cv2.merge([np.maximum(amount, 1e-8)] * 4) - filled)
    filled[..., 3] = np.maximum(filled[..., 3] - _squares(filled[..., :3]), 0)
    return filled


def _enlarged(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)


def _at(picture: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(H, W, C) -> (C, N): the channels at the pixels numbered (N,)."""
    return np.ascontiguousarray(picture.reshape(-1, picture.shape[2]).take(pixels, 0).T)


def likeness(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(H, W) in [0, 1]: how far two pictures (H, W, 3) are the same around each pixel."""
    away = one - other
    change = cv2.blur(_squares(away), (3, 3))
    return np.exp(change * np.float32(-1 / (2 * 0.03**2)))


def steady(value: np.ndarray, neighbours: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """A mask (H, W) averaged with those of the frames beside it, each given with its likeness: a mean over time that keeps motion."""
    total, weight = value.copy(), np.ones_like(value)
    for beside, like in neighbours:
        total += like * beside
        weight += like
    return total / weight


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(3, N), (3, N) -> (N,)."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _squares(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (H, W): the sum of the squares."""
    return cv2.transform(picture * picture, np.ones((1, 3), np.float32))


def _depth(mask: np.ndarray) -> np.ndarray:
    """How far inside the mask (H, W) bool each pixel lies, in pixels; the picture's border is no edge."""
    return cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
