"""python -m castfield.weights [NAME ...]

Optional network weights (`data/manifests/weights.yaml`): looked up in the media mirror, then in the scratch folder,
and fetched there once when asked for. Without a name the command lists them. Nothing is fetched behind a user's back.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from castfield.config import from_dict
from castfield.errors import CastfieldError, ConfigError, DownloadError, ManifestError, WeightsError, nearest
from castfield.fetching import fetch as fetch_file
from castfield.mirror import find_in_mirror
from castfield.scratch import scratch, sha256

MANIFEST = Path("data/manifests/weights.yaml")


@dataclass(frozen=True)
class Weights:
    """One file of network weights."""

    file: str
    """Its name."""
    url: str
    """Where it is published."""
    sha256: str
    """Hex digest, or as much of its beginning as the publisher gives."""
    license: str
    purpose: str
    """What needs it."""
    without: str
    """What its absence costs."""
    size: int | None = None
    """Bytes, where known."""


def known(manifest: Path = MANIFEST) -> dict[str, Weights]:
    """All weights of the manifest by name. Raises ManifestError."""
    if not manifest.exists():  # called from elsewhere than the project's root
        manifest = Path(__file__).resolve().parents[2] / MANIFEST
    try:
        values = yaml.safe_load(manifest.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ManifestError("the manifest of the weights cannot be read", found=error, where=manifest) from None
    entries: dict[str, Weights] = {}
    for name, value in values.items():
        try:
            entries[name] = from_dict(Weights, value, f"{manifest}: {name}")
        except ConfigError as error:
            raise ManifestError(error.fault, expected=error.expected, found=error.found, where=error.where) from None
    return entries


def find(name: str, manifest: Path = MANIFEST) -> Path:
    """Path of verified weights on this machine. Raises WeightsError: what is missing, what that costs, how to get it."""
    entry = _entry(name, manifest)
    held = _held(name, entry)
    if held is not None:
        return held
    raise WeightsError(
        f"the weights '{name}' are not here: {entry.without}",
        expected=f"{entry.file} ({entry.purpose}{f', {entry.size / 1e6:.0f} MB' if entry.size else ''}; licence: {entry.license})",
        where="CASTFIELD_MEDIA or the scratch folder",
        cure=f"python -m castfield.weights {name}",
    )


def fetch(name: str, manifest: Path = MANIFEST, *, retries: int = 3, timeout: float = 30.0, pause: float = 1.0) -> Path:
    """As `find`, but downloads the file into the scratch folder if it is not here. Raises WeightsError."""
    entry = _entry(name, manifest)
    held = _held(name, entry)
    if held is not None:
        return held
    target = scratch("weights", entry.file)
    try:
        fetch_file(entry.url, target, digest=entry.sha256, retries=retries, timeout=timeout, pause=pause)
    except DownloadError as error:
        raise WeightsError(
            f"the weights '{name}' cannot be had: {entry.without}", expected=entry.file, found=error.found or error.fault, where=entry.url,
            cure=f"put {entry.file} into the folder CASTFIELD_MEDIA, or try `python -m castfield.weights {name}` again",
        ) from None  # fmt: skip
    return target


def _entry(name: str, manifest: Path) -> Weights:
    entries = known(manifest)
    if name not in entries:
        raise WeightsError(f"no weights are called '{name}'", expected=nearest(name, entries), where=manifest)
    return entries[name]


def _held(name: str, entry: Weights) -> Path | None:
    """The file in the mirror or in the scratch folder, verified; a damaged one is refused, not used."""
    mirrored = find_in_mirror([entry.file], entry.sha256)
    if mirrored is not None:
        return mirrored
    path = scratch("weights", entry.file)
    if not path.exists():
        return None
    found = sha256(path)
    if not found.startswith(entry.sha256):
        cure = f"remove it and run `python -m castfield.weights {name}`"
        raise WeightsError(f"the weights '{name}' are damaged: {entry.without}", expected=entry.sha256, found=found, where=path, cure=cure)
    return path


def main(names: list[str]) -> None:
    """List all weights, or fetch those named."""
    if any(name in ("-h", "--help") for name in names):
        print(__doc__)
        return
    try:
        for name, entry in known().items() if not names else []:
            here = _held(name, entry)
            print(f"{name:12} {'here: ' + str(here) if here else 'absent: ' + entry.without}\n{'':12} {entry.purpose}; {entry.license}")
        for name in names:
            print(f"{name}: {fetch(name)}")
    except CastfieldError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
