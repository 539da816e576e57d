"""The media mirror: `CASTFIELD_MEDIA=<folder>` is looked in before anything is downloaded.

A file counts if its sha256 is the one asked for, wherever it lies and whatever it is called; where no hash is known,
its name has to be right. Hashes are remembered with size and time of change, so a large folder is read once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from castfield.scratch import scratch, sha256, write_json


def mirror_root() -> Path | None:
    """The mirror's folder, or None where none is named or it does not exist."""
    name = os.environ.get("CASTFIELD_MEDIA")
    root = Path(name).expanduser() if name else None
    return root.resolve() if root is not None and root.is_dir() else None


def find_in_mirror(names: Sequence[str], digest: str | None = None) -> Path | None:
    """A file of the mirror, or None.

    `names` are file names it may have, best first; `digest` is the sha256 it must have, or the beginning of it. With a
    digest, files of these names are tried first and then every file with the same suffix.
    """
    root = mirror_root()
    if root is None:
        return None
    files = _files(root)
    named = [path for name in names for path in files if path.name == name]
    if not digest:
        return named[0] if named else None
    suffixes = {Path(name).suffix.lower() for name in names}
    others = [path for path in files if path.suffix.lower() in suffixes and path not in named]
    return _with_digest(root, [*named, *others], digest.lower())


def _files(root: Path) -> list[Path]:
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder) / name for name in sorted(files) if not name.startswith(".")]
    return found


def _with_digest(root: Path, paths: Iterable[Path], digest: str) -> Path | None:
    store = scratch("mirror", hashlib.sha256(str(root).encode()).hexdigest()[:16] + ".json")
    known: dict[str, list] = {}
    if store.exists():
        try:
            known = json.loads(store.read_text())
        except ValueError:
            known = {}  # only a memory: read the files again
    learnt = False
    try:
        for path in paths:
            state = path.stat()
            key = str(path.relative_to(root))
            entry = known.get(key)
            if not entry or entry[:2] != [state.st_size, state.st_mtime_ns]:
                entry = known[key] = [state.st_size, state.st_mtime_ns, sha256(path)]
                learnt = True
            if entry[2].startswith(digest):
                return path
        return None
    finally:
        if learnt:
            write_json(store, known)
