"""Fixtures shared by all tests: the real footage, the baked rig, a scratch folder that survives the session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pipeline import only_one

ROOT = Path(__file__).resolve().parents[1]
# One scratch folder for the whole suite, so that the rig is baked once; tests of the scratch folder itself set their own.
os.environ.setdefault("CASTFIELD_SCRATCH", str(ROOT / ".castfield"))


LONG = ("test_pipeline.py", "test_licensed.py", "test_bench.py", "test_killed.py")
"""Files of minutes, in the order in which they begin: short ones fill the cores afterwards. The kills need the pipeline's first run."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def media() -> Path:
    """Folder with the real footage (`grid/`, `hd/`)."""
    folder = os.environ.get("CASTFIELD_MEDIA")
    if not folder or not (Path(folder) / "grid").is_dir():
        pytest.skip("needs the real footage: set CASTFIELD_MEDIA to a folder that holds grid/ and hd/")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def rig_folder() -> Path:
    """`rig.npz` and `body.npz` as the stage bakes them; kept in the scratch folder until the room of the rigs changes."""
    import castfield.opposite
    import castfield.rigs
    from castfield.config import RigConfig
    from castfield.scratch import fingerprint, scratch

    sources = [Path(castfield.opposite.__file__), *sorted(Path(castfield.rigs.__file__).parent.glob("*.py"))]
    folder = scratch("tests", f"rig-{fingerprint(*sources)}", "rig.npz").parent
    with only_one(folder):
        if not (folder / "body.npz").exists():  # the last file that is written
            castfield.rigs.bake(RigConfig(), folder)
    return folder


@pytest.fixture(scope="session")
def rig(rig_folder: Path):
    """The baked rig."""
    from castfield.rigs import load_rig

    return load_rig(rig_folder)


MADE_PEOPLE = {"ann": 20, "bob": 16, "cat": 15}
"""Frames of the people in `rendered_project`."""


@pytest.fixture(scope="session")
def rendered_project(tmp_path_factory):
    """A small made project after the render stage (`castfield.layout.Layout`); tests must leave it as it is."""
    from made_project import CONFIG, made_project

    from castfield.tasks.render import render_all

    layout = made_project(tmp_path_factory.mktemp("made"), MADE_PEOPLE)
    render_all(CONFIG, layout)
    return layout
