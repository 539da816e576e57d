"""The bench's plot: training time against the number of people, beside what training each alone would cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from castfield.scratch import atomic

LINES = {"t_real": ("#1f77b4", "real people, 128 px"), "t_crowd": ("#d0661f", "synthetic people, 64 px")}


def draw(figures: dict[str, Any], path: Path) -> None:
    """Write the plot as SVG; nothing where neither curve was measured."""
    curves = {key: sorted((int(n), t) for n, t in figures.get(key, {}).items() if t) for key in LINES}
    curves = {key: points for key, points in curves.items() if len(points) > 1}
    if not curves:
        return
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "castfield"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.8))
    for key, points in curves.items():
        colour, label = LINES[key]
        people, seconds = zip(*points, strict=True)
        axes.plot(people, seconds, "o-", color=colour, label=label)
        axes.plot([1, people[-1]], [seconds[0], seconds[0] * people[-1]], ":", color=colour, label=f"{label}: each alone")
    axes.set(xscale="log", yscale="log", xlabel="people in one model", ylabel="training time to 29.5 dB mid-speech, s")
    axes.set_xticks(sorted({n for points in curves.values() for n, _ in points}))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    axes.grid(alpha=0.25, which="both")
    axes.legend(frameon=False, ncols=len(curves), loc="lower center", bbox_to_anchor=(0.5, 1), fontsize="small")
    figure.tight_layout()
    with atomic(path) as part:
        figure.savefig(part, metadata={"Date": None})
    pyplot.close(figure)
