"""Head (with hair and neck) or torso: for each pixel of the person, from where it lies below the face and from its colour.

The neck belongs to the head, which ends at the collar. The torso hangs on the body, so the split is measured from the chin along
the picture's vertical, in units of the face's height and width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from castfield.tracking.sixty_eight import from_mesh

COLLAR, RISE, VAGUE = 0.30, 1.5, 0.12
"""Where the neck ends if the colours do not say otherwise: in face heights below the chin on the middle line, how far it rises a face
width to the sides, where the shoulders are, and how much that differs from person to person and collar to collar."""
CHEST = 0.54
"""Below this, in face heights below the chin, the skin of a low neckline is the chest's."""
BINS, TINTS = 24, 48
"""Cells of a colour's histogram along red, green and blue, and of a tint's along its two directions."""
SHAPES = (BINS,) * 3, (TINTS,) * 2
SHOULDER = -0.4
"""Height of the mouth, in face heights below the chin: above it nobody has shoulders, and all of the person is head."""


@dataclass(frozen=True)
class FaceFrame:
    """Where the face is, per frame, smooth in time: pixels."""

    centre: np.ndarray
    """(T,) x of the middle of the jaw."""
    chin: np.ndarray
    """(T,) y of the chin's lowest point."""
    height: np.ndarray
    """(T,) from between the brows to the chin, with the mouth shut or nearly so."""
    width: np.ndarray
    """(T,) of the face at its widest."""


def face_frame(points: np.ndarray, sigma: float = 2.0) -> FaceFrame:
    """From landmarks (T, 478, 3) in pixels. Smoothed over `sigma` frames, because the collar does not move with the jaw."""
    jaw = from_mesh(points)[:, :17, :2]
    brow, nose = from_mesh(points)[:, 27, :2], from_mesh(points)[:, 33, :2]
    width = np.ptp(jaw[..., 0], axis=1)
    # From the brows to the chin with the mouth shut; nose length scales with it and does not change in speech.
    nose_length = np.linalg.norm(nose - brow, axis=-1)
    lengths = np.linalg.norm(jaw[:, 8] - brow, axis=-1)
    height = nose_length * np.percentile(lengths / np.maximum(nose_length, 1), 20)
    chin = np.minimum(jaw[..., 1].max(1), brow[:, 1] + height * 1.03)
    smooth = [gaussian_filter1d(v.astype(np.float64), sigma, mode="nearest") for v in (jaw[..., 0].mean(1), chin, height, width)]
    return FaceFrame(*smooth)


def place(face: FaceFrame, frame: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """u (1, W): sideways from the jaw's middle in face widths; v (H, 1): below the chin in face heights."""
    u = (np.arange(width) + 0.5 - face.centre[frame]) / max(face.width[frame], 1)
    v = (np.arange(height) + 0.5 - face.chin[frame]) / max(face.height[frame], 1)
    return u.astype(np.float32)[None], v.astype(np.float32)[:, None]


class Colours:
    """Log odds of head against torso for a colour, learned from pixels whose place leaves no doubt.

    A collar in the chin's shadow has its cloth's tint at another brightness: tint and colour are counted apart, and both are heard.
    """

    def __init__(self) -> None:
        self._counts = [np.zeros((2, *shape)) for shape in SHAPES]

    def learn(self, picture: np.ndarray, person: np.ndarray, u: np.ndarray, v: np.ndarray) -> None:
        """picture (H, W, 3) float in [0, 1]; person (H, W) alpha; u, v as from `place`."""
        sure = person > 0.95
        head = sure & (v < -0.05)
        low = np.zeros_like(sure)
        low[int(0.92 * len(low)) :] = True
        torso = sure & ((v > 0.9) | ((v > 0.35) & (np.abs(u) > 0.6)) | (low & (v > 0.2) & (np.abs(u) > 0.5)))
        torso &= _above(person, v) * (np.abs(u) > 0.4) < 0.05  # what hangs there may be hair
        for at, where in enumerate((head, torso)):
            colours = picture.reshape(-1, 3).take(np.flatnonzero(where), 0)  # as picture[where], which takes five times as long
            for counts, cells in zip(self._counts, (_bins(colours), _tints(colours)), strict=True):
                counts[at] += np.bincount(cells, minlength=counts[at].size).reshape(counts[at].shape)

    def odds(self, picture: np.ndarray) -> np.ndarray:
        """(H, W) log odds of each pixel of a picture (H, W, 3); 0 where nothing was learned."""
        bins, tints = self._tables
        return bins.take(_bins(picture)) + tints.take(_tints(picture))

    @cached_property
    def _tables(self) -> list[np.ndarray]:
        """Once all is learned."""
        return [_log_odds(counts) for counts in self._counts]


def _log_odds(counts: np.ndarray) -> np.ndarray:
    """Histograms (2, ...) -> the logarithm of the ratio of their densities; colours seen on neither say nothing."""
    totals = counts.reshape(2, -1).sum(1)
    if totals.min() < 500:
        return np.zeros(counts.shape[1:], np.float32)
    density = [gaussian_filter(c / t, 0.8) for c, t in zip(counts, totals, strict=True)]
    floor = 3.0 / counts[0].size
    return np.log((density[0] + floor) / (density[1] + floor)).astype(np.float32)


def head_share(picture: np.ndarray, person: np.ndarray, u: np.ndarray, v: np.ndarray, colours: Colours) -> np.ndarray:
    """Share of head (H, W) in [0, 1] for every pixel, taken as if it were the person's, whose alpha is `person`."""
    share = np.ones(person.shape, np.float32)
    first = int(np.searchsorted(v[:, 0], SHOULDER))
    margin = min(first, 2)
    colour = cv2.blur(np.clip(colours.odds(picture[first - margin :]), -5, 5), (5, 5))[margin:]
    above, v = _above(person, v), v[first:]
    collar = COLLAR - RISE * np.maximum(np.abs(u) - 0.2, 0)
    where = np.clip((np.maximum(collar, 0) - v) / VAGUE, -6, 6)
    # Above the chin all is head; far below, or where a sleeve would be, all is torso, whatever its colour.
    sure = np.clip((-0.02 - v) / 0.02, 0, 1) * 12 - np.clip((v - CHEST) / 0.06, 0, 1) * 12
    # Hair hangs: beside the neck, only what has the person above it, at the mouth's height, can be hair; the rest is shoulder.
    shoulder = (1 - above) * np.clip((np.abs(u) - 0.45) / 0.1, 0, 1) * np.clip((v - SHOULDER) / 0.1, 0, 1)
    # Long hair falls over the shoulders: below it has the hair's colour, and above it the hair.
    falls = above * np.clip((np.abs(u) - 0.4) / 0.1, 0, 1) * np.clip((colour - 1) / 1.5, 0, 1)
    where, sure = np.maximum(where, -2 - 4 * (1 - falls)), np.where(sure < 0, sure * (1 - falls), sure)
    where, sure = where - 8 * shoulder, sure * np.where(sure > 0, 1 - shoulder, 1)
    share[first:] = 1 / (1 + np.exp(-np.clip(where + colour + sure, -30, 30)))
    return share


def _above(person: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(1, W): how much person there is at the mouth's height."""
    level = np.abs(v[:, 0] - SHOULDER).argmin()
    return cv2.GaussianBlur(np.ascontiguousarray(person[level : level + 1]), (0, 0), 3.0)


def _tints(colours: np.ndarray) -> np.ndarray:
    """(..., 3) colours -> (...) cells of red and blue against the whole, whatever the brightness; black has no tint."""
    whole = colours[..., 0] + colours[..., 1] + colours[..., 2] + np.float32(0.08)
    red, blue = (np.minimum(colours[..., k] * np.float32(1.6 * TINTS) / whole, TINTS - 1).astype(np.int32) for k in (0, 2))
    return red * TINTS + blue


def _bins(colours: np.ndarray) -> np.ndarray:
    """(..., 3) colours -> (...) cells of red, green and blue."""
    red, green, blue = (np.minimum(colours[..., k] * np.float32(BINS), BINS - 1).astype(np.int32) for k in range(3))
    return (red * BINS + green) * BINS + blue
