"""python -m castfield.bench: `metrics/bench.json`, the plot `metrics/bench.svg` and the table of `docs/speed.md`.

Measured on the clips that are tracked (`dvc exp run -S dataset=grid fit`). Each part is written when it is done, so that a bench that
was stopped keeps what it has; `--only` repeats some parts and keeps the other figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from castfield.bench import memory
from castfield.bench.hd import hd
from castfield.bench.parts import PARTS, Bench
from castfield.bench.plot import draw
from castfield.bench.table import markdown, table
from castfield.bench.tracking import tracking
from castfield.config import load_config
from castfield.documents import fill
from castfield.errors import CastfieldError
from castfield.images import load_all_images
from castfield.layout import Layout
from castfield.manifest import load_manifest
from castfield.rigs import load_rig
from castfield.scratch import write_json

PAGE = Path("docs/speed.md")
ALL = PARTS | {"hd": hd, "memory": memory.measure, "tracking": tracking}


def device(threads: int) -> str:
    """What the figures were measured on."""
    names = [line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{processor}, {len(os.sched_getaffinity(0))} cores, {threads} threads{gpu}, torch {torch.__version__}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def main() -> None:
    """Run the parts and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(ALL), default=list(ALL), help="parts to run (default: all)")
    parser.add_argument("--paper-seconds", type=float, default=480.0, help="how long the paper's field is trained")
    arguments = parser.parse_args()
    config, layout = load_config(), Layout()
    torch.set_num_threads(config.train.threads)
    path = layout.metrics / "bench.json"
    figures: dict[str, Any] = json.loads(path.read_text()) if path.exists() and set(arguments.only) != set(ALL) else {}
    images = load_all_images(layout, config.train.size)
    figures |= {"device": device(config.train.threads), "dataset": config.dataset, "clips": len(images)}
    bench = Bench(config, layout, load_manifest(layout.manifest(config.dataset)), images, load_rig(layout.rig), arguments.paper_seconds)
    for name in arguments.only:
        print(f"bench: {name}: {(ALL[name].__doc__ or '').splitlines()[0]}", flush=True)
        figures |= ALL[name](bench)
        write_json(path, figures)
    draw(figures, layout.metrics / "bench.svg")
    fill(PAGE, "bench", markdown(figures))
    print(table(figures))
    print(f"wrote {path}, {layout.metrics / 'bench.svg'} and the table of {PAGE}")


if __name__ == "__main__":
    try:
        main()
    except CastfieldError as error:
        sys.exit(str(error))
