"""Small charts as SVG text. Colours are the page's own variables, so that they follow light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 520, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 14, 34


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) within [low, high]."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** np.floor(np.log10(raw))
    step = float(next(s for s in (power, 2 * power, 5 * power, 10 * power) if s >= raw * (1 - 1e-9)))
    first = int(np.ceil(low / step - 1e-9))
    return [round(k * step, 12) for k in range(first, int(np.floor(high / step + 1e-9)) + 1)]


def line_chart(x: Sequence[float], y: Sequence[float], *, title: str, x_label: str, y_label: str, log: bool = False) -> str:
    """One line over x. `log` draws y on a logarithmic scale (values above zero)."""
    points = [(a, b) for a, b in zip(x, y, strict=True) if np.isfinite(a) and np.isfinite(b) and (b > 0 or not log)]
    if len(points) < 2:
        return ""
    xs, ys = np.array(points).T
    shown = np.log10(ys) if log else ys
    low_x, high_x = float(xs.min()), float(xs.max())
    low_y, high_y = float(shown.min()), float(shown.max())
    pad = 0.06 * (high_y - low_y) or 1.0
    low_y, high_y = low_y - pad, high_y + pad

    def across(value: float) -> float:
        return _LEFT + (value - low_x) / ((high_x - low_x) or 1) * (WIDTH - _LEFT - _RIGHT)

    def down(value: float) -> float:
        return HEIGHT - _BOTTOM - (value - low_y) / (high_y - low_y) * (HEIGHT - _TOP - _BOTTOM)

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    for tick in ticks(low_y, high_y, 4):
        text = f"{10**tick:.2g}" if log else f"{tick:g}"
        parts.append(f'<line class="rule" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{down(tick):.1f}" y2="{down(tick):.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{down(tick) + 4:.1f}" text-anchor="end">{text}</text>')
    for tick in ticks(low_x, high_x, 6):
        parts.append(f'<text x="{across(tick):.1f}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle">{tick:g}</text>')
    path = " ".join(f"{across(a):.1f},{down(b):.1f}" for a, b in zip(xs, shown, strict=True))
    parts.append(f'<polyline class="line" points="{path}"/>')
    parts.append(f'<text class="axis" x="{WIDTH - _RIGHT}" y="{HEIGHT - 3}" text-anchor="end">{escape(x_label)}</text>')
    parts.append(f'<text class="axis" x="{_LEFT}" y="{_TOP - 3}">{escape(y_label)}</text>')
    return "".join(parts) + "</svg>"


def sparkline(series: Sequence[np.ndarray], held: np.ndarray, *, limit: float, label: str) -> str:
    """Curves over a clip, one line each, between -limit and limit; the frames `held` are shaded."""
    width, height = 220, 44
    frames = len(series[0])
    parts = [f'<svg class="spark" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">']
    parts += _shaded(held, frames, width, height)
    parts.append(f'<line class="rule" x1="0" x2="{width}" y1="{height / 2}" y2="{height / 2}"/>')
    for number, values in enumerate(series):
        height_of = height / 2 - np.clip(values / limit, -1, 1) * (height / 2 - 2)
        points = " ".join(f"{_across(f, frames, width):.1f},{h:.1f}" for f, h in enumerate(height_of))
        parts.append(f'<polyline class="s{number}" points="{points}"/>')
    return "".join(parts) + "</svg>"


def strip(values: np.ndarray, known: np.ndarray | None, held: np.ndarray, *, low: float, high: float, label: str) -> str:
    """One curve over a clip between `low` and `high`, the truth `known` beneath it where there is one; the frames `held` are shaded."""
    width, height = 440, 34

    def curve(numbers: np.ndarray, kind: str) -> str:
        down = height - 2 - (np.clip(numbers, low, high) - low) / ((high - low) or 1) * (height - 4)
        points = " ".join(f"{_across(t, len(numbers), width):.1f},{y:.1f}" for t, y in enumerate(down))
        return f'<polyline class="{kind}" points="{points}"/>'

    parts = [f'<svg class="spark" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">']
    parts += _shaded(held, len(values), width, height)
    parts += [curve(known, "known")] if known is not None else []
    return "".join([*parts, curve(values, "s0")]) + "</svg>"


def _across(frame: float, frames: int, width: int) -> float:
    return frame / max(frames - 1, 1) * width


def _shaded(held: np.ndarray, frames: int, width: int, height: int) -> list[str]:
    """A shade behind each run of the frames `held`."""
    parts = []
    for block in np.split(held, np.flatnonzero(np.diff(held) > 1) + 1) if len(held) else []:
        left, right = _across(block[0] - 0.5, frames, width), _across(block[-1] + 0.5, frames, width)
        parts.append(f'<rect class="held" x="{left:.1f}" y="0" width="{right - left:.1f}" height="{height}"/>')
    return parts


def scatter(points: np.ndarray, labels: Sequence[str], groups: Sequence[int], *, title: str) -> str:
    """Labelled points (n, 2) at equal scale; points of one group share a colour (class `g0` to `g7`)."""
    width, height, edge = 520, 360, 46
    middle = (points.max(0) + points.min(0)) / 2
    span = float(np.ptp(points, 0).max()) or 1.0
    scale = min(width - 2.6 * edge, height - 1.4 * edge) / span
    parts = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">']
    parts.append(f'<rect class="frame" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>')
    for (x, y), label, group in zip((points - middle) * scale, labels, groups, strict=True):
        across, down = width / 2 + x, height / 2 - y
        parts.append(f'<circle class="g{group % 8}" cx="{across:.1f}" cy="{down:.1f}" r="6"/>')
        parts.append(f'<text class="name" x="{across:.1f}" y="{down - 11:.1f}" text-anchor="middle">{escape(label)}</text>')
    return "".join(parts) + "</svg>"
