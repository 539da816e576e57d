"""A manifest names the footage of a data set: `data/manifests/<dataset>.yaml`, five lines for a folder of your own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from castfield.config import NAME, from_dict
from castfield.errors import ConfigError, ManifestError, nearest


@dataclass(frozen=True)
class Source:
    """One clip's footage. Exactly one of `url`, `youtube`, `path`, `cast` says where it comes from."""

    name: str
    url: str | None = None
    """http(s) address of the file."""
    youtube: str | None = None
    """YouTube address or id, fetched through yt-dlp."""
    path: str | None = None
    """A local file; relative to the manifest's `folder` or to the project's root."""
    cast: str | None = None
    """Name of a synthetic person (`castfield.cast`)."""
    sha256: str | None = None
    """Hex digest that the file must have."""
    start: float | None = None
    """Use the footage from this second on."""
    end: float | None = None
    """Use the footage up to this second."""
    crop: tuple[float, ...] | None = None
    """Left, top, width, height in source pixels to look for the person in."""
    license: str | None = None
    person: str | None = None
    """Who is seen, where two clips show the same person; for the report only."""


@dataclass(frozen=True)
class Manifest:
    """A data set."""

    name: str
    title: str
    license: str
    synthetic: bool
    clips: tuple[Source, ...]
    personal_seen: str
    """Clip of the cast that the generic model is personalised to."""
    personal_unseen: str
    """Clip of a person that the generic model behind this personalisation never saw."""
    citation: str = ""


@dataclass(frozen=True)
class _Raw:
    title: str = ""
    license: str = ""
    citation: str = ""
    synthetic: bool = False
    folder: str | None = None
    personal_seen: str | None = None
    personal_unseen: str | None = None
    clips: Any = None
    defaults: Any = field(default_factory=dict)


KINDS = ("url", "youtube", "path", "cast")
RESERVED = {"failed", "index", "truth"}  # names of files and folders beside the clips'
VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".m4v"}


def load_manifest(path: Path) -> Manifest:
    """Read and check a manifest. Raises ManifestError naming the clip and key."""
    path = Path(path)
    if not path.exists():
        known = [p.stem for p in path.parent.glob("*.yaml") if p.stem != "weights"]
        raise ManifestError(f"no manifest for the data set '{path.stem}'", expected=nearest(path.stem, known), where=path)
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ManifestError("a manifest is not YAML", found=error, where=path) from None
    raw: _Raw = _checked(_Raw, values, str(path))
    sources = _folder(raw.folder, path) if raw.folder and raw.clips is None else raw.clips
    if raw.defaults is not None and not isinstance(raw.defaults, dict):
        raise ManifestError("`defaults` is not a mapping", expected="keys and values", found=repr(raw.defaults), where=path)
    if not isinstance(sources, list) or not sources:
        raise ManifestError("a manifest lists no clips", expected="clips: [...] or folder: ...", where=path)
    clips = tuple(_source(entry, raw, path, at) for at, entry in enumerate(sources))
    seen: set[str] = set()
    for clip in clips:
        if clip.name in seen:
            raise ManifestError(f"the clip name '{clip.name}' stands twice", where=path, cure="give each clip a name of its own")
        seen.add(clip.name)
    for key in ("personal_seen", "personal_unseen"):
        name = getattr(raw, key)
        if name is not None and name not in seen:
            raise ManifestError(f"`{key}` names no clip", expected=nearest(name, seen), found=name, where=path)
    return Manifest(
        path.stem, raw.title or path.stem, raw.license, raw.synthetic, clips,
        raw.personal_seen or clips[0].name, raw.personal_unseen or clips[-1].name, raw.citation,
    )  # fmt: skip


def _folder(folder: str, manifest: Path) -> list[dict[str, str]]:
    """An entry for each video of a folder, with its path in there."""
    root = Path(folder).expanduser()
    files = sorted(p for p in root.glob("*") if p.suffix.lower() in VIDEO_SUFFIXES) if root.is_dir() else []
    if not files:
        found = f"no such files in {root}" if root.is_dir() else f"no folder {root}"
        expected = "files " + ", ".join(f"*{s}" for s in sorted(VIDEO_SUFFIXES))
        cure = "put one video per person there, or correct `folder`"
        raise ManifestError("the folder holds no videos", expected=expected, found=found, where=manifest, cure=cure)
    taken: set[str] = set()
    entries = []
    for file in files:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", file.stem).strip("-_")[:56] or "clip"
        name = next(n for n in (stem, *(f"{stem}-{k}" for k in range(2, len(files) + 2))) if n not in taken and n not in RESERVED)
        taken.add(name)
        entries.append({"name": name, "path": file.name})
    return entries


def _checked(kind: type, values: Any, where: str) -> Any:
    """`from_dict`, with a manifest's own error."""
    try:
        return from_dict(kind, values, where)
    except ConfigError as error:
        raise ManifestError(error.fault, expected=error.expected, found=error.found, where=error.where, cure=error.cure) from None


def _source(entry: Any, raw: _Raw, path: Path, at: int) -> Source:
    where = f"{path}: clip {at + 1}"
    if not isinstance(entry, dict) or entry.get("name") is None:
        raise ManifestError("a clip lacks the key 'name'", expected="name: and one of url, youtube, path, cast", found=entry, where=where)
    if isinstance(entry["name"], bool):
        raise ManifestError("YAML reads a clip's name as yes or no", found=entry["name"], where=where, cure="put the name into quotes")
    name = str(entry["name"])
    where = f"{path}: {name}"
    if not NAME.fullmatch(name) or name in RESERVED:
        cure = "choose a name without path separators"
        expected = f"letters, digits, - and _, at most 64 (no slash, no dot; not {', '.join(sorted(RESERVED))})"
        raise ManifestError("not a usable clip name", expected=expected, found=repr(name), where=where, cure=cure)
    source: Source = _checked(Source, {**(raw.defaults or {}), **entry, "name": name}, where)
    kinds = [k for k in KINDS if getattr(source, k)]
    if len(kinds) != 1:
        expected = "one of the keys url, youtube, path, cast"
        raise ManifestError("a clip needs exactly one source", expected=expected, found=", ".join(kinds) or "none", where=where)
    if source.url and not re.match(r"https?://[^/\s]+/", source.url):
        raise ManifestError("`url` is no web address", expected="http://... or https://...", found=source.url, where=where)
    if source.sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", source.sha256):
        raise ManifestError("`sha256` is no digest", expected="64 hexadecimal digits", found=source.sha256, where=where)
    if source.end is not None and source.end <= (source.start or 0.0):
        raise ManifestError("`end` is not after `start`", expected=f"more than {source.start or 0.0:g} s", found=source.end, where=where)
    if source.crop is not None and (len(source.crop) != 4 or min(source.crop[2:]) <= 0):
        raise ManifestError("`crop` is no rectangle", expected="[left, top, width, height] in pixels", found=source.crop, where=where)
    if source.path and raw.folder and not Path(source.path).expanduser().is_absolute():
        source = replace(source, path=str(Path(raw.folder).expanduser() / source.path))
    return source
