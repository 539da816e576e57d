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

COLLAR = 0.42
"""Where the neck ends on the middle line, in face heights below the chin, if the colours do not say otherwise."""
BINS, TINTS = 24, 48
"""Cells of a colour's histogram along red, green and blue, and of a tint's along its two directions."""


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
    """u (H, W): sideways from the jaw's middle in face widths; v (H, W): below the chin in face heights."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    u = (x - face.centre[frame]) / max(face.width[frame], 1)
    v = (y - face.chin[frame]) / max(face.height[frame], 1)
    return u.astype(np.float32), v.astype(np.float32)


class Colours:
    """Log odds of head against torso for a colour, learned from pixels whose place leaves no doubt.

    A collar in the chin's shadow has its cloth's tint at another brightness: tint and colour are counted apart, and both are heard.
    """

    def __init__(self) -> None:
        self._counts = [np.zeros((2, *shape)) for shape in ((BINS,) * 3, (TINTS,) * 2)]

    def learn(self, picture: np.ndarray, person: np.ndarray, u: np.ndarray, v: np.ndarray) -> None:
        """picture (H, W, 3) float in [0, 1]; person (H, W) alpha; u, v as from `place`."""
        sure = person > 0.95
        head = sure & (v < -0.05)
        low = np.zeros_like(sure)
        low[int(0.92 * len(low)) :] = True
        torso = sure & ((v > 0.9) | ((v > 0.35) & (np.abs(u) > 0.6)) | (low & (v > 0.2) & (np.abs(u) > 0.5)))
        torso &= _above(person, v) * (np.abs(u) > 0.4) < 0.05  # what hangs there may be hair
        for at, where in enumerate((head, torso)):
            for counts, index in zip(self._counts, (_bins(picture[where]), _tints(picture[where])), strict=True):
                np.add.at(counts[at], tuple(index.T), 1)

    def odds(self, picture: np.ndarray) -> np.ndarray:
        """(H, W) log odds of each pixel of a picture (H, W, 3); 0 where nothing was learned."""
        total = np.zeros(picture.shape[:2], np.float32)
        for table, index in zip(self._tables, (_bins(picture), _tints(picture)), strict=True):
            total += table[tuple(np.moveaxis(index, -1, 0))]
        return total

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
    colour = cv2.blur(np.clip(colours.odds(picture), -5, 5), (5, 5))
    # The neck's lower border rises to the sides, where the shoulders are.
    collar = COLLAR - 0.75 * np.maximum(np.abs(u) - 0.25, 0)
    where = np.clip((np.maximum(collar, 0) - v) / 0.07, -6, 6)
    # Above the chin all is head; far below, or where a sleeve would be, all is torso, whatever its colour.
    sure = np.clip((-0.02 - v) / 0.02, 0, 1) * 12 - np.clip((v - 0.62) / 0.06, 0, 1) * 12
    # Hair hangs: beside the neck, only what has the person above it, at the mouth's height, can be hair; the rest is shoulder.
    above = _above(person, v)
    shoulder = (1 - above) * np.clip((np.abs(u) - 0.45) / 0.1, 0, 1) * np.clip((v + 0.4) / 0.1, 0, 1)
    # Long hair falls over the shoulders: below it has the hair's colour, and above it the hair.
    falls = above * np.clip((np.abs(u) - 0.4) / 0.1, 0, 1) * np.clip((colour - 1) / 1.5, 0, 1)
    where, sure = np.maximum(where, -2 - 4 * (1 - falls)), np.where(sure < 0, sure * (1 - falls), sure)
    where, sure = where - 8 * shoulder, sure * np.where(sure > 0, 1 - shoulder, 1)
    return (1 / (1 + np.exp(-np.clip(where + colour + sure, -30, 30)))).astype(np.float32)


def _above(person: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(1, W): how much person there is at the mouth's height."""
    level = np.abs(v[:, 0] + 0.4).argmin()
    return cv2.GaussianBlur(np.ascontiguousarray(person[level : level + 1]), (0, 0), 3.0)


def _tints(colours: np.ndarray) -> np.ndarray:
    """(..., 2) cells of red and blue against the whole, whatever the brightness; black has no tint."""
    share = colours[..., [0, 2]] / (colours.sum(-1, keepdims=True) + 0.08)
    return np.clip((share * 1.6 * TINTS).astype(np.int64), 0, TINTS - 1)


def _bins(colours: np.ndarray) -> np.ndarray:
    return np.clip((colours * BINS).astype(np.int64), 0, BINS - 1)
