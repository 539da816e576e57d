"""What every metric is: an `update` that sums and a `compute` that finishes.

Sums of one clip add up to those of a task, so a task's figure is the mean over frames (or clips) and not a mean of means.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np


class Metric:
    """Mean over samples. A subclass turns its arguments into samples and calls `add`."""

    recipe: ClassVar[str] = ""
    """How the figure is computed: network, window, resolution. `{size}` stands for the side of the rendered frames in pixels."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, samples: float | np.ndarray) -> None:
        """Add samples of any shape. A sample that is not finite is a fault of the caller: ValueError."""
        values = np.atleast_1d(np.asarray(samples, np.float64)).ravel()
        if not np.isfinite(values).all():
            raise ValueError(f"{type(self).__name__}: a sample is not finite")
        self.total += math.fsum(values)
        self.count += values.size

    def compute(self) -> float | None:
        """The mean; None where there was nothing to measure."""
        return self.total / self.count if self.count else None


class Tally:
    """Sums of many named figures: what one clip leaves behind and what a task adds up.

    `sums[name] = [total, count]` finish as means, `counts[name]` as sums.
    """

    def __init__(self, sums: dict[str, list[float]] | None = None, counts: dict[str, int] | None = None) -> None:
        self.sums: dict[str, list[float]] = {k: list(v) for k, v in (sums or {}).items()}
        self.counts: dict[str, int] = dict(counts or {})

    def put(self, name: str, metric: Metric) -> None:
        """Add a metric's sums under `name`; nothing where it measured nothing."""
        if metric.count:
            self._add(name, metric.total, metric.count)

    def value(self, name: str, value: float | None) -> None:
        """Add one sample under `name`; nothing where it is None or not finite."""
        if value is not None and math.isfinite(value):
            self._add(name, float(value), 1)

    def number(self, name: str, count: int) -> None:
        """Add to a counter."""
        self.counts[name] = self.counts.get(name, 0) + int(count)

    def merge(self, other: Tally) -> None:
        """Add another clip's sums."""
        for name, (total, count) in other.sums.items():
            self._add(name, total, count)
        for name, count in other.counts.items():
            self.number(name, int(count))

    def compute(self, digits: int = 4) -> dict[str, float]:
        """Every finite figure, sorted by name."""
        means = {name: round(total / count, digits) for name, (total, count) in self.sums.items() if count}
        finite = {name: value for name, value in means.items() if math.isfinite(value)}
        return dict(sorted({**finite, **self.counts}.items()))

    def _add(self, name: str, total: float, count: float) -> None:
        held = self.sums.setdefault(name, [0.0, 0])
        held[0] += total
        held[1] += count
