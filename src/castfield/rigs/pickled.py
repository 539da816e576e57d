"""Pickled arrays of published face models, read without running what a pickle may hold.

FLAME comes as a pickle of Python 2 with arrays of NumPy, sparse matrices of SciPy, and objects of chumpy, a package that no longer
installs. Only what builds such arrays is let through; an object of chumpy becomes its numbers; everything else is refused.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import IO, Any

import numpy as np

from castfield.errors import CastfieldError

HARMLESS = {
    "numpy.ndarray", "numpy.dtype", "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct", "numpy._core.multiarray.scalar", "copy_reg._reconstructor", "copyreg._reconstructor",
    "__builtin__.object", "builtins.object", "_codecs.encode", "collections.OrderedDict",
}  # fmt: skip
"""What arrays are built of: none of it opens a file or runs a command."""
SPARSE = ("csc_matrix", "csr_matrix")
"""SciPy's matrices; the modules that they are pickled under have moved."""


class Chumpy:
    """Stands for an object of chumpy: it only keeps the object's state."""

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def array(self) -> np.ndarray | None:
        """The numbers: the object's own, or (chumpy's `Select`) those picked from another's; None where they must be computed."""
        own = plain(self.state.get("x"))
        if own is not None:
            return np.asarray(own)
        source, picked = plain(self.state.get("a")), self.state.get("idxs")
        if source is None or picked is None:
            return None
        values = np.asarray(source).ravel()[np.asarray(picked)]
        shape = self.state.get("preferred_shape")
        return values if shape is None else values.reshape(shape)


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "chumpy":
            return Chumpy
        if module.startswith("scipy.sparse") and name in SPARSE:
            return super().find_class("scipy.sparse", name)
        if f"{module}.{name}" in HARMLESS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name}")


def plain(value: Any) -> Any:
    """A value of a pickle as NumPy has it: chumpy's objects and sparse matrices become arrays."""
    if isinstance(value, Chumpy):
        return value.array()
    return value.toarray() if hasattr(value, "toarray") else value


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary of a pickle (`.pkl`), or of an array file that holds one (`.npy`), its values as `plain`.

    Raises CastfieldError for a file that is no such pickle or asks for anything but arrays.
    """
    try:
        with open(path, "rb") as stream:
            if path.suffix == ".npy":
                _skip_header(stream)
            value = _Reader(stream, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError, TypeError, ValueError) as error:
        cure = "take the file that its publisher gives out, unchanged"
        raise CastfieldError("a model file is not a pickle of arrays", expected="arrays only", found=error, where=path, cure=cure) from None
    if isinstance(value, np.ndarray) and value.shape == ():
        value = value.item()
    if not isinstance(value, dict):
        raise CastfieldError("a model file holds no named arrays", expected="a dictionary", found=type(value).__name__, where=path)
    return {str(name): plain(entry) for name, entry in value.items()}


def _skip_header(stream: IO[bytes]) -> None:
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    read(stream)
