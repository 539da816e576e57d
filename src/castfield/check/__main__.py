"""python -m castfield.check VIDEO [--page FOLDER] [--start S] [--end S] [--crop L,T,W,H]

Say what a video, or each of a folder of videos, is good for before anything is computed: a table here, a page in FOLDER.
Exit status 0: all can be used; 1: one cannot; 2: there is no video.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tqdm import tqdm

from castfield.check.evidence import gather
from castfield.check.page import page
from castfield.check.result import Result, result
from castfield.check.table import exit_status, table
from castfield.config import Config, load_config
from castfield.errors import CastfieldError
from castfield.footage import Footage
from castfield.manifest import VIDEO_SUFFIXES
from castfield.scratch import atomic


def main(arguments: list[str] | None = None) -> int:
    """Check what the arguments name; the exit status."""
    os.environ.setdefault("GLOG_minloglevel", "2")  # mediapipe's C++ side logs a page per start
    options = _options(arguments)
    try:
        paths = videos(options.video)
        config = load_config() if Path("params.yaml").exists() else Config()
        results = check(paths, options.video, config, (options.start, options.end, options.crop))
    except CastfieldError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(results))
    target = options.page / "index.html"
    with atomic(target) as part:
        part.write_text(page(results), encoding="utf-8")
    print(f"\nwith pictures: {target.resolve()}")
    return exit_status(results)


def videos(path: Path) -> list[Path]:
    """The file itself, or the videos in and below a folder. Raises CastfieldError if there is none."""
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
        if not found:
            raise CastfieldError("the folder holds no videos", expected=", ".join(f"*{s}" for s in sorted(VIDEO_SUFFIXES)), where=path)
        return found
    if not path.exists():
        raise CastfieldError("there is no such video", where=path, cure="make check VIDEO=<a video or a folder of videos>")
    return [path]


def check(
    paths: list[Path], root: Path, config: Config, part: tuple[float | None, float | None, tuple[float, ...] | None] = (None, None, None)
) -> list[Result]:
    """Look at every video and judge it. `part`: start and end in seconds and the region to look for the person in, as in a manifest."""
    start, end, region = part
    results = []
    for path in tqdm(paths, desc="check", unit="video", leave=False, disable=None if len(paths) > 1 else True):
        name = str(path.relative_to(root)) if path != root else path.name
        results.append(result(name, gather(path, config, Footage(path.name, "", f"path: {path}", start, end, region))))
    return results


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m castfield.check", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("video", type=Path, help="a video or a folder of videos")
    parser.add_argument("--page", type=Path, default=Path("data/check"), metavar="FOLDER", help="where the page goes (default: data/check)")
    parser.add_argument("--start", type=float, help="use it from this second on, as `start` in a manifest")
    parser.add_argument("--end", type=float, help="use it up to this second, as `end` in a manifest")
    parser.add_argument("--crop", type=_region, metavar="L,T,W,H", help="look for the person here, as `crop` in a manifest")
    return parser.parse_args(arguments)


def _region(text: str) -> tuple[float, ...]:
    values = tuple(float(part) for part in text.split(","))
    if len(values) != 4:
        raise argparse.ArgumentTypeError("four numbers: left,top,width,height in pixels")
    return values


if __name__ == "__main__":
    sys.exit(main())
