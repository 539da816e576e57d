"""BiSeNet (Yu et al. 2018) as face-parsing.PyTorch publishes it: 19 labels of CelebAMask-HQ for every pixel.

ResNet-18 and the context path; in place of a spatial path of its own, the network takes ResNet's features at an eighth of the size.
The state dict has the names of the public weights `79999_iter.pth`, so they load as they are.
"""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn
from torch.nn import functional

from castfield.errors import WeightsError

LABELS = (
    "background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_g", "l_ear", "r_ear", "ear_r", "nose", "mouth", "u_lip", "l_lip",
    "neck", "neck_l", "cloth", "hair", "hat",
)  # fmt: skip
"""What the 19 channels mean; `eye_g` glasses, `ear_r` an earring, `neck_l` a necklace."""
BEHIND, TORSO = ("background",), ("cloth",)
"""The head is all the rest: hair, hat and glasses go with it, and so does the neck, down to the collar."""
SIZE = 512
"""Side of the square picture that the network was trained on."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inside: int, outside: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """A basic block of ResNet (He et al. 2016)."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        same = inside == outside and stride == 1
        self.downsample = None if same else nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        past = x if self.downsample is None else self.downsample(x)
        return functional.relu(past + self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x))))))


class ResNet18(nn.Module):
    """Features (N, 128, H/8, W/8), (N, 256, H/16, W/16) and (N, 512, H/32, W/32) of pictures (N, 3, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(Block(inside, outside, stride), Block(outside, outside, 1))
            for inside, outside, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class Attention(nn.Module):
    """Attention refinement: channels weighted by what the whole picture holds."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = Convolution(inside, outside)
        self.conv_atten = nn.Conv2d(outside, outside, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * torch.sigmoid(self.bn_atten(self.conv_atten(x.mean((2, 3), keepdim=True))))


class ContextPath(nn.Module):
    """From coarse to fine: what is where, at an eighth of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet18()
        self.arm16, self.arm32 = Attention(256, 128), Attention(512, 128)
        self.conv_head32, self.conv_head16 = Convolution(128, 128), Convolution(128, 128)
        self.conv_avg = Convolution(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """ResNet's features and the context (N, 128, H/8, W/8), and the context at H/16."""
        eighth, sixteenth, coarsest = self.resnet(x)
        whole = self.conv_avg(coarsest.mean((2, 3), keepdim=True))
        coarse = self.conv_head32(functional.interpolate(self.arm32(coarsest) + whole, sixteenth.shape[2:]))
        fine = self.conv_head16(functional.interpolate(self.arm16(sixteenth) + coarse, eighth.shape[2:]))
        return eighth, fine, coarse


class Fusion(nn.Module):
    """Feature fusion of detail and context."""

    def __init__(self) -> None:
        super().__init__()
        self.convblk = Convolution(256, 256, 1)
        self.conv1 = nn.Conv2d(256, 64, 1, bias=False)
        self.conv2 = nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        x = self.convblk(torch.cat([detail, context], 1))
        return x + x * torch.sigmoid(self.conv2(functional.relu(self.conv1(x.mean((2, 3), keepdim=True)))))


class Output(nn.Module):
    """Logits of the labels."""

    def __init__(self, inside: int, middle: int) -> None:
        super().__init__()
        self.conv = Convolution(inside, middle)
        self.conv_out = nn.Conv2d(middle, len(LABELS), 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))


class BiSeNet(nn.Module):
    """Pictures (N, 3, H, W), normalised, H and W multiples of 32 -> logits (N, 19, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = Fusion()
        self.conv_out = Output(256, 256)
        self.conv_out16, self.conv_out32 = Output(128, 64), Output(128, 64)  # for training only, but in the public file

    @classmethod
    def load(cls, path: Path) -> BiSeNet:
        """Read the public state dict. Raises WeightsError where it does not fit."""
        net = cls()
        try:
            net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except (RuntimeError, AttributeError, TypeError, UnpicklingError, EOFError) as error:
            found = str(error).strip()[:300] or type(error).__name__
            fault = "these are not the weights of BiSeNet: parse.parser=bisenet cannot be used"
            cure = "remove the file and run `python -m castfield.weights bisenet`; or parse.parser=selfie"
            raise WeightsError(fault, expected="79999_iter.pth", found=found, where=path, cure=cure) from None
        return net.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        eighth, context, _ = self.cp(x)
        logits = self.conv_out(self.ffm(eighth, context))
        return functional.interpolate(logits, x.shape[2:], mode="bilinear", align_corners=True)

    def parse(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        """A frame (H, W, 3) uint8 RGB -> the person (H, W) in [0, 1], and how much of the person there is head (H, W) in [0, 1]."""
        picture = frame.permute(2, 0, 1)[None].float() / 255
        picture = functional.interpolate(picture, (SIZE, SIZE), mode="bilinear", antialias=True)
        mean, deviation = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (MEAN, DEVIATION))
        odds = self((picture - mean) / deviation).softmax(1)
        odds = functional.interpolate(odds, frame.shape[:2], mode="bilinear", antialias=True)[0]
        behind, torso = (odds[[LABELS.index(name) for name in names]].sum(0) for names in (BEHIND, TORSO))
        person = 1 - behind
        return person.clamp(0, 1), (1 - torso / person.clamp_min(1e-6)).clamp(0, 1)
