"""Films for tests, made with ffmpeg from a photograph that a package carries (NASA's portrait of Eileen Collins)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from castfield.media import ffmpeg_exe

FLASH = 0.8
"""Seconds at which a corner turns white and the tone begins, so that picture and sound can be compared."""


def photograph(people: int = 1, face: bool = True) -> np.ndarray:
    """RGB (384, 384 x people, 3): a head and shoulders, the same mirrored as a second person, or only the sky behind."""
    import skimage.data

    picture = skimage.data.astronaut()
    if not face:
        return skimage.data.chelsea()[:300, :384].copy()  # a cat
    one = picture[:384, 32:416]
    return np.concatenate([one if k % 2 == 0 else one[:, ::-1] for k in range(people)], 1)


def film(
    path: Path,
    *,
    seconds: float = 1.6,
    rate: str = "25",
    people: int = 1,
    face: bool = True,
    sound: str | None = "tone",
    filters: str = "",
    output: tuple[str, ...] = (),
    video_delay: float = 0.0,
    audio_delay: float = 0.0,
) -> Path:
    """Write a film of a face that sways a little. `sound`: a tone from FLASH on, digital "silence", or None for no track."""
    from skimage.io import imsave

    still = path.with_suffix(".still.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(still, photograph(people, face), check_contrast=False)
    wave = "0" if sound == "silence" else f"0.5*sin(2*PI*440*t)*gte(t\\,{FLASH - audio_delay})"
    sway = "crop=iw-32:ih-32:x='16+12*sin(4*t)':y=16"
    flash = f"drawbox=x=0:y=0:w=48:h=48:color=white:t=fill:enable='gte(t\\,{FLASH - video_delay})'"
    command = [ffmpeg_exe(), "-v", "error", "-y", "-itsoffset", str(video_delay), "-loop", "1", "-framerate", rate, "-t", str(seconds)]
    command += ["-i", str(still)]
    if sound:
        command += ["-itsoffset", str(audio_delay), "-f", "lavfi", "-t", str(seconds - audio_delay), "-i", f"aevalsrc='{wave}':s=44100"]
    # The clock of the filters starts at zero whatever the delay.
    chain = f"setpts=PTS-STARTPTS,{sway},{flash},{filters + ',' if filters else ''}setpts=PTS+{video_delay}/TB"
    command += [
        "-vf",
        chain,
        "-fps_mode",
        "passthrough",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-crf",
        "12",
        "-pix_fmt",
        "yuv420p",
        *output,
        str(path),
    ]
    subprocess.run(command, check=True)
    still.unlink()
    return path


def flash_frame(frames: np.ndarray, corner: tuple[int, int] = (0, 0)) -> int:
    """Index of the first frame whose corner is white."""
    y, x = corner
    return int(np.argmax(frames[:, y : y + 12, x : x + 12].mean((1, 2, 3)) > 200))


def tone_second(wave: np.ndarray, rate: int = 16_000) -> float:
    """Second at which the tone begins."""
    return float(np.argmax(np.abs(wave.astype(np.float64)) > 0.1 * 32768)) / rate
