"""One file over http(s): resumed where it stopped, verified, and in its place only when it is whole.

What has arrived is kept in the scratch folder (`downloads/<address's hash>.part`), so neither a broken line nor a
killed stage costs more than the bytes that were under way.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from castfield.errors import DownloadError
from castfield.scratch import atomic, scratch, sha256, write_json

BLOCK = 1 << 16  # bytes; what a broken line loses at most
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class _Interrupted(Exception):
    """This attempt failed; another may succeed."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def fetch(url: str, target: Path, *, digest: str | None = None, retries: int = 3, timeout: float = 30.0, pause: float = 1.0) -> str:
    """Download `url` to `target`; returns the file's sha256.

    `digest` is the sha256 it must have, or the beginning of it. `retries` attempts in a row without a new byte, `pause`
    seconds apart at first and twice as long each time, make the address dead; `timeout` is in seconds without a byte.
    Raises DownloadError for a dead address, a refusal, a page in place of a file, and a wrong hash (which is removed).
    """
    part = scratch("downloads", hashlib.sha256(url.encode()).hexdigest()[:24] + ".part")
    with open(part, "ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # two runs may want the same file
        if not part.exists() or part.stat().st_ino != os.fstat(stream.fileno()).st_ino:  # the other run was done with it
            return fetch(url, target, digest=digest, retries=retries, timeout=timeout, pause=pause)
        resumed = stream.tell() > 0
        _complete(url, part, stream, retries, timeout, pause)
        found = sha256(part)
        if digest and not found.startswith(digest.lower()) and resumed:
            _start_again(stream)  # what lay there may have been of another version of the file
            _complete(url, part, stream, retries, timeout, pause)
            found = sha256(part)
        right = not digest or found.startswith(digest.lower())
        if right:
            _place(part, target)
        part.unlink(missing_ok=True)
        _about(part).unlink(missing_ok=True)
        if not right:
            raise wrong_hash(url, digest or "", found)
    return found


def wrong_hash(where: object, expected: str, found: str) -> DownloadError:
    """The refusal of a file that is not the one the manifest names."""
    return DownloadError(
        "a file has the wrong sha256", expected=expected, found=found, where=where,
        cure="the file at this address has changed or was damaged on the way: try again, or correct `sha256` in the manifest",
    )  # fmt: skip


def _place(part: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(part, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with atomic(target) as copy:  # the scratch folder lies on another file system
            shutil.copyfile(part, copy)


def _start_again(stream: Any) -> None:
    stream.seek(0)
    stream.truncate(0)


def _about(part: Path) -> Path:
    return part.with_suffix(".json")


def _complete(url: str, part: Path, stream: Any, retries: int, timeout: float, pause: float) -> None:
    """Attempt until the part is whole. Raises DownloadError after `retries` attempts in a row that brought nothing."""
    failed = 0
    while True:
        before = stream.tell()
        try:
            return _attempt(url, part, stream, timeout)
        except _Interrupted as reason:
            failed = 0 if stream.tell() > before else failed + 1
            if failed >= max(1, retries):
                raise DownloadError(
                    "an address is dead", expected="the file", found=f"{reason} ({failed} attempts)", where=url,
                    cure="check the address and the connection, or put the file into the folder CASTFIELD_MEDIA; "
                    "what has arrived is kept and resumed",
                ) from None  # fmt: skip
            time.sleep(min(60.0, reason.wait if reason.wait is not None else pause * 2 ** max(0, failed - 1)))


def _attempt(url: str, part: Path, stream: Any, timeout: float) -> None:
    """One request for the rest of the file."""
    import requests

    have = stream.tell()
    about = json.loads(_about(part).read_text()) if have and _about(part).exists() else {}
    headers = {"Accept-Encoding": "identity", "User-Agent": "castfield"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if about.get("etag"):
            headers["If-Range"] = about["etag"]  # another version comes whole
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as answer:
            if answer.status_code == 416:  # nothing after what we have: whole already, or another file
                total = answer.headers.get("Content-Range", "").rpartition("/")[2]
                if total.isdigit() and int(total) == have:
                    return
                _start_again(stream)
                raise _Interrupted("the server's file is shorter than what was fetched; starting again", 0.0)
            _check(answer, url)
            if answer.status_code == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                raise _Interrupted(f"the server answers with another part: {answer.headers.get('Content-Range')}")
            if answer.status_code != 206:
                _start_again(stream)
                have = 0
            etag = answer.headers.get("ETag", "")
            write_json(_about(part), {"url": url, "etag": "" if etag.startswith("W/") else etag})
            length = answer.headers.get("Content-Length")
            total_bytes = have + int(length) if length else None
            _read(answer, stream, have, total_bytes, url)
    except requests.exceptions.InvalidURL as error:
        raise DownloadError("not an address", found=error, where=url, cure="correct `url` in the manifest") from None
    except (requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema) as error:
        raise DownloadError("not an address", expected="http:// or https://", found=error, where=url) from None
    except requests.RequestException as error:
        raise _Interrupted(_short(error)) from None


def _check(answer: Any, url: str) -> None:
    if answer.status_code in TRY_AGAIN:
        wait = answer.headers.get("Retry-After", "")
        raise _Interrupted(f"HTTP {answer.status_code} {answer.reason}", float(wait) if wait.isdigit() else None)
    if answer.status_code >= 400:
        raise DownloadError(
            "an address is dead", expected="the file", found=f"HTTP {answer.status_code} {answer.reason}", where=url,
            cure="correct `url` in the manifest, or put the file into the folder CASTFIELD_MEDIA",
        )  # fmt: skip
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadError(
            "an address gives a web page", expected="the file itself", found="text/html", where=url,
            cure="name the address of the file; for YouTube use `youtube:`",
        )  # fmt: skip


def _read(answer: Any, stream: Any, have: int, total: int | None, url: str) -> None:
    name = url.rsplit("/", 1)[-1][:32]
    with tqdm(initial=have, total=total, unit="B", unit_scale=True, desc=name, leave=False, disable=None) as bar:
        for block in answer.iter_content(BLOCK):
            stream.write(block)
            stream.flush()
            bar.update(len(block))
    if total is not None and stream.tell() < total:
        raise _Interrupted(f"the connection ended after {stream.tell()} of {total} bytes")


def _short(error: Exception) -> str:
    text = str(getattr(error, "__context__", None) or error)
    return f"{type(error).__name__}: {text[-160:]}"
