"""A trained model: the system with its weights, the clips that it knows, and the file that holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from castfield.config import Config, TrainConfig, from_dict
from castfield.errors import CastfieldError, nearest
from castfield.images import ClipImages
from castfield.rigs import Rig
from castfield.systems.beforehand import beforehand, side_by_side
from castfield.systems.mi_nerf import GridSystem, MINeRF, PaperSystem, Spec
from castfield.systems.moving import movers, moves
from castfield.training.checkpoints import write

FORMAT = 7
SYSTEMS: dict[tuple[str, str], type[MINeRF]] = {("mi_nerf", "grid"): GridSystem, ("mi_nerf", "mlp"): PaperSystem}


@dataclass
class Model:
    """One system and the cast that it was trained on."""

    system: Any
    """An `nn.Module` of `castfield.systems` (`MINeRF`)."""
    name: str
    """Name of the system."""
    clips: tuple[str, ...]
    """Names of the clips, in the order of the identity codes."""
    frames: dict[str, np.ndarray]
    """Per clip the indices of the frames it was trained on: those with a latent code."""
    seed: int
    progress: float = 1.0
    """Share of the training schedule that is behind it (switches smoothing)."""

    @property
    def config(self) -> TrainConfig:
        """The training config it was made with."""
        return self.system.spec.train

    @property
    def size(self) -> int:
        """Side of the training pictures in pixels."""
        return self.config.size

    @property
    def module(self) -> str:
        """Name of the interaction module."""
        return self.system.spec.module

    @property
    def identity_codes(self) -> np.ndarray:
        """(clips, d) learned identity codes."""
        return self.system.codes.identity.detach().cpu().numpy()

    @property
    def parameters(self) -> int:
        """Number of learned numbers."""
        return sum(p.numel() for p in self.system.parameters())

    def index(self, clip: str) -> int:
        """Position of a clip. Raises CastfieldError for one that the model does not know."""
        if clip not in self.clips:
            raise CastfieldError(f"the model does not know the clip '{clip}'", expected=nearest(clip, self.clips), cure="dvc repro train")
        return self.clips.index(clip)

    @torch.no_grad()
    def conditions(self, clip: str, expression: np.ndarray, latent: Tensor | None) -> tuple[Tensor, Tensor]:
        """M(e, i) (T, o) and l (T, L) for consecutive frames with expression (T, d); latent (T, L), or None for the clip's mean code."""
        system, person = self.system, self.index(clip)
        device = system.codes.identity.device
        count = len(expression)
        e = torch.from_numpy(np.asarray(expression, np.float32)).to(device)
        if latent is None:
            mean = system.codes.mean_latent(person) if system.codes.latent_dim else e.new_zeros(0)
            latent = mean.expand(count, -1)
        window = (torch.arange(count)[:, None] + torch.arange(system.window) - system.window // 2).clamp(0, count - 1)
        people = torch.full((count,), person, device=device)
        return system.condition(people, e[window], latent.to(device)[window], system.smooths(self.progress))


def build_model(config: Config, images: Sequence[ClipImages], rig: Rig | None) -> Model:
    """A fresh model for these clips, seeded. The fast field starts from the rig's fitted heads; without a rig, from nothing."""
    torch.manual_seed(config.seed)
    frames = {clip.clip: np.asarray(clip.train_frames) for clip in images}
    spec = Spec(
        config.module, images[0].track.expression.shape[1], tuple(len(f) for f in frames.values()), config.train,
        vertices=len(movers(rig)) if rig is not None else 1, heads=len(images),
    )  # fmt: skip
    system = SYSTEMS[config.system, config.train.field](spec)
    if isinstance(system, GridSystem):
        system.balance(torch.from_numpy(np.concatenate([clip.track.expression[clip.train_frames] for clip in images])))
        if rig is not None:
            system.motion.moves.copy_(moves(rig))
        side = system.config.resolutions[-1]
        side_by_side(len(images), lambda person: system.start(person, beforehand(images[person], rig, side)), abreast=not system.shared)
    return Model(system, config.system, tuple(frames), frames, config.seed)


def save_model(model: Model, folder: Path) -> Path:
    """Write `<folder>/model.pt`: plain tensors and values. The same model gives the same bytes."""
    spec = model.system.spec
    state = {name: value.detach().cpu().contiguous() for name, value in model.system.state_dict().items()}
    payload = {
        "format": FORMAT, "system": model.name, "module": spec.module, "d": spec.d, "train": asdict(spec.train), "seed": model.seed,
        "clips": list(model.clips), "frames": [torch.from_numpy(model.frames[c]) for c in model.clips], "state": state,
        "vertices": spec.vertices, "heads": spec.heads,
    }  # fmt: skip
    write(payload, folder / "model.pt")
    return folder / "model.pt"


def load_model(folder: Path, device: str = "cpu") -> Model:
    """Read `<folder>/model.pt`. Raises CastfieldError if it is absent or of another format."""
    path = Path(folder) / "model.pt"
    if not path.exists():
        raise CastfieldError("there is no model", expected=path, cure="dvc repro train")
    payload = torch.load(path, map_location="cpu", weights_only=True)
    if payload.get("format") != FORMAT:
        raise CastfieldError(
            "a model of another format", expected=FORMAT, found=payload.get("format"), where=path, cure="dvc repro -f train"
        )
    train = from_dict(TrainConfig, payload["train"], str(path))
    frames = {clip: f.numpy() for clip, f in zip(payload["clips"], payload["frames"], strict=True)}
    lengths = tuple(len(f) for f in frames.values())
    spec = Spec(payload["module"], payload["d"], lengths, train, payload["vertices"], payload["heads"])
    system = SYSTEMS[payload["system"], train.field](spec)
    system.load_state_dict(payload["state"])
    return Model(system.to(device).eval(), payload["system"], tuple(frames), frames, payload["seed"])
