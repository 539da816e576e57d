"""What a run gave, in the terminal: the metrics, and where the page and the videos lie. `python -m castfield.summary`"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from castfield.errors import CastfieldError
from castfield.layout import Layout
from castfield.report.findings import TITLES
from castfield.report.words import figure, sort_key, split_name, title


def summary(layout: Layout) -> str:
    """The table of every task's metrics and the places to look at. Raises CastfieldError where nothing was evaluated yet."""
    path = layout.metrics / "metrics.json"
    if not path.exists():
        raise CastfieldError("nothing was evaluated yet", expected=path, cure="make demo, or dvc repro")
    metrics: dict[str, dict[str, float]] = json.loads(path.read_text())
    return "\n".join([*table(metrics), "", *places(layout)])


def table(metrics: dict[str, dict[str, float]]) -> list[str]:
    """Lines of a table: a row per metric, a column per task; counts and other names without a family are left to the page."""
    tasks = [task for task in TITLES if metrics.get(task) and task != "model"]
    names = sorted({name for task in tasks for name in metrics[task] if split_name(name)[0]}, key=sort_key)
    rows = [["", *(TITLES[task] for task in tasks)]]
    rows += [[title(name), *(figure(name, metrics[task].get(name), unit=True) for task in tasks)] for name in names]
    rows += [[title(name), figure(name, value)] for name, value in sorted(metrics.get("model", {}).items())]
    widths = [max(len(row[at]) for row in rows if at < len(row)) for at in range(len(tasks) + 1)]
    lines = []
    for row in rows:
        first, *rest = (text.rjust(width) for text, width in zip(row, widths, strict=False))
        lines.append("  ".join([first.strip().ljust(widths[0]), *rest]))
    return lines


def places(layout: Layout) -> list[str]:
    """Where to look: the page, then each folder of videos with how many there are."""
    found = [("the page", layout.report / "index.html")] if (layout.report / "index.html").exists() else []
    lines = [f"{what}: {path.resolve()}" for what, path in found]
    for folder in sorted(layout.renders.glob("*")):
        videos = sorted(folder.glob("*.mp4"))
        if videos:
            example = videos[0].name
            more = f"{len(videos)} videos, such as {example}" if len(videos) > 1 else example
            lines.append(f"{folder.name.replace('_', ' ')}: {folder.resolve()} ({more})")
    return lines


def main(root: Path = Path(".")) -> None:
    """Print the summary; exit 1 with one message where there is none."""
    try:
        print(summary(Layout(root)))
    except CastfieldError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
