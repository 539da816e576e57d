"""Footage as it came, read through ffmpeg: any frame rate, size, rotation and container.

Time is in seconds from the start of the excerpt (`Footage.start`), one clock for picture and sound; pixels are those
of the upright picture with square pixels, as a player shows it. Long films are streamed, never held in memory.
"""

from __future__ import annotations

import errno
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from castfield.errors import ClipError
from castfield.media import FOOTAGE, FPS, SAMPLE_RATE, disk_is_full, ffmpeg_exe, probe
from castfield.scratch import atomic, write_json

WHOLE = "check that the file plays to its end; download or export it again"


@dataclass(frozen=True)
class Footage:
    """Which part of a file is the clip (`data/raw/<clip>.json`, beside the file)."""

    file: str
    """Name of the file in `data/raw/`."""
    sha256: str
    """Hex digest of the file."""
    origin: str
    """Where it came from: an address, a path or a person of the cast."""
    start: float | None = None
    """Use it from this second on."""
    end: float | None = None
    """Use it up to this second."""
    region: tuple[float, ...] | None = None
    """Left, top, width, height in source pixels to look for the person in."""
    cut: bool = False
    """The file holds nothing but the excerpt: `start` and `end` are met already."""

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        values: dict[str, Any] = json.loads(path.read_text())
        values["region"] = tuple(values["region"]) if values.get("region") else None
        return cls(**values)


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a file that holds picture from its first instant on."""

    path: Path
    start: float
    """Where it starts in the file, seconds."""
    seconds: float | None
    """How long it is at most; None = to the end."""
    upright: str
    """Filters that make the picture upright with square pixels (beyond the rotation, which ffmpeg applies)."""
    width: int
    height: int
    """Size of the upright picture in pixels."""

    def input(self) -> list[str]:
        """Input options of ffmpeg."""
        seek = ["-ss", f"{self.start:.6f}"] if self.start > 0 else []
        return [*seek, *(["-t", f"{self.seconds:.6f}"] if self.seconds is not None else []), "-i", str(self.path)]


def excerpt(path: Path, start: float = 0.0, seconds: float | None = None) -> Excerpt:
    """Open a stretch of a file. Where picture starts later than sound, the excerpt starts with the picture.

    Raises ClipError if the file is empty, holds no video or cannot be decoded.
    """
    if path.stat().st_size == 0:
        raise ClipError("the file is empty", expected="a video", found="0 bytes", where=path, cure=WHOLE)
    header = probe(path)
    first, width, height, aspect = _first_picture(path, start)
    if first > 0.5 / FPS:
        start += first
        seconds = None if seconds is None else seconds - first
    upright = ""
    if abs(aspect - 1) > 1e-3:  # anamorphic footage: make the pixels square
        width = max(2, round(width * aspect))
        upright = f"scale={width}:{height}:flags=lanczos,setsar=1,"
    if seconds is not None and seconds <= 0 or header.seconds and start >= header.seconds:
        raise ClipError(
            "the excerpt lies outside the film", expected=f"start within {header.seconds:.2f} s", found=f"{start:.2f} s", where=path,
            cure="correct `start` and `end` in the manifest",
        )  # fmt: skip
    return Excerpt(path, start, seconds, upright, width, height)


def _first_picture(path: Path, start: float) -> tuple[float, int, int, float]:
    """Time after `start`, width, height and pixel aspect of the first picture as ffmpeg hands it out (rotation applied)."""
    command = [ffmpeg_exe(), "-hide_banner", "-nostdin", "-ss", f"{start:.6f}", "-i", str(path), "-map", "0:v:0"]
    done = subprocess.run([*command, "-vf", "showinfo", "-frames:v", "1", "-f", "null", "-"], capture_output=True)
    text = done.stderr.decode(errors="replace")
    shown = re.search(r"pts_time:\s*(-?[\d.]+).*? sar:(\d+)/(\d+) s:(\d+)x(\d+)", text)
    if not shown:
        where = f"{path}, frame 0" + (f" at {start:.2f} s" if start else "")
        raise ClipError("the video cannot be decoded", expected="pictures", found=_last_words(text), where=where, cure=WHOLE)
    wide, tall = int(shown[2]), int(shown[3])
    return max(0.0, float(shown[1])), int(shown[4]), int(shown[5]), wide / tall if wide and tall else 1.0


def samples(film: Excerpt, rate: float, longest: int = 640) -> Iterator[np.ndarray]:
    """Pictures at `rate` hertz, streamed: uint8 RGB (h, w, 3), shrunk so that the longer side is at most `longest`."""
    scale = min(1.0, longest / max(film.width, film.height))
    width, height = max(2, round(film.width * scale)), max(2, round(film.height * scale))
    filters = f"{film.upright}fps={rate}:start_time=0,scale={width}:{height}:flags=area"
    command = [ffmpeg_exe(), "-nostdin", "-v", "quiet", *film.input(), "-map", "0:v:0", "-vf", filters]
    process = subprocess.Popen([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], stdout=subprocess.PIPE)
    assert process.stdout is not None  # PIPE was asked for
    try:
        while len(block := process.stdout.read(3 * width * height)) == 3 * width * height:
            yield np.frombuffer(block, np.uint8).reshape(height, width, 3)
    finally:
        process.stdout.close()
        process.kill()
        process.wait()


def square(film: Excerpt, box: tuple[int, int, int], size: int) -> str:
    """Filters that cut the square `box` (left, top, side) from upright pictures as `size` x `size` RGB planes (gbrp).

    Where the box leaves the picture, the picture's edge is continued.
    """
    left, top, side = box
    x0, y0, x1, y1 = max(0, left), max(0, top), min(film.width, left + side), min(film.height, top + side)
    filters = "scale=flags=accurate_rnd+full_chroma_int+full_chroma_inp,format=gbrp"
    filters += f",crop={x1 - x0}:{y1 - y0}:{x0}:{y0}:exact=1"
    if (x1 - x0, y1 - y0) != (side, side):
        borders = f"left={x0 - left}:right={left + side - x1}:top={y0 - top}:bottom={top + side - y1}"
        filters += f",pad={side}:{side}:{x0 - left}:{y0 - top},fillborders={borders}:mode=smear"
    # Lanczos widens with the scale in swscale, so that shrinking does not alias.
    return filters + f",scale={size}:{size}:flags=lanczos+accurate_rnd"


def cut_square(film: Excerpt, target: Path, box: tuple[int, int, int], size: int) -> tuple[int, str]:
    """Write the square `box` (left, top, side) as `size` x `size` lossless video at 25 Hz; (frames, decoder's complaints).

    The k-th frame is the picture shown k/25 s after the excerpt's start: pictures are repeated or left out where the
    footage has another or a varying rate.
    """
    filters = f"{film.upright}fps={FPS}:start_time=0,{square(film, box, size)}"
    exact = ["-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact"]
    with atomic(target) as part:
        command = [ffmpeg_exe(), "-nostdin", "-v", "error", "-progress", "pipe:1", "-y", *film.input(), "-map", "0:v:0", "-vf", filters]
        done = subprocess.run([*command, *FOOTAGE, *exact, str(part)], capture_output=True)
        complaints = done.stderr.decode(errors="replace").strip()
        counts = re.findall(rb"^frame=\s*(\d+)", done.stdout, re.MULTILINE)
        frames = int(counts[-1]) if counts else 0
        if disk_is_full(done.returncode, complaints):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        if done.returncode or not frames:
            raise ClipError("the video cannot be decoded", found=_last_words(complaints), where=f"{film.path}, frame {frames}", cure=WHOLE)
    return frames, complaints


def sound(film: Excerpt, frames: int) -> np.ndarray | None:
    """Sound of the excerpt beside `frames` pictures: int16 mono at 16 kHz, 640 samples a picture; None if silent or absent.

    It starts with the first picture: a sound track that starts later is led by silence, holes are filled with silence.
    """
    samples_in_all = frames * SAMPLE_RATE // FPS
    filters = f"aresample={SAMPLE_RATE}:async=1:first_pts=0,apad=whole_len={samples_in_all},atrim=end_sample={samples_in_all}"
    command = [ffmpeg_exe(), "-nostdin", "-v", "error", *film.input(), "-map", "0:a:0?", "-af", filters, "-ac", "1"]
    done = subprocess.run([*command, "-ar", str(SAMPLE_RATE), "-f", "s16le", "-c:a", "pcm_s16le", "-"], capture_output=True)
    wave = np.frombuffer(done.stdout[: len(done.stdout) // 2 * 2], np.int16)
    if not len(wave) or np.abs(wave.astype(np.int32)).max() <= 4:  # -78 dB: digital silence, with a codec's rounding
        return None
    return np.pad(wave, (0, max(0, samples_in_all - len(wave))))[:samples_in_all]


def write_wav(path: Path, wave: np.ndarray) -> None:
    """Write int16 mono samples at 16 kHz, atomically; the same samples give the same bytes."""
    import wave as container

    with atomic(path) as part, container.open(str(part), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(SAMPLE_RATE)
        stream.writeframes(np.ascontiguousarray(wave, dtype="<i2").tobytes())


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "nothing"
