"""A person of the cast under given expressions and poses, over given backgrounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from castfield.rendering.rays import Rays, pixel_rays

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
    poses = [torch.from_numpy(np.asarray(a, np.float32)).to(device) for a in (rotation, translation)]
    lengths = torch.full((count,), focal * size / model.size, device=device)
    line, column = torch.meshgrid(torch.arange(size, device=device), torch.arange(size, device=device), indexing="ij")
    pixels = torch.stack([column, line], -1).reshape(1, -1, 2) + 0.5
    frames = np.array(background, np.uint8)
    opacity = np.zeros((count, size, size), np.float32)
    step = max(1, system.rays_at_once // (size * size))
    with tqdm(total=count, desc=title, unit="frame", mininterval=1.0, disable=title is None) as bar:
        for start in range(0, count, step):
            chosen = slice(start, min(count, start + step))
            people = torch.full((chosen.stop - start,), model.index(identity_clip), device=device)
            rays = pixel_rays(pixels.expand(len(people), -1, -1), poses[0][chosen], poses[1][chosen], lengths[chosen], size)
            behind = torch.from_numpy(np.asarray(background[chosen], np.float32)).to(device).reshape(len(people), -1, 3) / 255
            shown = system.may_show(model.index(identity_clip), poses[0][chosen], poses[1][chosen], lengths[chosen], size)
            colour, alpha = _render(system, people, condition[chosen], codes[chosen], rays, behind, shown.flatten(1))
            frames[chosen] = (colour * 255).round().clamp(0, 255).to(torch.uint8).reshape(-1, size, size, 3).cpu().numpy()
            opacity[chosen] = alpha.reshape(-1, size, size).cpu().numpy()
            bar.update(len(people))
    return frames, opacity


def _render(
    system, people: Tensor, condition: Tensor, latent: Tensor, rays: Rays, background: Tensor, hit: Tensor
) -> tuple[Tensor, Tensor]:
    """Colour (F, R, 3) and opacity (F, R); rays outside `hit` (F, R) show the background."""
    colour, alpha = background.clone(), background.new_zeros(background.shape[:2])
    most = int(hit.sum(1).max())
    # As many rays in each frame: those that hit come first, the rest of a row is rendered in vain.
    order = torch.argsort((~hit).to(torch.uint8), dim=1, stable=True)[:, :most]
    limit = max(1, system.rays_at_once // len(people))
    for start in range(0, most, limit):
        index = order[:, start : start + limit]
        of_vectors = index[..., None].expand(-1, -1, 3)
        part = Rays(rays.origin.gather(1, of_vectors), rays.direction.gather(1, of_vectors))
        seen = system.render(people, condition, latent, part, background.gather(1, of_vectors))
        colour.scatter_(1, of_vectors, seen.colour)
        alpha.scatter_(1, index, seen.alpha)
    return colour, alpha
