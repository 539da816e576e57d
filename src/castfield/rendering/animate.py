"""A person of the cast under given expressions and poses, over given backgrounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from castfield.rendering.rays import pixel_rays

if TYPE_CHECKING:
    from castfield.systems.model import Model


@torch.no_grad()
def render_frames(
    model: Model,
    identity_clip: str,
    expression: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    focal: float,
    background: np.ndarray,
    *,
    latent: Literal["mean"] | Tensor = "mean",
    title: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Render consecutive frames of one person.

    expression (T, d), rotation (T, 3, 3) and translation (T, 3) head -> camera, focal in pixels at `model.size`,
    background (T, S, S, 3) uint8, whose side S is the side of the result. latent: the clip's mean code, or codes (T, L).
    `title` shows a progress bar under that name. Gives frames (T, S, S, 3) uint8 and opacity (T, S, S) float32.
    """
    system = model.system
    device = next(system.parameters()).device
    count, size = len(expression), background.shape[1]
    condition, codes = model.conditions(identity_clip, expression, None if isinstance(latent, str) else latent)
    given = [torch.from_numpy(np.asarray(a, np.float32)).to(device) for a in (rotation, translation, expression)]
    poses, expressions = given[:2], given[2]
    lengths = torch.full((count,), focal * size / model.size, device=device)
    line, column = torch.meshgrid(torch.arange(size, device=device), torch.arange(size, device=device), indexing="ij")
    pixels = torch.stack([column, line], -1).reshape(1, -1, 2) + 0.5
    frames = np.array(background, np.uint8)
    opacity = np.zeros((count, size, size), np.float32)
    person = model.index(identity_clip)
    for at in tqdm(range(count), desc=title, unit="frame", mininterval=1.0, disable=title is None):
        one = slice(at, at + 1)
        shown = system.may_show(person, poses[0][one], poses[1][one], lengths[one], size).flatten().nonzero()[:, 0]
        people = torch.full((1,), person, device=device)
        prepared = system.prepare(people, expressions[one], condition[one], codes[one])
        behind = torch.from_numpy(np.asarray(background[at], np.float32)).to(device).reshape(1, -1, 3) / 255
        colour, alpha = behind.clone(), behind.new_zeros(size * size)
        for some in shown.split(system.rays_at_once):
            rays = pixel_rays(pixels[:, some], poses[0][one], poses[1][one], lengths[one], size)
            seen = system.march(people, prepared, rays, behind[:, some])
            colour[:, some], alpha[some] = seen.colour, seen.alpha[0]
        frames[at] = (colour * 255).round().clamp(0, 255).to(torch.uint8).reshape(size, size, 3).cpu().numpy()
        opacity[at] = alpha.reshape(size, size).cpu().numpy()
    return frames, opacity
