"""What people look at: pictures enlarged, set side by side, labelled and watermarked. uint8 RGB (T, H, W, 3) throughout.

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


def enlarge(frames: np.ndarray, side: int) -> np.ndarray:
    """Resize square frames (T, S, S, 3) to (T, side, side, 3) with a Lanczos window."""
    from PIL import Image

    if frames.shape[1:3] == (side, side):
        return frames
    return np.stack([np.asarray(Image.fromarray(f).resize((side, side), Image.Resampling.LANCZOS)) for f in frames])


_HEAT = np.array([[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]], np.float32)


def difference(truth: np.ndarray, render: np.ndarray, gain: float = 4.0) -> np.ndarray:
    """Mean absolute difference over the channels, times `gain`, as heat from black to pale yellow."""
    amount = np.abs(truth.astype(np.float32) - render.astype(np.float32)).mean(-1) * (gain / 255)
    position = np.clip(amount, 0, 1) * (len(_HEAT) - 1)
    low = np.minimum(position.astype(np.int64), len(_HEAT) - 2)
    share = (position - low)[..., None]
    return np.round(_HEAT[low] * (1 - share) + _HEAT[low + 1] * share).astype(np.uint8)


def beside(*panels: np.ndarray) -> np.ndarray:
    """Set panels of equal height side by side."""
    return np.concatenate(panels, 2)


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)  # Pillow carries the font: no system font is asked for


@cache
def text_mask(text: str, size: int) -> np.ndarray:
    """A line of text as coverage (h, w) float32 in [0, 1]; `size` is the font size in pixels."""
    from PIL import Image, ImageDraw

    left, top, right, bottom = _font(size).getbbox(text)
    canvas = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4), 0)
    ImageDraw.Draw(canvas).text((2 - left, 2 - top), text, fill=255, font=_font(size))
    return np.asarray(canvas, np.float32) / 255


def write(frames: np.ndarray, text: str, *, x: int, y: int, size: int = 13, opacity: float = 0.85) -> np.ndarray:
    """A copy of `frames` with white text on a soft dark ground; negative x or y count from the right or bottom edge."""
    mask = text_mask(text, size)
    height, width = mask.shape
    top = y if y >= 0 else frames.shape[1] + y - height
    left = x if x >= 0 else frames.shape[2] + x - width
    top, left = max(top, 0), max(left, 0)
    out = frames.copy()
    area = out[:, top : top + height, left : left + width].astype(np.float32)
    ink = mask[: area.shape[1], : area.shape[2], None]
    ground = area * (1 - 0.45 * opacity)
    out[:, top : top + height, left : left + width] = np.round(ground * (1 - ink * opacity) + 255 * ink * opacity).astype(np.uint8)
    return out


def watermark(frames: np.ndarray) -> np.ndarray:
    """The visible mark of origin, small, in the lower right corner."""
    return write(frames, WATERMARK, x=-6, y=-6, size=max(9, frames.shape[1] // 32), opacity=0.6)


def held_out_bar(frames: np.ndarray, held: np.ndarray, height: int = 6) -> np.ndarray:
    """Put a time line under each frame: held-out stretches are amber, seen ones grey, and a white mark runs along.

    frames (T, H, W, 3), held (T,) bool -> (T, H + height, W, 3).
    """
    count, _, width = frames.shape[:3]
    at = np.minimum(np.arange(width) * count // width, count - 1)
    line = np.where(held[at][:, None], np.array(HELD_OUT), np.array(SEEN)).astype(np.uint8)
    bars = np.broadcast_to(line, (count, height, width, 3)).copy()
    for frame in range(count):
        middle = int((frame + 0.5) * width / count)
        bars[frame, :, max(middle - 2, 0) : middle + 2] = 255
    return np.concatenate([frames, bars], 1)


def mosaic(rows: list[list[np.ndarray]]) -> np.ndarray:
    """A grid of equal cells, each (T, S, S, 3) -> (T, rows x S, columns x S, 3)."""
    return np.concatenate([np.concatenate(row, 2) for row in rows], 1)
