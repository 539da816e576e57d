"""Errors a user can cause. Each says what is wrong, what was expected and found, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CastfieldError(Exception):
    """A refusal in four parts: the fault, what was expected and found, where it lies, and the cure."""

    def __init__(
        self,
        fault: str,
        *,
        expected: object = None,
        found: object = None,
        where: object = None,
        cure: str | None = None,
    ) -> None:
        self.fault, self.expected, self.found, self.where, self.cure = fault, expected, found, where, cure
        parts = [("expected", expected), ("found", found), ("where", where), ("what to do", cure)]
        lines = [fault] + [f"  {name}: {value}" for name, value in parts if value is not None]
        super().__init__("\n".join(lines))

    def __reduce__(self):  # keyword arguments survive the trip home from a worker process
        return _rebuild, (type(self), self.fault, self.expected, self.found, self.where, self.cure)


def _rebuild(kind, fault, expected, found, where, cure):
    return kind(fault, expected=expected, found=found, where=where, cure=cure)


class ConfigError(CastfieldError):
    """`params.yaml` holds an unknown key, a misspelt name or an impossible value."""


class ManifestError(CastfieldError):
    """A manifest is missing a key, repeats a name or names a path it must not."""


class DownloadError(CastfieldError):
    """A clip's file cannot be had, or is not the file the manifest names."""


class ClipError(CastfieldError):
    """One clip cannot be used: corrupt, empty, too short, without a face."""


class WeightsError(CastfieldError):
    """A network's weights are absent; says what that costs and how to get them."""


class TrainingError(CastfieldError):
    """Training cannot go on: the loss or a gradient is not finite."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`known` as a list for a message, led by the nearest spelling of `name`."""
    names = sorted(map(str, known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    listed = ", ".join(names)
    return f"did you mean '{close[0]}'? (known: {listed})" if close else f"one of: {listed}"
