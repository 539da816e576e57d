"""`map_clips`: the one way a stage works over many clips.

Each clip is a job with a fingerprint of (inputs, parameters, code). What a job writes is kept in the scratch folder
under that fingerprint, so one new clip among a hundred costs one clip although DVC sees one stage, and a killed stage
goes on where it stopped. A clip that fails is named, and left out as long as few do.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from castfield.config import WorkConfig
from castfield.errors import ClipError
from castfield.runners import RUNNERS
from castfield.scratch import copy_into, fingerprint, scratch, write_json
from castfield.work import HOST, TOOK, Job, Outcome, Work


class Step(NamedTuple):
    """One stage's work over its clips."""

    stage: str
    work: Work
    jobs: Sequence[Job]
    code: Sequence[Any] = ()
    """Modules whose source enters the fingerprint beside the one that the work stands in."""

    def stores(self) -> dict[str, Path]:
        """Where each clip's result lies, or will. Raises ClipError for a clip that stands twice."""
        code = [self.work.__name__, sys.modules[self.work.__module__], *self.code]
        keys = {job.clip: fingerprint(self.stage, job.clip, *code, job.params, sorted(job.inputs), *_files(job)) for job in self.jobs}
        if len(keys) != len(self.jobs):
            raise ClipError(f"{self.stage}: a clip name stands twice", found=sorted(job.clip for job in self.jobs))
        return {clip: scratch("clips", self.stage, f"{clip}-{key}") for clip, key in keys.items()}

    def seconds(self) -> dict[str, float]:
        """What each clip's result took when it was made, as far as it lies in the scratch folder."""
        notes = {clip: store / TOOK for clip, store in self.stores().items()}
        return {clip: float(note.read_text()) for clip, note in notes.items() if note.exists()}


def map_clips(
    stage: str,
    work: Work,
    jobs: Sequence[Job],
    out: Path,
    config: WorkConfig,
    code: Sequence[Any] = (),
    elsewhere: Mapping[str, Path] | None = None,
) -> list[Outcome]:
    """Run `work` on every job and gather the files in `out`, with `<out>/failed.json` naming the clips left out.

    `code` is as in Step. `elsewhere` maps a file suffix to another folder. Files of clips that are no longer asked for are removed from
    these folders; what they held before stays untouched until every clip is done. Raises ClipError when more than `config.max_failed`
    of the clips fail, and any error that is not a CastfieldError at once; in either case what was finished is cached.
    """
    folders = {"": out, **(elsewhere or {})}
    stores = Step(stage, work, jobs, code).stores()
    _sweep(scratch("clips", stage, "x").parent)
    todo = [job for job in jobs if not stores[job.clip].is_dir()]
    outcomes = [Outcome(job.clip, 0.0, True, None) for job in jobs if stores[job.clip].is_dir()]
    print(f"{stage}: {len(jobs)} clips, {len(outcomes)} unchanged (cached), {len(todo)} to do", flush=True)
    with tqdm(total=len(todo), desc=stage, unit="clip", disable=None if todo else True) as bar:
        for outcome in RUNNERS[config.runner](work, todo, stores, config):
            outcomes.append(outcome)
            bar.update()
            bar.write(f"{stage}: {outcome.clip} {f'FAILED: {outcome.error}' if outcome.error else f'{outcome.seconds:.1f} s'}")
    failed = {o.clip: o.error for o in outcomes if o.error}
    if len(failed) > config.max_failed * len(jobs) or failed and len(failed) == len(jobs):
        listed = "\n".join(f"  - {clip}: {error}" for clip, error in sorted(failed.items()))
        raise ClipError(
            f"{stage}: {len(failed)} of {len(jobs)} clips failed\n{listed}",
            expected=f"at most {config.max_failed:.0%} (work.max_failed)",
            cure="mend these clips or take them out of the manifest; the others are cached",
        )
    _gather([stores[job.clip] for job in jobs if job.clip not in failed], folders)
    write_json(out / "failed.json", failed)
    return sorted(outcomes, key=lambda o: o.clip)


def _files(job: Job) -> list[Path]:
    return [path for _, path in sorted(job.inputs.items())]


def _gather(stores: Sequence[Path], folders: Mapping[str, Path]) -> None:
    """Make the folders hold the stores' files and nothing else (sub-folders are left alone)."""
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    wanted = set()
    for store in stores:
        os.utime(store)  # used: the sweep keeps it
        for path in sorted(path for path in store.iterdir() if path.name != TOOK):
            wanted.add(copy_into(path, folders.get(path.suffix, folders[""])))
    for folder in folders.values():
        for path in folder.iterdir():
            if path.is_file() and path not in wanted:
                path.unlink()


_KEPT = 4  # results per clip and stage that stay in the scratch folder: going back to earlier parameters is free


def _sweep(folder: Path) -> None:
    """Remove what killed runs of this machine left behind, and results that have not been used for long."""
    results: dict[str, list[Path]] = {}
    for path in folder.iterdir():
        if path.name.startswith(".part-"):
            host, _, process = path.name.removeprefix(".part-").rpartition("-")[0].rpartition("-")
            if host == HOST and process.isdigit() and not _alive(int(process)):
                shutil.rmtree(path, ignore_errors=True)
        elif path.is_dir():
            results.setdefault(path.name.rpartition("-")[0], []).append(path)
    for paths in results.values():
        for path in sorted(paths, key=lambda p: -p.stat().st_mtime)[_KEPT:]:
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a process that ended but whose parent has not taken note still has its number
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True


def failed_clips(folder: Path) -> dict[str, str]:
    """Clips that the stage which wrote `folder` left out, with the reason."""
    import json

    path = folder / "failed.json"
    return json.loads(path.read_text()) if path.exists() else {}
