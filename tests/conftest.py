"""Fixtures shared by all tests: the real footage, the baked rig, a scratch folder that survives the session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# One scratch folder for the whole suite, so that the rig is baked once; tests of the scratch folder itself set their own.
os.environ.setdefault("CASTFIELD_SCRATCH", str(ROOT / ".castfield"))


@pytest.fixture(scope="session")
def media() -> Path:
    """Folder with the real footage (`grid/`, `hd/`)."""
    folder = os.environ.get("CASTFIELD_MEDIA")
    if not folder or not (Path(folder) / "grid").is_dir():
        pytest.skip("needs the real footage: set CASTFIELD_MEDIA to a folder that holds grid/ and hd/")
    return Path(folder).resolve()
