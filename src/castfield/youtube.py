"""YouTube (and whatever else yt-dlp reads), with a time range."""

from __future__ import annotations

import os
import re
from pathlib import Path

from castfield.errors import DownloadError
from castfield.media import ffmpeg_exe
from castfield.scratch import scratch


def fetch_youtube(address: str, target: Path, *, start: float | None, end: float | None, retries: int, timeout: float) -> bool:
    """Fetch a film, at most 1080 lines high, to `target` (.mp4); returns whether it holds only `start` to `end` seconds.

    A range is cut while it is fetched, to the frame, which encodes it anew (nearly lossless); what lies outside is not
    fetched. Raises DownloadError with yt-dlp's reason.
    """
    import yt_dlp  # heavy

    _ffmpeg_on_path()
    ranged = start is not None or end is not None
    options = {
        "format": "bv*[height<=1080][ext=mp4]+ba[ext=m4a]/b[height<=1080]/bv*+ba/b",
        "merge_output_format": "mp4",
        "outtmpl": {"default": str(target.with_suffix("")).replace("%", "%%") + ".%(ext)s"},
        "retries": retries,
        "fragment_retries": retries,
        "socket_timeout": timeout,
        "noplaylist": True,
        "logger": _Quiet(),
        "noprogress": True,
        "updatetime": False,
        "cachedir": False,
    }
    if ranged:
        options["download_ranges"] = yt_dlp.utils.download_range_func(None, [(start or 0.0, end if end is not None else float("inf"))])
        options["force_keyframes_at_cuts"] = True
        options["external_downloader_args"] = {"ffmpeg_o": ["-c:v", "libx264", "-crf", "12", "-c:a", "aac", "-b:a", "192k"]}
    if "/" not in address and "." not in address:
        address = f"https://www.youtube.com/watch?v={address}"
    try:
        with yt_dlp.YoutubeDL(options) as loader:
            loader.extract_info(address, download=True)
    except (yt_dlp.utils.DownloadError, yt_dlp.utils.YoutubeDLError) as error:
        raise DownloadError(
            "yt-dlp cannot fetch a film", found=_plain(error), where=address,
            cure="check the address; a newer yt-dlp often helps; or put the file into the folder CASTFIELD_MEDIA",
        ) from None  # fmt: skip
    written = sorted(p for p in target.parent.glob(f"{target.stem}.*") if p.suffix not in (".part", ".ytdl"))
    if not written:
        raise DownloadError("yt-dlp wrote no file", where=address, cure="check that the film can be played without signing in")
    if written[0] != target:
        written[0].rename(target)
    return ranged


class _Quiet:
    """yt-dlp's chatter: what matters comes back as an exception."""

    def debug(self, message: str) -> None: ...
    def info(self, message: str) -> None: ...
    def warning(self, message: str) -> None: ...
    def error(self, message: str) -> None: ...


def _ffmpeg_on_path() -> None:
    """Let yt-dlp find ffmpeg under the one name that it looks for."""
    link = scratch("bin", "ffmpeg")
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(ffmpeg_exe())
    folders = os.environ.get("PATH", "").split(os.pathsep)
    if str(link.parent) not in folders:
        os.environ["PATH"] = os.pathsep.join([*folders, str(link.parent)])


def _plain(error: Exception) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", str(error)).removeprefix("ERROR: ")[:400]
