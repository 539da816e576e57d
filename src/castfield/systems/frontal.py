"""How a person looks from the front, in the mean over their footage: what their planes start from.

Every texel of a frontal plane stands for a line through the head, of which cameras see the front. So before the first step a
person is there already, at rest; what is learned is how they move, and what is seen from the side.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from castfield.fields.fast import has_kernels
from castfield.fields.planes import BOX_HIGH, BOX_LOW
from castfield.images import ClipImages

VIEWS = 8
"""Training frames that are looked at, evenly spread."""
SEEN = 0.02
"""Share of the frames in whose head masks a place lies from which on its own colour counts; elsewhere it is the person's mean."""
BLUR, SHARPEN = 1.0, 0.9
"""Looking colours up between pixels, here, and between texels, in the field, blurs them, and so do poses that do not quite fit: they begin
so much further from what a blur of so many texels leaves of them."""


def frontal_view(clip: ClipImages, depth: Tensor, side: int) -> Tensor:
    """The clip's training frames as seen at `side` x `side` places of the box, which lie at depth (D, D), z in metres by lines of y.

    (side, side, 3) RGB in [0, 1]: texels of the frontal plane, line by line along y, in each line along x.
    """
    import cv2

    z = interpolate(depth[None, None], (side, side), mode="bilinear")[0, 0]
    frames = clip.spread_train_frames(VIEWS)
    cameras = clip.cameras(frames).astype(np.float32)
    colour = _look(*_places(side), z.numpy(), cameras, clip.frames[frames], clip.head[frames], np.float32(SEEN * len(frames)))
    return torch.from_numpy((colour + SHARPEN * (colour - cv2.GaussianBlur(colour, (0, 0), BLUR))).clip(0, 1))


@lru_cache(maxsize=4)
def _places(side: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y (side,) metres of the texels of a frontal plane, float32."""
    within = (np.arange(side) + 0.5) / side
    x, y = (low + (high - low) * within for low, high in zip(BOX_LOW[:2], BOX_HIGH[:2], strict=True))
    return x.astype(np.float32), y.astype(np.float32)


def _look(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, cameras: np.ndarray, pictures: np.ndarray, masks: np.ndarray, least: np.float32
) -> np.ndarray:
    """Mean colours (H, W, 3) in [0, 1] as seen at x (W,), y (H,) and z (H, W), each weighted by the masks, and where the masks have less
    than `least` together the mean of all.

    cameras (F, 3, 4): from metres to homogeneous pixels; pictures (F, S, S, 3) and masks (F, S, S) uint8, whose edges go on.
    """
    if has_kernels():
        from castfield.systems import frontal_kernels as kernels

        sums, colour = np.zeros((*z.shape, 4), np.float32), np.empty((*z.shape, 3), np.float32)
        kernels.look(x, y, z, cameras, np.ascontiguousarray(pictures), np.ascontiguousarray(masks), sums)
        kernels.mean(sums, least, colour)
        return colour
    places = np.stack([*np.broadcast_arrays(x, y[:, None], z), np.ones_like(z)], -1)
    at = torch.einsum("fij,hwj->fhwi", torch.from_numpy(cameras), torch.from_numpy(places))
    unit = at[..., :2] / at[..., 2:] * (2 / pictures.shape[2]) - 1
    held = torch.from_numpy(masks[:, None]) / 255
    both = torch.cat([torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255 * held, held], 1)
    seen = grid_sample(both, unit, padding_mode="border", align_corners=False).sum(0).permute(1, 2, 0).numpy()
    mean = seen[..., :3].sum((0, 1)) / seen[..., 3].sum().clip(1e-6)
    return np.where(seen[..., 3:] > least, seen[..., :3] / seen[..., 3:].clip(1e-6), mean)
