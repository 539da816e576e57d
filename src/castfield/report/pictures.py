"""Pictures and videos as text: data URIs, so that the page is one file and asks nobody for anything."""

from __future__ import annotations

import base64
import io
import subprocess
from pathlib import Path

import numpy as np

from castfield import media
from castfield.errors import ClipError


def uri(kind: str, data: bytes) -> str:
    """`data:` URI of bytes."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def jpeg(frame: np.ndarray, quality: int = 88) -> str:
    """An RGB picture (H, W, 3) uint8 as the URI of a JPEG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(stream, "JPEG", quality=quality, optimize=True, subsampling=0)
    return uri("image/jpeg", stream.getvalue())


def small_mp4(path: Path, width: int, crf: int = 27) -> str:
    """A video for the page: H.264 of at most `width` pixels, sound as it is, as a URI. The same file gives the same text."""
    command = [media.ffmpeg_exe(), "-nostdin", "-v", "error", "-i", str(path), "-vf", f"scale='min({width},iw)':-2:flags=area"]
    command += ["-c:v", "libx264", "-preset", "slow", "-crf", str(crf), "-pix_fmt", "yuv420p", "-threads", "1", "-c:a", "copy"]
    command += ["-map_metadata", "0", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"]
    # A fragmented file can be written to a pipe; players and browsers read it like any other.
    command += ["-movflags", "+frag_keyframe+empty_moov+default_base_moof", "-f", "mp4", "-"]
    done = subprocess.run(command, capture_output=True)
    if done.returncode or not done.stdout:
        raise ClipError("a video cannot be put on the page", found=done.stderr.decode(errors="replace").strip(), where=path)
    return uri("video/mp4", done.stdout)


def nth_frame(path: Path, at: int) -> np.ndarray:
    """Frame number `at` (H, W, 3) of a video; the last one where it is shorter."""
    frame = None
    for number, shown in enumerate(media.stream(path)):
        frame = shown
        if number == at:
            break
    if frame is None:
        raise ClipError("a video without frames", where=path)
    return np.array(frame)
