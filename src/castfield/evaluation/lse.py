"""LSE-D and LSE-C (Prajwal et al. 2020): how far and how clearly SyncNet hears what it sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from scipy.signal import medfilt
from torch import Tensor

from castfield.evaluation.metric import Metric
from castfield.evaluation.mfcc import mfcc
from castfield.evaluation.syncnet import SIZE, WINDOW, SyncNet

REACH = 15
"""Offsets are tried from -15 to 15 frames."""
CROP_SCALE, PAD_VALUE, MEDIAN = 0.40, 110, 13
BATCH = 16


@dataclass(frozen=True)
class Sync:
    """What SyncNet says of one clip."""

    distance: float
    """LSE-D: the least mean distance over the offsets."""
    confidence: float
    """LSE-C: the median over the offsets minus the least."""
    offset: int
    """Frames by which the sound leads the picture."""


def face_crops(frames: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """SyncNet's face track: frames (T, H, W, 3) RGB uint8, boxes (T, 4) left, top, right, bottom pixels -> (T, 224, 224, 3) BGR uint8.

    Half side, centre x and centre y are median-filtered over 13 frames; the crop is 1.8 half sides high and 2.8 wide around the lower face.
    """
    import cv2

    half = medfilt(np.maximum(boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]) / 2, MEDIAN)
    x, y = medfilt((boxes[:, 0] + boxes[:, 2]) / 2, MEDIAN), medfilt((boxes[:, 1] + boxes[:, 3]) / 2, MEDIAN)
    crops = []
    for frame, s, cx, cy in zip(frames, half, x, y, strict=True):
        pad = int(s * (1 + 2 * CROP_SCALE))
        wide = np.pad(frame, ((pad, pad), (pad, pad), (0, 0)), constant_values=PAD_VALUE)
        rows = slice(int(cy + pad - s), int(cy + pad + s * (1 + 2 * CROP_SCALE)))
        columns = slice(int(cx + pad - s * (1 + CROP_SCALE)), int(cx + pad + s * (1 + CROP_SCALE)))
        crops.append(cv2.resize(wide[rows, columns, ::-1], (SIZE, SIZE)))
    return np.stack(crops)


@torch.no_grad()
def embeddings(net: SyncNet, crops: np.ndarray, sound: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mouth and sound embeddings, (N, 1024) each, N = frames - 5: windows of 5 frames against 20 cepstra from 4 x frame on.

    crops (T, 224, 224, 3) BGR uint8 at 25 Hz; sound (M,) in [-1, 1] at 16 kHz. ValueError where there are under 6 frames of both.
    """
    count = min(len(crops), len(sound) // 640) - WINDOW
    if count < 1:
        raise ValueError("syncnet: too short")
    cepstra = torch.from_numpy(mfcc(sound).T.astype(np.float32))
    mouths, sounds = [], []
    for start in range(0, count, BATCH):
        at = range(start, min(start + BATCH, count))
        mouths.append(net.mouth(torch.from_numpy(np.stack([crops[t : t + WINDOW].transpose(3, 0, 1, 2) for t in at])).float()))
        sounds.append(net.sound(torch.stack([cepstra[None, :, 4 * t : 4 * t + 20] for t in at])))
    return torch.cat(mouths), torch.cat(sounds)


def synchrony(mouth: Tensor, sound: Tensor, reach: int = REACH) -> Sync:
    """Mean distance at each offset, the sound zero-padded at its ends: (N, D), (N, D) -> Sync."""
    padded = F.pad(sound, (0, 0, reach, reach))
    means = torch.stack([F.pairwise_distance(mouth, padded[o : o + len(mouth)]).mean() for o in range(2 * reach + 1)])
    least, at = means.min(0)
    return Sync(float(least), float(means.median() - least), reach - int(at))


class LseD(Metric):
    """Mean over clips of the least distance."""

    recipe: ClassVar[str] = (
        "SyncNet (syncnet_v2.model): face track of the landmarks' boxes (median over 13 frames, crop scale .40, pad 110) on {size} px "
        "frames resized to 224 px, 13 MFCC, mean distance at offsets -15..15 zero-padded, its minimum; lse_d_real is the real driver's"
    )

    def update(self, sync: Sync) -> None:
        """One clip."""
        self.add(sync.distance)


class LseC(Metric):
    """Mean over clips of the confidence."""

    recipe: ClassVar[str] = "as LSE-D: median over the offsets minus the minimum; lse_c_real is the real driver's"

    def update(self, sync: Sync) -> None:
        """One clip."""
        self.add(sync.confidence)
