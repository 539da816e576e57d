"""python -m castfield.report.cover: the README's picture, from the outs of the last run -> docs/cast.jpg

A column per person; from top to bottom the footage, the fitted rig's landmarks, the render of a frame that training
never saw, and the person under somebody else's expression.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from castfield import media
from castfield.clip import Track, split_frames
from castfield.layout import Layout
from castfield.tasks.picture import enlarge

SIDE = 220
"""Side of each picture in pixels."""


def column(layout: Layout, clip: str, driven: str) -> np.ndarray:
    """The pictures of one person, (4 * SIDE, SIDE, 3) uint8; `driven` is the name of a transfer of theirs."""
    track = Track.load(layout.tracks / f"{clip}.npz")
    held = split_frames(len(track)).speech
    frame = int(held[len(held) // 2])
    real = Image.fromarray(media.decode(layout.frames / f"{clip}.mkv")[frame]).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    marked = Image.blend(real, Image.new("RGB", real.size, "white"), 0.25)
    draw = ImageDraw.Draw(marked)
    for x, y in track.landmarks[frame] * (SIDE / track.size):
        if np.isfinite(x):
            draw.ellipse([x - 0.7, y - 0.7, x + 0.7, y + 0.7], fill=(0, 110, 140))
    render = media.decode(layout.renders / "reconstruction" / f"{clip}.mkv")[frame]
    other = media.decode(layout.renders / "transfer" / f"{driven}.mkv")
    return np.vstack([np.asarray(real), np.asarray(marked), enlarge(render, SIDE), enlarge(other[len(other) // 2], SIDE)])


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/cast.jpg"))
    out = parser.parse_args().out
    layout = Layout()
    transfers = json.loads((layout.renders / "transfer/index.json").read_text())["entries"]
    people = sorted({entry["identity"] for entry in transfers})
    driven = {who: next(e["name"] for e in transfers if e["identity"] == who and e["driver"] != who) for who in people}
    picture = np.hstack([column(layout, who, driven[who]) for who in people])
    Image.fromarray(picture).save(out, quality=88, optimize=True)
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
