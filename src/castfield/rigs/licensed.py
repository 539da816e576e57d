"""Models that a user has a licence for: where their files lie, and what is said when they do not."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from castfield.config import RigConfig
from castfield.errors import CastfieldError, ConfigError
from castfield.rigs.pickled import read_pickle


@dataclass(frozen=True)
class Licence:
    """Where a model is given out, and on what terms."""

    model: str
    page: str
    terms: str

    @property
    def cure(self) -> str:
        return f"get {self.model} from {self.page} ({self.terms}) and name its folder in `rig.path`; or rig.model=anny, which is free"

    def find(self, config: RigConfig, names: Sequence[str]) -> Path:
        """The first of the files `names` that exists in the folder `rig.path`, or `rig.path` itself where it names a file.

        Raises ConfigError without a path, and CastfieldError if there is no such file.
        """
        if not config.path:
            raise ConfigError(f"rig.model={config.model} needs `rig.path`", expected=" or ".join(names), cure=self.cure)
        given = Path(config.path).expanduser()
        if given.is_file():
            return given
        for name in names:
            if (given / name).is_file():
                return given / name
        raise self.refusal("a file of the model is missing", expected=" or ".join(names), where=given)

    def beside(self, path: Path, name: str) -> Path | None:
        """A further file of the model, beside `path`; None where there is none."""
        other = path.parent / name
        return other if other.is_file() else None

    def refusal(self, fault: str, **details: Any) -> CastfieldError:
        return CastfieldError(f"{self.model}: {fault}", cure=self.cure, **details)

    def array(self, values: dict[str, Any], name: str, shape: Sequence[int | None], where: Path) -> np.ndarray:
        """An array of a file, of this shape (None: any length). Raises CastfieldError where it is missing or has another."""
        if name not in values:
            raise self.refusal(f"`{name}` is missing", expected=name, found=", ".join(sorted(values)), where=where)
        if values[name] is None:
            fault = f"`{name}` is an object of chumpy whose numbers must be computed"
            raise self.refusal(fault, expected="an array", where=where)
        found = np.asarray(values[name])
        wanted = "x".join("any" if n is None else str(n) for n in shape)
        fits = found.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, found.shape, strict=True))
        if not fits or found.dtype.kind not in "fiu":
            raise self.refusal(f"`{name}` has another shape", expected=wanted, found=f"{found.shape} {found.dtype}", where=where)
        if not np.isfinite(found).all():
            raise self.refusal(f"`{name}` is not finite", expected="numbers", where=where)
        return found


def read_arrays(path: Path) -> dict[str, Any]:
    """The named arrays of a file: `.npz`, `.pkl`, `.npy` with a dictionary, or `.mat`. Raises CastfieldError for any other content."""
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as stored:
                found = {}
                for name in stored.files:
                    with suppress(ValueError):  # SMPL-X keeps two dictionaries of names, pickled: they are left alone
                        found[name] = stored[name]
                return found
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise CastfieldError("a model file cannot be read", expected="an .npz archive", found=error, where=path) from None
    if path.suffix == ".mat":
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError

        try:
            return {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
        # MatReadError: cut short. NotImplementedError: SciPy's own of MATLAB's HDF5 files (version 7.3), with the way out in its message.
        except (ValueError, OSError, TypeError, MatReadError, NotImplementedError) as error:
            raise CastfieldError("a model file cannot be read", expected="a MATLAB file", found=error, where=path) from None
    return read_pickle(path)
