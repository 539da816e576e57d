"""The blurred room behind a person: a wall with a window's glow, a shelf and a few soft shapes."""

from __future__ import annotations

import numpy as np

from castfield.cast.paint import linear
from castfield.cast.people import Person


def backdrop(person: Person, size: int) -> np.ndarray:
    """(size, size, 3) float32 displayed linear light, out of focus."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(person.seed + 3000)
    room = person.room
    x, y = np.meshgrid((np.arange(size) + 0.5) / size, (np.arange(size) + 0.5) / size)
    wall, light = linear(room.wall), linear(room.light)
    picture = np.ones((size, size, 3)) * wall * 0.62
    side = 1 if rng.random() < 0.5 else -1
    for k in range(7):  # things on the shelf and on the wall, far out of focus
        colour = linear(room.accents[k % len(room.accents)]) * rng.uniform(0.6, 1.1)
        centre = rng.uniform(0.05, 0.95), rng.uniform(0.12, 0.8)
        half = rng.uniform(0.03, 0.10), rng.uniform(0.05, 0.17)
        inside = (np.abs(x - centre[0]) < half[0]) & (np.abs(y - centre[1]) < half[1])
        picture[inside] = 0.35 * picture[inside] + 0.65 * colour
    shelf = rng.uniform(0.55, 0.7)
    picture[np.abs(y - shelf) < 0.02] *= 0.55
    window = (np.abs(x - (0.5 + side * 0.36)) < 0.13) & (y < 0.52) & (y > 0.06)
    picture[window] = light * 1.25
    picture[window & (np.abs(x - (0.5 + side * 0.36)) < 0.010)] *= 0.55
    blurred = np.stack([gaussian_filter(picture[..., c], size * 0.030, mode="nearest") for c in range(3)], -1)
    for _ in range(6):  # lamps out of focus
        cx, cy, r = rng.uniform(0, 1), rng.uniform(0.05, 0.6), rng.uniform(0.012, 0.03)
        disc = np.clip((r - np.hypot(x - cx, y - cy)) / 0.006, 0, 1)[..., None]
        blurred = blurred + disc * light * rng.uniform(0.04, 0.14)
    fall = 1.08 - 0.55 * np.hypot(x - 0.5 - side * 0.15, y - 0.40)[..., None] ** 1.5
    grain = gaussian_filter(rng.standard_normal((size, size)), 0.7) * 0.004
    return np.clip(blurred * fall + grain[..., None], 0.0, 1).astype(np.float32)
