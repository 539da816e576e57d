"""One video of the whole cast: every identity (rows) under every driver's expressions (columns).

The first row shows the drivers' real footage, the first column the identities', the diagonal their reconstructions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np

from castfield import media
from castfield.images import load_images
from castfield.layout import Layout
from castfield.shards import Job
from castfield.tasks import picture
from castfield.tasks.poses import ping_pong


@dataclass(frozen=True)
class Grid:
    """What the video shows."""

    people: tuple[str, ...]
    size: int
    """Side of the rendered frames in pixels."""
    frames: int
    root: str = "."


def grid_job(grid: Grid) -> Job:
    """The work of the grid video and every file that it reads."""
    layout = Layout(Path(grid.root))
    inputs = {f"footage {clip}": layout.frames / f"{clip}.mkv" for clip in grid.people}
    for identity in grid.people:
        for driver in grid.people:
            path = cell_video(layout, identity, driver)
            if path.exists():
                inputs[f"{identity} under {driver}"] = path
    return Job("grid", inputs, grid)


def cell_video(layout: Layout, identity: str, driver: str) -> Path:
    """Lossless render of a cell; absent where the pair was not rendered."""
    if identity == driver:
        return layout.renders / "reconstruction" / f"{identity}.mkv"
    return layout.renders / "transfer" / f"{identity}__{driver}.mkv"


def render_grid(job: Job, folder: Path) -> None:
    """Write `grid.mp4`."""
    grid: Grid = job.params
    layout = Layout(Path(grid.root))
    media.encode_mp4(folder / "grid.mp4", grid_frames(layout, grid), count=grid.frames, crf=20, comment=picture.NOTE)


def grid_frames(layout: Layout, grid: Grid) -> Iterator[np.ndarray]:
    """Frames of the grid one by one, ((n + 1) S, (n + 1) S, 3) uint8."""
    footage = {clip: load_images(layout, clip, grid.size).frames for clip in grid.people}
    cells = {(i, d): _cell(cell_video(layout, i, d), grid) for i in grid.people for d in grid.people}
    corner = _dim(np.zeros((grid.size, grid.size, 3), np.uint8))
    corner = picture.write(picture.write(corner, "driver", x=-6, y=6, size=max(9, grid.size // 10)), "identity", x=6, y=-6)
    for at in range(grid.frames):
        top = [corner] + [real[ping_pong(len(real), at + 1)[at]] for real in footage.values()]
        rows: list[Sequence[np.ndarray]] = [top]
        for identity in grid.people:
            # The identity itself holds still: it says who, the drivers say what.
            rows.append([footage[identity][0]] + [next(cells[identity, driver]) for driver in grid.people])
        yield picture.watermark(np.concatenate([np.concatenate(row, 1) for row in rows]))


def _cell(path: Path, grid: Grid) -> Iterator[np.ndarray]:
    """Frames of one cell without end: the video to and fro, or a dim square where there is none."""
    if not path.exists():
        return repeat(_dim(np.zeros((grid.size, grid.size, 3), np.uint8)))
    return _to_and_fro(path, grid.frames)


def _to_and_fro(path: Path, count: int) -> Iterator[np.ndarray]:
    kept: list[np.ndarray] = []
    for frame in media.stream(path):
        kept.append(frame)
        yield frame
        if len(kept) == count:
            return
    yield from (kept[at] for at in ping_pong(len(kept), count)[len(kept) :])


def _dim(frame: np.ndarray) -> np.ndarray:
    return np.full_like(frame, 24)
