"""A copy of the project in a temporary repository, run with real DVC on short footage of real people.

Two files of tests share one first run (`first_run`), so that two workers can share their work.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from castfield.scratch import scratch

ROOT = Path(__file__).resolve().parents[1]

CLIPS = ["bbaf2n", "brbk7n"]
STAGES = ["rig", "download", "frames", "landmarks", "parse", "fit", "audio", "train", "personalize", "render", "evaluate", "report"]
SHORT = 1.3
"""Seconds of each clip that the test uses."""

SMALL: dict[str, dict[str, Any]] = {
    "frames": {"size": 128},
    "train": {"size": 48, "save_seconds": 1.0, "grid": {"steps": 60, "steps_per_clip": 0}},
    "personalize": {"steps": 20},
    "render": {"shown_size": 128},
    "evaluate": {"faces_per_clip": 1},
}
"""Parameters that make a run short; nothing else differs from a user's."""


@dataclass
class Project:
    """A clone with its own scratch folder and DVC cache."""

    root: Path
    env: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each stage took that `reproduce` ran."""

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone; its output is in `.stdout`."""
        done = subprocess.run(command, cwd=self.root, env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} failed ({done.returncode})\n{done.stdout[-6000:]}")
        return done

    def dvc(self, *arguments: str, check: bool = True) -> str:
        """Output of a DVC command."""
        return self.run(sys.executable, "-m", "dvc", *arguments, check=check).stdout

    def reproduce(self, *stages: str) -> None:
        """Run the DAG, or only the named stages, and remember how long each stage took that ran."""
        command = [sys.executable, "-m", "dvc", "repro", *(["--single-item", *stages] if stages else [])]
        said, stage, began = [], "", 0.0
        with subprocess.Popen(command, cwd=self.root, env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            assert process.stdout
            for line in process.stdout:
                said.append(line)
                if begun := re.match(r"Running stage '(\w+)'", line):
                    stage, began = begun[1], time.monotonic()
                elif stage and line.startswith("Updating lock file"):
                    self.seconds[stage] = time.monotonic() - began
        if process.returncode:
            raise AssertionError(f"{' '.join(command)} failed ({process.returncode})\n{''.join(said)[-6000:]}")

    def metrics(self) -> dict[str, dict[str, float]]:
        """`metrics/metrics.json`."""
        return json.loads((self.root / "metrics/metrics.json").read_text())

    def kill_during(self, stage: str, after: float) -> bool:
        """Start a stage and SIGKILL its whole process group `after` seconds later; False if it had ended by then."""
        process = subprocess.Popen(
            ["stages/run", stage], cwd=self.root, env=self.env, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(after)
        alive = process.poll() is None
        if alive:
            os.killpg(process.pid, 9)
        process.wait()
        return alive


@dataclass(frozen=True)
class FirstRun:
    """A clone in which every stage has run once, undisturbed, and was committed."""

    root: Path
    env: dict[str, str]
    seconds: dict[str, float]
    """What each stage took."""
    metrics: dict[str, dict[str, float]]


def first_run(shared: Path, media: Path) -> FirstRun:
    """Made by the first who asks; `shared` is a folder that all workers of a run of pytest share.

    Its rig is baked from the views that the suite's rig was baked from.
    """
    told = shared / "first_run.json"
    with only_one(told):
        if not told.exists():
            made = clone(shared / "project", media, CLIPS)
            if (views := scratch("rigs")).is_dir():
                shutil.copytree(views, made.root / ".castfield/rigs")
            made.reproduce()
            assert sorted(made.seconds) == sorted(STAGES)
            made.run("git", "add", "-A")
            made.run("git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qm", "first run")
            told.write_text(json.dumps({**asdict(made), "root": str(made.root), "metrics": made.metrics()}))
    values = json.loads(told.read_text())
    return FirstRun(**{**values, "root": Path(values["root"])})


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """One process at a time makes what lies at `path`; the others wait."""
    with open(path.parent / f"{path.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def clone(target: Path, media: Path, clips: list[str]) -> Project:
    """A repository at `target` with the working tree's files, the data set `short` and a commit."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    for compiled in (ROOT / "src").rglob("__pycache__/*.nb?"):  # kernels that `make setup` compiled: half a minute of every clone
        (target / compiled.relative_to(ROOT)).parent.mkdir(exist_ok=True)
        shutil.copy2(compiled, target / compiled.relative_to(ROOT))
    shutil.rmtree(target / ".dvc/cache", ignore_errors=True)
    (target / "dvc.lock").unlink(missing_ok=True)
    write_manifest(target, clips)
    params = yaml.safe_load((target / "params.yaml").read_text())
    params["dataset"] = "short"
    update(params, SMALL)
    (target / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    scratch = target / ".castfield"
    env = {
        **os.environ,
        "CASTFIELD_MEDIA": str(media),
        "CASTFIELD_SCRATCH": str(scratch),
        "CASTFIELD_PYTHON": sys.executable,
        "DVC_NO_ANALYTICS": "1",
    }
    project = Project(target, env)
    for command in (["git", "init", "-q"], ["git", "add", "-A"]):
        project.run(*command)
    project.run("git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qm", "start")
    return project


def update(values: dict[str, Any], changes: dict[str, Any]) -> None:
    """Change nested values in place; a key that is not there is a mistake of the test's."""
    for key, change in changes.items():
        if isinstance(values[key], dict):
            update(values[key], change)
        else:
            values[key] = change


def write_manifest(root: Path, clips: list[str]) -> None:
    """`data/manifests/short.yaml`: the named clips, cut to SHORT seconds."""
    grid = yaml.safe_load((root / "data/manifests/grid.yaml").read_text())
    rows = [{**row, "end": SHORT} for row in grid["clips"] if row["name"] in clips]
    values = {"title": "short", "license": grid["license"], "personal_seen": clips[0], "personal_unseen": clips[-1], "clips": rows}
    (root / "data/manifests/short.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
