"""SyncNet (Chung and Zisserman 2016): a mouth branch and a sound branch that meet in 1024 dimensions.

The state dict has the names of the public weights `syncnet_v2.model`, so they load as they are.
"""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from castfield.errors import WeightsError

WINDOW = 5
"""Frames that the mouth branch sees at once; the sound branch sees the 20 cepstra of the same fifth of a second."""
SIZE = 224
EMBEDDING = 1024


def _layers(conv: type, norm: type, plan: list, pool: type) -> nn.Sequential:
    """Rows of ("conv", in, out, kernel, stride, padding) or ("pool", kernel, stride, padding)."""
    layers: list[nn.Module] = []
    for kind, *row in plan:
        if kind == "pool":
            layers.append(pool(*row))
        else:
            layers += [conv(*row), norm(row[1]), nn.ReLU()]
    return nn.Sequential(*layers)


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, EMBEDDING))


class SyncNet(nn.Module):
    """Two branches: `mouth` and `sound`."""

    def __init__(self) -> None:
        super().__init__()
        sound = [
            ("conv", 1, 64, 3, 1, 1), ("pool", 1, 1, 0),
            ("conv", 64, 192, 3, 1, 1), ("pool", 3, (1, 2), 0),
            ("conv", 192, 384, 3, 1, 1),
            ("conv", 384, 256, 3, 1, 1),
            ("conv", 256, 256, 3, 1, 1), ("pool", 3, 2, 0),
            ("conv", 256, 512, (5, 4), 1, 0),
        ]  # fmt: skip
        mouth = [
            ("conv", 3, 96, (5, 7, 7), (1, 2, 2), 0), ("pool", (1, 3, 3), (1, 2, 2), 0),
            ("conv", 96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1)), ("pool", (1, 3, 3), (1, 2, 2), (0, 1, 1)),
            ("conv", 256, 256, (1, 3, 3), 1, (0, 1, 1)),
            ("conv", 256, 256, (1, 3, 3), 1, (0, 1, 1)),
            ("conv", 256, 256, (1, 3, 3), 1, (0, 1, 1)), ("pool", (1, 3, 3), (1, 2, 2), 0),
            ("conv", 256, 512, (1, 6, 6), 1, 0),
        ]  # fmt: skip
        self.netcnnaud = _layers(nn.Conv2d, nn.BatchNorm2d, sound, nn.MaxPool2d)
        self.netfcaud = _head()
        self.netcnnlip = _layers(nn.Conv3d, nn.BatchNorm3d, mouth, nn.MaxPool3d)
        self.netfclip = _head()

    @classmethod
    def load(cls, path: Path) -> SyncNet:
        """Read the public state dict. Raises WeightsError where it does not fit."""
        net = cls()
        try:
            left = net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=False)
            # The public file is older than batch counters; nothing else may be missing.
            faults = [*left.unexpected_keys, *(k for k in left.missing_keys if not k.endswith("num_batches_tracked"))]
        except (RuntimeError, AttributeError, TypeError, UnpicklingError, EOFError) as error:
            faults = [str(error).strip()[:300] or type(error).__name__]
        if faults:
            raise WeightsError("SyncNet's weights do not fit", expected="syncnet_v2.model", found=", ".join(faults[:4]), where=path)
        return net.eval().requires_grad_(False)

    def mouth(self, faces: Tensor) -> Tensor:
        """(N, 3, 5, 224, 224) BGR in 0..255 -> (N, 1024)."""
        return self.netfclip(self.netcnnlip(faces).flatten(1))

    def sound(self, cepstra: Tensor) -> Tensor:
        """(N, 1, 13, 20) -> (N, 1024)."""
        return self.netfcaud(self.netcnnaud(cepstra).flatten(1))
