"""Imports go down only, and the rooms that run on a bare GPU box want PyTorch and NumPy alone."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

SOURCE = Path(__file__).resolve().parents[1] / "src/castfield"
HEAVY = ["cv2", "mediapipe", "anny", "dvc", "warp", "librosa", "dlib", "pandas", "sklearn", "requests", "face_alignment", "ray"]
FLOORS = [
    {"rigs"},
    {"tracking", "speech", "cast"},
    {"fields", "rendering", "evaluation"},
    {"training"},
    {"systems"},
    {"tasks"},
    {"report"},
    {"bench", "check"},
]
"""Rooms from the ground up; a file of a room may import its own room, lower floors and the ground."""


def test_training_and_rendering_import_nothing_heavy():
    code = (
        "import sys, castfield.systems, castfield.training.loop, castfield.rendering.animate, castfield.fields.grid\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_worker_that_tracks_does_not_wait_for_torch():
    code = "import sys, castfield.tracking.fitting, castfield.tracking.landmarks\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def rooms_imported(path: Path) -> set[str]:
    """Rooms that a file imports when it runs; what stands under TYPE_CHECKING only names types."""
    tree = ast.parse(path.read_text())
    typing_only = {n for b in ast.walk(tree) if isinstance(b, ast.If) and "TYPE_CHECKING" in ast.unparse(b.test) for n in ast.walk(b)}
    found = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        names = (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        found |= {name.split(".")[1] for name in names if name.startswith("castfield.")}
    return found


@pytest.mark.parametrize("room", sorted(set().union(*FLOORS)))
def test_a_room_knows_only_the_rooms_below(room: str):
    floor = next(at for at, rooms in enumerate(FLOORS) if room in rooms)
    above = set().union(*FLOORS[floor + 1 :])
    wrong = {f"{path.name} -> {name}" for path in (SOURCE / room).glob("*.py") for name in rooms_imported(path) & above}
    assert not wrong


def test_the_stage_fit_depends_on_all_that_the_fit_is_made_of():
    """What `landmark_fit` imports of its package, directly or not, is a dependency: else a change there leaves old tracks in place."""
    listed = yaml.safe_load((SOURCE.parents[1] / "dvc.yaml").read_text())["stages"]["fit"]["deps"]
    waiting, known = ["landmark_fit"], set()
    while waiting:
        name = waiting.pop()
        known.add(name)
        text = (SOURCE / "tracking" / f"{name}.py").read_text()
        waiting += set(re.findall(r"^from castfield\.tracking\.(\w+) import", text, re.M)) - known
    assert {f"src/castfield/tracking/{name}.py" for name in known} <= set(listed)
