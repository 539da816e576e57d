"""The scratch folder: checkpoints and per-clip caches that outlive a killed stage, and atomic writing.

`CASTFIELD_SCRATCH` names it; by default `.castfield/` at the project's root. The path is absolute, so that
experiments that run in a copy of the project (`dvc exp run --temp`) share it when the variable is set.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import mmap
import os
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np


def scratch_root() -> Path:
    """Absolute path of the scratch folder, made if it is missing."""
    root = Path(os.environ.get("CASTFIELD_SCRATCH") or ".castfield").resolve()
    root.mkdir(parents=True, exist_ok=True)
    return root


def scratch(*parts: str) -> Path:
    """A path under the scratch folder; its parent exists."""
    path = scratch_root().joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any failure it is removed.

    The suffix is kept, because ffmpeg and NumPy read the format from it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically. NaN and infinity are refused (ValueError)."""
    with atomic(path) as part:
        part.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


@dataclass(frozen=True)
class Rows:
    """An array that is made row by row while it is written, so that it is never held whole."""

    shape: tuple[int, ...]
    kind: np.dtype[Any]
    rows: Iterable[np.ndarray]
    """shape[0] arrays of shape[1:]."""


def write_npz(path: Path, **arrays: np.ndarray | Rows) -> None:
    """Write arrays as an uncompressed .npz, atomically. The same arrays give the same bytes, whole or by rows."""
    # As np.savez, which however leaves an archive behind that complains when a full disk stops it.
    with atomic(path) as part, zipfile.ZipFile(part, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                if isinstance(array, Rows):
                    head = {"descr": np.lib.format.dtype_to_descr(array.kind), "fortran_order": False, "shape": array.shape}
                    np.lib.format.write_array_header_1_0(member, head)
                    for row in array.rows:
                        member.write(np.ascontiguousarray(row, array.kind).data)
                else:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def map_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file that `write_npz` wrote, read from it only where they are looked at: they take no memory of their own.

    What is written to them stays in memory.
    """
    arrays = {}
    with open(path, "rb") as stream, zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            stream.seek(member.header_offset + 26)  # where a member's own header says how long its name and its extra field are
            stream.seek(sum(struct.unpack("<HH", stream.read(4))), os.SEEK_CUR)
            np.lib.format.read_magic(stream)
            shape, fortran, kind = np.lib.format.read_array_header_1_0(stream)
            order: Literal["F", "C"] = "F" if fortran else "C"
            # A plain array: indexing a memory map takes longer.
            arrays[member.filename.removesuffix(".npy")] = np.asarray(np.memmap(stream, kind, "c", stream.tell(), shape, order))
    return arrays


def let_go(array: np.ndarray) -> None:
    """Give back the memory of what was looked at of an array of `map_npz`, which nobody wrote to; another array stays as it is."""
    mapped = getattr(array.base, "_mmap", array.base)
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(*parts: Any) -> str:
    """Hex digest of files (by content), modules and functions (by source), dataclasses and plain values (by JSON).

    A package counts with all its modules. Dataclass fields with the metadata `{"fingerprint": False}` do not count.
    Raises TypeError for a value that has no lasting form.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(_fingerprint_bytes(part))
        digest.update(b"\0")
    return digest.hexdigest()[:32]


def _fingerprint_bytes(part: Any) -> bytes:
    if isinstance(part, Path):
        if part.is_dir():
            files = sorted(p for p in part.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
            return "".join(f"{p.relative_to(part)}:{sha256(p)};" for p in files).encode()
        return (sha256(part) if part.exists() else "absent").encode()
    if isinstance(part, ModuleType) and hasattr(part, "__path__"):
        return b"".join(_fingerprint_bytes(Path(folder)) for folder in part.__path__)
    if isinstance(part, ModuleType | type) or callable(part) and not is_dataclass(part):
        return inspect.getsource(part).encode()
    if is_dataclass(part) and not isinstance(part, type):
        ignored = {f.name for f in fields(part) if not f.metadata.get("fingerprint", True)}
        values = {name: value for name, value in asdict(part).items() if name not in ignored}
        return type(part).__name__.encode() + _json(values)
    return _json(part)


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=_plain).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.ndarray | np.generic):
        return [str(value.dtype), value.tolist()]
    raise TypeError(f"no fingerprint for a value of type {type(value).__name__}")


def copy_into(source: Path, folder: Path) -> Path:
    """Copy a file into `folder` atomically and return its new path."""
    target = folder / source.name
    with atomic(target) as part:
        shutil.copyfile(source, part)
    return target
