"""When each picture of a file is shown and how many bytes it takes, read without decoding."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

import numpy as np

from castfield.footage import Excerpt
from castfield.media import ffmpeg_exe


@dataclass(frozen=True)
class Packets:
    """The coded pictures of a film; time from its start."""

    times: np.ndarray
    """(N,) float64 seconds, ascending."""
    keys: np.ndarray
    """(K,) those of them at which decoding can begin."""
    size: int
    """Bytes in all."""
    complaints: str
    """What ffmpeg said of the file, a line each."""

    @property
    def intervals(self) -> np.ndarray:
        """(N - 1,) seconds from picture to picture."""
        return np.diff(self.times)

    @property
    def rate(self) -> float:
        """Pictures a second; 0 for fewer than two."""
        return (len(self.times) - 1) / float(np.ptp(self.times)) if len(self.times) > 1 and np.ptp(self.times) > 0 else 0.0

    @property
    def bit_rate(self) -> float:
        """Bits a second."""
        return 8 * self.size * self.rate / len(self.times) if len(self.times) else 0.0


def packets(film: Excerpt) -> Packets:
    """Read the packets of the film's pictures; what cannot be read is left out."""
    command = [ffmpeg_exe(), "-nostdin", "-v", "error", *film.input(), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    base, times, keys, size = 0.0, [], [], 0
    for line in done.stdout.splitlines():
        if line.startswith("#tb 0:"):
            top, _, bottom = line.removeprefix("#tb 0:").strip().partition("/")
            base = int(top) / int(bottom)
        elif line and not line.startswith("#"):
            _, _, shown, _, count, _, *flags = (part.strip() for part in line.split(","))
            size += int(count)
            times.append(int(shown) * base)
            if "F=0x0" not in flags:
                keys.append(times[-1])
    return Packets(np.unique(times), np.unique(keys), size, done.stderr.strip())
