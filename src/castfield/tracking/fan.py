"""FAN, the landmark network of the package face-alignment, loaded from weights that `castfield.weights` finds."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

from castfield import weights
from castfield.errors import WeightsError

FILE = "2DFAN4-11f355bf06.pth.tar"
"""The name under which the package looks for them."""


def load_fan(path: Path | None = None) -> Any:
    """The 2-D landmark network on the CPU, from the weights at `path` or those called `fan_2d`. Raises WeightsError."""
    import face_alignment as package
    import torch

    path = weights.find("fan_2d") if path is None else path
    hub = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as folder:  # the package looks in `checkpoints/` below the hub's folder, and downloads otherwise
        place = Path(folder) / "checkpoints" / FILE
        place.parent.mkdir()
        place.symlink_to(path.resolve())
        torch.hub.set_dir(folder)
        try:
            # `folder`: a face detector without weights; the boxes come from elsewhere.
            return package.FaceAlignment(package.LandmarksType.TWO_D, device="cpu", face_detector="folder", compile=False)
        except (RuntimeError, KeyError, EOFError, AttributeError, pickle.UnpicklingError) as error:
            raise WeightsError(
                "these are not the weights of FAN: landmarks.tracker=face_alignment cannot be used",
                expected=FILE,
                found=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
                where=path,
                cure="remove the file and run `python -m castfield.weights fan_2d`; or landmarks.tracker=mediapipe",
            ) from None
        finally:
            torch.hub.set_dir(hub)
