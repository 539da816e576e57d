"""Where each file of the DAG lies. One file per clip per stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths below the project's root. A stage writes only below its own out."""

    root: Path = Path(".")

    def manifest(self, dataset: str) -> Path:
        return self.root / "data/manifests" / f"{dataset}.yaml"

    @property
    def rig(self) -> Path:
        return self.root / "data/rig"

    @property
    def raw(self) -> Path:
        return self.root / "data/raw"

    @property
    def truth(self) -> Path:
        """Ground truth that came with the footage (the cast's), for evaluation only: no stage before it reads it."""
        return self.root / "data/raw/truth"

    @property
    def frames(self) -> Path:
        return self.root / "data/frames"

    @property
    def speech(self) -> Path:
        return self.root / "data/speech"

    @property
    def landmarks(self) -> Path:
        return self.root / "data/landmarks"

    @property
    def masks(self) -> Path:
        return self.root / "data/masks"

    @property
    def tracks(self) -> Path:
        return self.root / "data/tracks"

    @property
    def audio(self) -> Path:
        return self.root / "data/audio"

    @property
    def generic(self) -> Path:
        return self.root / "data/models/generic"

    @property
    def personal(self) -> Path:
        return self.root / "data/models/personal"

    @property
    def renders(self) -> Path:
        return self.root / "data/renders"

    @property
    def report(self) -> Path:
        return self.root / "data/report"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics"
