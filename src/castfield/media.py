"""Video and sound through ffmpeg (its binary comes from a wheel). Files are bit-exact: no dates, no encoder tags.

Frames are uint8 RGB arrays (T, H, W, 3); sound is float32 mono in [-1, 1].
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np

from castfield.errors import ClipError
from castfield.scratch import atomic

FPS = 25
SAMPLE_RATE = 16_000
FOOTAGE = ["-c:v", "utvideo", "-pred", "median", "-pix_fmt", "gbrp"]
"""UT Video for pictures from a camera: every later stage reads them, which takes far less time than with FFV1, for a larger file."""
_EXACT = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"]


@cache
def ffmpeg_exe() -> str:
    """Path of the ffmpeg binary."""
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()


@dataclass(frozen=True)
class Probe:
    """What a file says of itself."""

    width: int
    height: int
    fps: float
    seconds: float
    has_sound: bool
    rotation: int


def probe(path: Path) -> Probe:
    """Read a file's header. Raises ClipError if it holds no video."""
    done = subprocess.run([ffmpeg_exe(), "-hide_banner", "-i", str(path)], capture_output=True, text=True, errors="replace")
    text = done.stderr
    video = re.search(r"Stream #.*Video:.*?, (\d+)x(\d+)\b", text)
    if not video:
        last = text.strip().splitlines()[-1:] or ["nothing"]
        raise ClipError("not a readable video", found=last[0], where=path, cure="check the file: `ffmpeg -i` must list a video stream")
    line = text[video.start() :].splitlines()[0]
    rate = re.search(r"([\d.]+) fps", line) or re.search(r"([\d.]+) tbr", line)
    duration = re.search(r"Duration: (\d+):(\d+):([\d.]+)", text)
    turned = re.search(r"rotation of (-?[\d.]+) degrees", text)
    h, m, s = (float(g) for g in duration.groups()) if duration else (0.0, 0.0, 0.0)
    return Probe(
        int(video[1]), int(video[2]), float(rate[1]) if rate else 0.0, 3600 * h + 60 * m + s,
        "Audio:" in text, round(float(turned[1])) if turned else 0,
    )  # fmt: skip


def decode(path: Path, *, filters: str = "", channels: int = 3, seconds: float | None = None) -> np.ndarray:
    """Decode a whole video to (T, H, W, 3) RGB or, with `channels=1`, (T, H, W) grey. Raises ClipError."""
    command = [ffmpeg_exe(), "-nostdin", "-v", "error", "-i", str(path)]
    if seconds is not None:
        command += ["-t", f"{seconds:.6f}"]
    if filters:
        command += ["-vf", filters]
    command += ["-an", *_PICTURES[channels], "-"]
    frames, count = np.zeros((0, 1, 1), np.uint8), 0
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert process.stdout is not None
        with process.stdout:
            while (frame := _read_pnm(process.stdout)) is not None:
                if count == len(frames):  # memory that is not written to is not used, so growing by half costs little
                    grown = np.empty((max(256, count * 3 // 2), *frame.shape), np.uint8)
                    grown[:count] = frames[:count] if count else 0
                    frames = grown
                frames[count] = frame
                count += 1
        process.wait()
        log.seek(0)
        message = log.read().decode(errors="replace").strip().splitlines()[-1:] or ["no frame"]
    if not count:
        raise ClipError("a video cannot be decoded", found=message[0], where=path, cure="check that the file is whole")
    return frames[:count]


def stream(path: Path) -> Iterator[np.ndarray]:
    """The frames of a video one by one, (H, W, 3) uint8 RGB: memory does not grow with its length. Raises ClipError."""
    command = [ffmpeg_exe(), "-nostdin", "-v", "error", "-i", str(path), "-an", *_PICTURES[3], "-"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=1 << 20)
    assert process.stdout is not None
    read = 0
    try:
        while (frame := _read_pnm(process.stdout)) is not None:
            read += 1
            yield frame
    finally:
        process.stdout.close()
        process.kill()
        process.wait()
    if not read:
        raise ClipError("a video cannot be decoded", found="no frame", where=path, cure="check that the file is whole")


HELD = 250
"""Frames of the longest clip that is held in memory whole."""


def rewindable(pictures: Callable[[], Iterable[np.ndarray]], frames: int) -> Callable[[], Iterator[np.ndarray]]:
    """A clip's pictures, so many frames, as often as they are asked for: those of a short clip are made once and held, those of a long one
    made again each time."""
    if frames > HELD:
        return lambda: iter(pictures())
    held: list[np.ndarray] = []

    def again() -> Iterator[np.ndarray]:
        if not held:
            held.extend(pictures())
        return iter(held)

    return again


_PICTURES = {
    channels: ["-pix_fmt", kind, "-f", "image2pipe", "-c:v", codec] for channels, kind, codec in ((3, "rgb24", "ppm"), (1, "gray", "pgm"))
}
"""PPM and PGM tell the size of each picture: filters may change it, and no header need be read beforehand."""


def _read_pnm(pipe: IO[bytes]) -> np.ndarray | None:
    """The next PPM or PGM picture as ffmpeg writes them (no comments), or None at the end."""
    header = pipe.readline() + pipe.readline() + pipe.readline()
    fields = header.split()
    if len(fields) != 4 or fields[0] not in (b"P5", b"P6"):
        return None
    width, height = int(fields[1]), int(fields[2])
    shape = (height, width, 3) if fields[0] == b"P6" else (height, width)
    block = pipe.read(int(np.prod(shape)))
    return np.frombuffer(block, np.uint8).reshape(shape) if len(block) == np.prod(shape) else None


def encode_lossless(path: Path, frames: np.ndarray) -> None:
    """Write RGB (T, H, W, 3) or grey (T, H, W) uint8 frames as FFV1 at 25 Hz; reading gives the same values back."""
    encode_lossless_stream(path, frames)


def encode_lossless_stream(path: Path, frames: Iterable[np.ndarray]) -> int:
    """As `encode_lossless`, from (H, W, 3) or (H, W) frames one by one; returns how many. Raises ClipError for none."""
    return _encode(path, frames, lambda grey: ["-c:v", "ffv1", "-level", "3", "-g", "1", "-pix_fmt", "gray" if grey else "gbrp"])


def encode_mp4(
    path: Path,
    frames: np.ndarray | Iterable[np.ndarray],
    *,
    count: int | None = None,
    sound: Path | None = None,
    start: float = 0.0,
    crf: int = 16,
    comment: str = "",
) -> None:
    """Write RGB frames as H.264 (yuv420p, fast start) that any player opens, with sound from `sound` if given.

    `frames` is an array (T, H, W, 3) or, so that memory does not grow with length, an iterable of `count`
    pictures (H, W, 3). Odd sides are padded by one pixel, because H.264 wants even ones. `start` is where in `sound` the
    video begins, seconds; sound that ends too early is continued by silence. `comment` goes into the container.
    """
    count = len(frames) if isinstance(frames, np.ndarray) else count or 0
    if sound and not count:
        raise ValueError("encode_mp4: a stream with sound needs `count`, the number of its pictures")
    audio = ["-ss", f"{start:.6f}", "-i", str(sound)] if sound else []
    codec = ["-c:v", "libx264", "-preset", "medium", "-crf", str(crf), "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-threads", "1"]
    codec += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-vf", "scale=out_color_matrix=bt709"]
    if sound:
        codec += ["-c:a", "aac", "-b:a", "128k", "-map", "0:v", "-map", "1:a", "-af", "apad", "-t", f"{count / FPS:.6f}"]
    if comment:
        codec += ["-metadata", f"comment={comment}"]
    _encode(path, map(_even, frames), lambda grey: codec, audio)


def _even(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") if height % 2 or width % 2 else frame


def _encode(path: Path, frames: Iterable[np.ndarray], codec: Callable[[bool], list[str]], extra_input: list[str] | None = None) -> int:
    """Pipe frames (H, W, 3) or (H, W) one by one into ffmpeg; `codec` tells its options for grey or colour. Returns how many."""
    source = iter(frames)
    first = next(source, None)
    if first is None:
        raise ClipError("a video without frames was to be written", where=path)
    height, width = first.shape[:2]
    grey = first.ndim == 2
    raw = ["-f", "rawvideo", "-pix_fmt", "gray" if grey else "rgb24", "-s", f"{width}x{height}", "-r", str(FPS), "-i", "-"]
    sent = 0
    with atomic(path) as part, tempfile.TemporaryFile() as log:
        command = [ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *raw, *(extra_input or []), *codec(grey), *_EXACT, str(part)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log)
        assert process.stdin is not None
        try:
            # A pipe that breaks means that ffmpeg has given up; its own message is the better one.
            with contextlib.suppress(BrokenPipeError):
                for frame in itertools.chain([first], source):
                    process.stdin.write(np.ascontiguousarray(frame, dtype=np.uint8).tobytes())
                    sent += 1
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            code = process.wait()
        if code:
            log.seek(0)
            message = log.read().decode(errors="replace").strip()
            if disk_is_full(code, message):
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            raise ClipError("ffmpeg could not write a video", found=message, where=path)
    return sent


def disk_is_full(code: int, message: str) -> bool:
    """Whether ffmpeg ended because it may write no more: the disk is full, or a quota or size limit is reached."""
    return code == -signal.SIGXFSZ or any(words in message for words in ("No space left", "Disk quota exceeded", "File too large"))


def read_wav(path: Path) -> np.ndarray:
    """Sound of `data/speech/<clip>.wav` as float32 mono at 16 kHz."""
    import wave

    with wave.open(str(path), "rb") as stream:
        return np.frombuffer(stream.readframes(stream.getnframes()), np.int16).astype(np.float32) / 32768
