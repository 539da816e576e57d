"""What people look at: pictures enlarged, set side by side, labelled and watermarked. uint8 RGB (H, W, 3) throughout.

Lossless renders for evaluation are never touched by anything here.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

WATERMARK = "synthetic · Castfield"
NOTE = "Synthetic video made by Castfield; it shows nothing that anyone said or did."
"""Goes into the container's comment, beside the visible mark (MI-NeRF, ethics section)."""
HELD_OUT = (255, 176, 32)
SEEN = (70, 76, 88)


def enlarge(frame: np.ndarray, side: int) -> np.ndarray:
    """Resize a square frame (S, S, 3) to (side, side, 3) with a Lanczos window."""
    from PIL import Image

    if len(frame) == side:
        return frame
    return np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.LANCZOS))


_HEAT = np.array([[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]], np.float32)


def difference(truth: np.ndarray, render: np.ndarray, gain: float = 4.0) -> np.ndarray:
    """Mean absolute difference over the channels, times `gain`, as heat from black to pale yellow (full scale)."""
    amount = np.abs(truth.astype(np.float32) - render.astype(np.float32)).mean(-1) * (gain / 255)
    position = np.clip(amount, 0, 1) * (len(_HEAT) - 1)
    low = np.minimum(position.astype(np.int64), len(_HEAT) - 2)
    share = (position - low)[..., None]
    return np.round(_HEAT[low] * (1 - share) + _HEAT[low + 1] * share).astype(np.uint8)


def beside(*panels: np.ndarray) -> np.ndarray:
    """Set panels of equal height side by side."""
    return np.concatenate(panels, 1)


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)  # Pillow carries the font: no system font is asked for


@cache
def text_mask(text: str, size: int) -> np.ndarray:
    """A line of text as coverage (h, w) float32 in [0, 1]; `size` is the font size in pixels."""
    from PIL import Image, ImageDraw

    left, _, right, _ = _font(size).getbbox(text)
    rise, fall = _font(size).getmetrics()
    canvas = Image.new("L", (int(right - left) + 8, rise + fall + 2), 0)
    ImageDraw.Draw(canvas).text((4 - left, 1), text, fill=255, font=_font(size))
    return np.asarray(canvas, np.float32) / 255


def write(frame: np.ndarray, text: str, *, x: int, y: int, size: int = 13, opacity: float = 0.85) -> np.ndarray:
    """A copy of `frame` with white text on a soft dark ground; negative x or y count from the right or bottom edge."""
    mask = text_mask(text, size)[: frame.shape[0], : frame.shape[1]]
    height, width = mask.shape
    top = max(y if y >= 0 else frame.shape[0] + y - height, 0)
    left = max(x if x >= 0 else frame.shape[1] + x - width, 0)
    top, left = min(top, frame.shape[0] - height), min(left, frame.shape[1] - width)
    out = frame.copy()
    ground = out[top : top + height, left : left + width] * np.float32(1 - 0.45 * opacity)
    ink = mask[..., None] * opacity
    out[top : top + height, left : left + width] = np.round(ground * (1 - ink) + 255 * ink).astype(np.uint8)
    return out


def label(frame: np.ndarray, text: str) -> np.ndarray:
    """Name a panel in its upper left corner."""
    return write(frame, text, x=6, y=6, size=max(9, len(frame) // 20))


def watermark(frame: np.ndarray) -> np.ndarray:
    """The visible mark of origin, small, in the lower right corner."""
    return write(frame, WATERMARK, x=-6, y=-6, size=max(9, min(len(frame) // 24, 16)), opacity=0.6)


def held_out_bar(frame: np.ndarray, held: np.ndarray, at: int, height: int = 6) -> np.ndarray:
    """Put a time line under frame number `at`: held-out stretches are amber, seen ones grey, a white mark shows the place.

    frame (H, W, 3), held (T,) bool of all frames -> (H + height, W, 3).
    """
    count, width = len(held), frame.shape[1]
    frames = np.minimum(np.arange(width) * count // width, count - 1)
    line = np.where(held[frames][:, None], np.array(HELD_OUT), np.array(SEEN)).astype(np.uint8)
    bar = np.repeat(line[None], height, 0)
    middle = int((at + 0.5) * width / count)
    bar[:, max(middle - 2, 0) : middle + 2] = 255
    return np.concatenate([frame, bar])
