"""The footage of a data set: fetched from an address or YouTube, copied from a folder, or filmed from the cast.

`data/raw/<clip>.<suffix>` is the film as it came; `data/raw/<clip>.json` (Footage) says which part of it is meant.
"""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from castfield.config import Config, DownloadConfig
from castfield.errors import DownloadError
from castfield.fetching import fetch, wrong_hash
from castfield.footage import Footage
from castfield.layout import Layout
from castfield.manifest import VIDEO_SUFFIXES, Source, load_manifest
from castfield.mirror import find_in_mirror
from castfield.scratch import atomic, fingerprint, sha256
from castfield.shards import Job, map_clips
from castfield.youtube import fetch_youtube


@dataclass(frozen=True)
class Wanted:
    """What decides which file a clip's footage is: a change of anything else in the manifest fetches nothing anew."""

    kind: str
    """url, youtube, path or cast."""
    where: str
    """Address, path or name of the person."""
    sha256: str | None
    start: float | None
    """For YouTube only, where the range is cut while fetching."""
    end: float | None
    code: str
    """For the cast: fingerprint of the code that films it."""
    retries: int = dataclasses.field(default=3, metadata={"fingerprint": False})
    timeout: float = dataclasses.field(default=30.0, metadata={"fingerprint": False})


def run(config: Config, layout: Layout) -> None:
    """Fetch every clip of the manifest into `data/raw`; the truth about the cast goes into `data/raw/truth`."""
    manifest = load_manifest(layout.manifest(config.dataset))
    sources = {source.name: source for source in manifest.clips}
    jobs = [_job(source, config.download, layout) for source in manifest.clips]
    done = map_clips("download", fetch_clip, jobs, layout.raw, config.work, elsewhere={".npz": layout.truth})
    for outcome in done:
        if not outcome.error:
            source, about = sources[outcome.clip], layout.raw / f"{outcome.clip}.json"
            dataclasses.replace(Footage.load(about), start=source.start, end=source.end, region=source.crop).save(about)


def _job(source: Source, config: DownloadConfig, layout: Layout) -> Job:
    inputs: dict[str, Path] = {}
    start = end = None
    code = ""
    if source.cast:
        kind, where, end = "cast", source.cast, source.end
        inputs["rig"] = layout.rig
        from castfield import cast, rigs

        code = fingerprint(cast, rigs)
    elif source.path:
        kind, where = "path", str(Path(source.path).expanduser())
        inputs["file"] = Path(where)
    elif source.youtube:
        kind, where, start, end = "youtube", source.youtube, source.start, source.end
    else:
        kind, where = "url", str(source.url)
    return Job(source.name, inputs, Wanted(kind, where, source.sha256, start, end, code, config.retries, config.timeout))


def fetch_clip(job: Job, folder: Path) -> None:
    """Work of the stage: the film and its Footage, and for the cast `<clip>.npz`. Raises DownloadError."""
    wanted: Wanted = job.params
    if wanted.kind == "cast":
        film, cut = _film(job, folder), False
    elif wanted.kind == "path":
        film, cut = _copy(Path(wanted.where), folder / f"{job.clip}{Path(wanted.where).suffix.lower()}", wanted.sha256), False
    else:
        film, cut = _download(job.clip, wanted, folder)
    Footage(film.name, sha256(film), f"{wanted.kind}: {wanted.where}", cut=cut).save(folder / f"{job.clip}.json")


def _film(job: Job, folder: Path) -> Path:
    from castfield.cast import film  # the cast needs the rig and the voice: only a data set with synthetic people pays

    path = folder / f"{job.clip}.mp4"
    film(job.params.where, job.inputs["rig"], path, folder / f"{job.clip}.npz", job.params.end)
    return path


def _download(clip: str, wanted: Wanted, folder: Path) -> tuple[Path, bool]:
    name = unquote(urlsplit(wanted.where).path.rpartition("/")[2]) if wanted.kind == "url" else ""
    suffix = Path(name).suffix.lower() if Path(name).suffix.lower() in VIDEO_SUFFIXES else ".mp4"
    stem = urlsplit(wanted.where).query.removeprefix("v=").partition("&")[0] or wanted.where.rpartition("/")[2]
    names = [name, f"{clip}{suffix}"] if name else [f"{s}{x}" for s in (clip, stem) for x in (".mp4", ".mkv", ".webm")]
    mirrored = find_in_mirror(names, wanted.sha256)
    if mirrored is not None:
        return _copy(mirrored, folder / f"{clip}{mirrored.suffix.lower()}", wanted.sha256), False
    target = folder / f"{clip}{suffix}"
    if wanted.kind == "url":
        fetch(wanted.where, target, digest=wanted.sha256, retries=wanted.retries, timeout=wanted.timeout)
        return target, False
    cut = fetch_youtube(
        wanted.where, target, start=wanted.start, end=wanted.end, retries=wanted.retries, timeout=wanted.timeout
    )  # fmt: skip
    if wanted.sha256 and not cut and not sha256(target).startswith(wanted.sha256):
        raise wrong_hash(wanted.where, wanted.sha256, sha256(target))
    return target, cut


def _copy(source: Path, target: Path, digest: str | None) -> Path:
    if not source.is_file():
        raise DownloadError("a local file is missing", expected="a video file", found="nothing" if not source.exists() else "a folder",
                            where=source, cure="correct `path` in the manifest")  # fmt: skip
    if digest and (found := sha256(source)) != digest.lower():
        raise wrong_hash(source, digest, found)
    with atomic(target) as part:
        shutil.copyfile(source, part)
    return target
