"""Stretches of a film decoded as the pipeline will decode it: every frame as a thumbnail, some of them cut around the head.

A film of up to `WHOLE` seconds is decoded from start to end. Of a longer one only `STRETCHES` are, each of which begins where
decoding can begin, and a thumbnail of every such place in between.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from castfield.footage import Excerpt, square
from castfield.media import FPS, ffmpeg_exe

THUMB = 64
"""Longer side of a thumbnail in pixels: enough to tell scenes apart; a minute takes 4 MB."""
MOST_LOOKS = 300
"""Frames that are cut around the head and looked at closely: every one of 12 seconds, every seventh of a minute or more."""
WHOLE = 60.0
"""Longest film in seconds that is decoded from start to end."""
STRETCHES, SECONDS = 20, 2.0
"""How many stretches of a longer film are decoded, and how long each is."""


@dataclass(frozen=True)
class Stretch:
    """A part of a film that is decoded."""

    film: Excerpt
    first: int
    """Number, in the whole film at 25 Hz, of its first frame."""


@dataclass(frozen=True)
class Decoded:
    """What was seen of a film."""

    thumbs: list[np.ndarray]
    """Per stretch (T, h, w) uint8 grey, every frame at 25 Hz."""
    at: np.ndarray
    """(N,) numbers of the frames in `crops`."""
    crops: np.ndarray
    """(N, S, S, 3) uint8 RGB, cut as the stage `frames` cuts them; N = 0 without a box."""
    complaints: str
    """What the decoder said, a line each."""


def stretches(film: Excerpt, seconds: float, keys: np.ndarray) -> list[Stretch]:
    """The parts of a film to decode; `keys` (K,) are the seconds at which decoding can begin."""
    if seconds <= WHOLE or not len(keys):
        return [Stretch(film, 0)]
    wanted = np.linspace(0, seconds - SECONDS, STRETCHES)
    starts = np.unique([keys[np.abs(keys - at).argmin()] for at in wanted])
    return [Stretch(replace(film, start=film.start + at, seconds=SECONDS), round(at * FPS)) for at in starts]


def decode(parts: Sequence[Stretch], seconds: float, box: tuple[int, int, int] | None, size: int, bar: tqdm) -> Decoded:
    """Decode the stretches, `seconds` in all; `box` (left, top, side) is in upright source pixels, None where there is no head to cut out.

    The bar is moved on by a share of 1 in all.
    """
    step = max(1, -(-round(seconds * FPS) // MOST_LOOKS))
    seen = [_decode(part.film, step, box, size, seconds, bar) for part in parts]
    return Decoded(
        [thumbs for thumbs, _, _ in seen],
        np.concatenate([part.first + step * np.arange(len(crops)) for part, (_, crops, _) in zip(parts, seen, strict=True)]),
        np.concatenate([crops for _, crops, _ in seen]), "\n".join(said for _, _, said in seen if said),
    )  # fmt: skip


def _decode(
    film: Excerpt, step: int, box: tuple[int, int, int] | None, size: int, seconds: float, bar: tqdm
) -> tuple[np.ndarray, np.ndarray, str]:
    """Thumbnails, every `step`-th crop and complaints of one stretch."""
    width, height = _within(film, THUMB)
    small = f"scale={width}:{height}:flags=area,format=gray"
    rate = f"{film.upright}fps={FPS}:start_time=0"
    raw = ["-f", "rawvideo", "-fps_mode", "passthrough", "-y"]
    crops = []
    with tempfile.TemporaryDirectory() as folder:
        thumbs, log = Path(folder) / "thumbs", Path(folder) / "log"
        command = [ffmpeg_exe(), "-nostdin", "-v", "error", *film.input()]
        if box:
            parts = (
                f"[0:v:0]{rate},split[a][b];[a]{small}[thumbs];[b]select='not(mod(n,{step}))',{square(film, box, size)},format=rgb24[crops]"
            )
            command += ["-filter_complex", parts, "-map", "[thumbs]", *raw, str(thumbs), "-map", "[crops]", *raw, "-"]
        else:
            command += ["-map", "0:v:0", "-vf", f"{rate},{small}", *raw, str(thumbs)]
        with open(log, "wb") as stream:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stream)
            assert process.stdout is not None  # PIPE was asked for
            with process.stdout:
                while len(block := process.stdout.read(3 * size * size)) == 3 * size * size:
                    crops.append(np.frombuffer(block, np.uint8).reshape(size, size, 3))
                    bar.update(step / max(1, seconds * FPS))
            process.wait()
        grey = np.fromfile(thumbs, np.uint8) if thumbs.exists() else np.zeros(0, np.uint8)
        count = len(grey) // (width * height)
        pictures = np.array(crops, np.uint8).reshape(-1, size, size, 3)
        return grey[: count * width * height].reshape(count, height, width), pictures, log.read_text(errors="replace").strip()


def key_thumbs(film: Excerpt) -> np.ndarray:
    """Thumbnails (K, h, w) uint8 grey of the frames at which decoding can begin; a small part of the work of decoding all."""
    width, height = _within(film, THUMB)
    command = [ffmpeg_exe(), "-nostdin", "-v", "quiet", "-skip_frame", "nokey", *film.input(), "-map", "0:v:0", "-fps_mode", "passthrough"]
    command += ["-vf", f"{film.upright}scale={width}:{height}:flags=area", "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    block = np.frombuffer(subprocess.run(command, capture_output=True).stdout, np.uint8)
    return block[: len(block) // (width * height) * width * height].reshape(-1, height, width)


def _within(film: Excerpt, longest: int) -> tuple[int, int]:
    """Width and height of the upright picture with its longer side `longest` at most."""
    scale = min(1.0, longest / max(film.width, film.height))
    return max(2, round(film.width * scale)), max(2, round(film.height * scale))


def whole_picture(film: Excerpt, frame: int, longest: int) -> np.ndarray | None:
    """The upright picture shown at a frame (25 Hz), its longer side `longest` pixels; uint8 RGB (h, w, 3), None past the end."""
    width, height = _within(film, longest)
    command = [ffmpeg_exe(), "-nostdin", "-v", "quiet", "-ss", f"{film.start + frame / FPS:.6f}", "-i", str(film.path), "-map", "0:v:0"]
    command += ["-vf", f"{film.upright}scale={width}:{height}:flags=area", "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    block = subprocess.run(command, capture_output=True).stdout
    return np.frombuffer(block, np.uint8).reshape(height, width, 3) if len(block) == 3 * width * height else None
