"""FAN's weights: from the media mirror, the scratch folder or their own address, and one clear message if from nowhere."""

from __future__ import annotations

import os
import shutil
import urllib.error
from pathlib import Path
from typing import Any

from castfield.errors import WeightsError
from castfield.scratch import atomic, scratch, sha256

FILE = "2DFAN4-11f355bf06.pth.tar"
"""File name; the part after the dash begins its sha256."""
URL = f"https://www.adrianbulat.com/downloads/python-fan/{FILE}"


def load_fan() -> Any:
    """The package's 2-D landmark network on the CPU. Raises WeightsError if its weights cannot be had."""
    import face_alignment as package
    import torch

    weights = find_weights()
    hub = torch.hub.get_dir()
    torch.hub.set_dir(str(weights.parent.parent))  # the package looks in `checkpoints/` below the hub's folder
    try:
        # `folder`: a face detector without weights; the boxes come from elsewhere.
        return package.FaceAlignment(package.LandmarksType.TWO_D, device="cpu", face_detector="folder", compile=False)
    except (RuntimeError, KeyError, EOFError, OSError) as error:
        raise _missing(f"a file that does not hold them ({type(error).__name__})", weights) from None
    finally:
        torch.hub.set_dir(hub)


def find_weights() -> Path:
    """Path of the weights in the scratch folder, fetched there once. Raises WeightsError."""
    target = scratch("weights", "checkpoints", FILE)
    if target.exists():
        return target
    mirror = os.environ.get("CASTFIELD_MEDIA")
    if mirror:
        for path in sorted(Path(mirror).rglob(FILE)):
            with atomic(target) as part:
                shutil.copyfile(path, part)
            return target
    _download(target)
    return target


def _download(target: Path) -> None:
    import torch

    try:
        with atomic(target) as part:
            torch.hub.download_url_to_file(URL, str(part), progress=False)
            if not sha256(part).startswith(FILE.split("-")[1].split(".")[0]):
                raise _missing("a file with another sha256", URL)
    except (urllib.error.URLError, OSError) as error:
        if getattr(error, "errno", None) == 28:  # a full disk is told as such
            raise
        raise _missing(f"no answer ({error})", URL) from None


def _missing(found: str, where: object) -> WeightsError:
    return WeightsError(
        "landmarks.tracker=face_alignment lacks the weights of FAN",
        expected=f"{FILE} (about 90 MB) in the folder CASTFIELD_MEDIA or at its own address",
        found=found,
        where=where,
        cure=f"curl -LO {URL} into the folder that CASTFIELD_MEDIA names; or without them: dvc exp run -S landmarks.tracker=mediapipe "
        "(478 points instead of 68, weights in its wheel)",
    )
