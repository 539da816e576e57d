"""LPIPS (Zhang, Isola, Efros, Shechtman and Wang 2018), AlexNet, without torchvision.

The linear heads lie as a file in the `lpips` wheel; the backbone's convolutions are the public ImageNet AlexNet, which is
downloaded once (`castfield.weights`). Without it the metric is absent.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from castfield.errors import WeightsError
from castfield.evaluation.metric import Metric

# Convolutions of AlexNet, by their index in torchvision's `features`: (index, in, out, kernel, stride, padding, pooled before).
ALEXNET = ((0, 3, 64, 11, 4, 2, False), (3, 64, 192, 5, 1, 2, True), (6, 192, 384, 3, 1, 1, True), (8, 384, 256, 3, 1, 1, False),
           (10, 256, 256, 3, 1, 1, False))  # fmt: skip
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
SMALLEST = 64
"""Pictures with a shorter side than this are enlarged: AlexNet pools by 16."""


def heads_file() -> Path:
    """The linear heads (version 0.1) in the `lpips` wheel, found without importing it. Raises WeightsError."""
    spec = find_spec("lpips")
    path = Path(spec.origin).parent / "weights/v0.1/alex.pth" if spec and spec.origin else None
    if path is None or not path.exists():
        raise WeightsError("LPIPS lacks its linear heads", where=path, cure="pip install lpips")
    return path


class LpipsNet(nn.Module):
    """AlexNet's five activations and one linear head on each."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict({str(i): nn.Conv2d(a, b, k, s, p) for i, a, b, k, s, p, _ in ALEXNET})
        self.heads = nn.ParameterList([nn.Parameter(torch.zeros(b)) for _, _, b, *_ in ALEXNET])

    @classmethod
    def load(cls, backbone: Path, heads: Path) -> LpipsNet:
        """Read torchvision's AlexNet state dict and the wheel's heads. Raises WeightsError where a tensor does not fit."""
        net = cls()
        body = torch.load(backbone, map_location="cpu", weights_only=True)
        top = torch.load(heads, map_location="cpu", weights_only=True)
        state = {f"features.{i}.{kind}": body.get(f"features.{i}.{kind}") for i, *_ in ALEXNET for kind in ("weight", "bias")}
        state |= {f"heads.{n}": top.get(f"lin{n}.model.1.weight") for n in range(len(ALEXNET))}
        own = net.state_dict()
        for name, value in state.items():
            if value is None or value.numel() != own[name].numel():
                found = "nothing" if value is None else tuple(value.shape)
                raise WeightsError(f"LPIPS: `{name}` does not fit", expected=tuple(own[name].shape), found=found, where=backbone)
            own[name] = value.reshape(own[name].shape)
        net.load_state_dict(own)
        return net.eval().requires_grad_(False)

    def activations(self, image: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] -> five activations, each of unit length over its channels."""
        x, found = ((2 * image - 1) - torch.tensor(SHIFT)[:, None, None]) / torch.tensor(SCALE)[:, None, None], []
        for index, *_, pooled in ALEXNET:
            x = F.max_pool2d(x, 3, 2) if pooled else x
            x = F.relu(self.features[str(index)](x))
            found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Distance of pictures (N, 3, H, W) in [0, 1] -> (N,)."""
        total = torch.zeros(len(first), dtype=first.dtype)
        for a, b, head in zip(self.activations(first), self.activations(second), self.heads, strict=True):
            total = total + ((a - b).square() * head[:, None, None]).sum(1).mean((1, 2))
        return total


def head_crop(image: np.ndarray, mask: np.ndarray) -> Tensor:
    """The mask's bounding box with mid grey outside the mask: (H, W, 3) in [0, 1] -> (1, 3, h, w) float32."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(ys):
        raise ValueError("lpips: the mask is empty")
    box = slice(ys[0], ys[-1] + 1), slice(xs[0], xs[-1] + 1)
    cut = np.where(mask[box][..., None], image[box], 0.5).astype(np.float32)
    tensor = torch.from_numpy(cut).permute(2, 0, 1)[None]
    side = min(tensor.shape[2:])
    return tensor if side >= SMALLEST else F.interpolate(tensor, scale_factor=SMALLEST / side, mode="bilinear", align_corners=False)


class Lpips(Metric):
    """Mean of the frames' LPIPS over the head's box."""

    recipe: ClassVar[str] = (
        "LPIPS 0.1, AlexNet (ImageNet), inputs in [0, 1] mapped to [-1, 1]; on the bounding box of the real frame's head mask, mid grey "
        "outside the mask in both pictures; {size} px frames, boxes under 64 px enlarged; x 1000 gives LPIPS*"
    )

    def __init__(self, net: LpipsNet) -> None:
        super().__init__()
        self.net = net

    @torch.no_grad()
    def update(self, prediction: np.ndarray, target: np.ndarray, mask: np.ndarray) -> None:
        """One frame: (H, W, 3), (H, W, 3) in [0, 1] and (H, W) bool, not empty."""
        self.add(float(self.net(head_crop(prediction, mask), head_crop(target, mask))[0]))
