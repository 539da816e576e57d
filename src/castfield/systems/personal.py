"""Adapting a trained model to one person (MI-NeRF, section 3.4): fine-tuning from a little footage, the module frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from castfield.clip import Split
from castfield.config import Config
from castfield.errors import CastfieldError
from castfield.images import ClipImages
from castfield.manifest import Manifest
from castfield.media import FPS
from castfield.rigs import Rig
from castfield.systems.beforehand import Known, beforehand
from castfield.systems.learn import fit_model, report_of, steps_for, train
from castfield.systems.mi_nerf import GridSystem
from castfield.systems.model import Model, save_model
from castfield.training.distributed import leads, threads

THEIR_OWN = ("codes.", "field.people.", "field.prior", "motion.", "proposal.")
"""Parts of a model that hold something of each person."""
ALIKE = ("eyeBlink", "jawOpen")
"""Actions, by the start of their names, that look alike on everybody: a lid covers the eye, and lips part before teeth."""


def personalize_cast(
    config: Config, manifest: Manifest, generic: Model, images: Sequence[ClipImages], out: Path | None, rig: Rig | None = None
) -> dict[str, Any]:
    """Personalise to the manifest's two people: `<out>/seen/model.pt` and `<out>/unseen/model.pt` (unless out is None); returns the report.

    The unseen person is really unseen: where the generic model knows them, one without any clip of them is trained first,
    with `personalize.unseen_steps` of the steps. With a cast of one person there is no unseen one.
    """
    clips = {clip.clip: clip for clip in images}
    seen = clips.get(manifest.personal_seen, images[0])
    report: dict[str, Any] = {}
    _, report["seen"] = personalize(config, generic, seen, out and out / "seen", rig=rig, title=f"personalize {seen.clip}")
    unseen = clips.get(manifest.personal_unseen, images[-1])
    others = without_person(manifest, images, unseen.clip)
    if not others:
        if leads():
            print("personalize: the cast is one person, so nobody is left to be unseen")
        return report
    known = set(generic.clips) - {clip.clip for clip in others}
    if known:
        steps = max(1, round(config.personalize.unseen_steps * steps_for(config, len(others))))
        generic, base = train(config, others, None, rig=rig, steps=steps, title=f"train without {unseen.clip}")
        report["without_unseen"] = {k: v for k, v in base.items() if k != "curve"}
    _, report["unseen"] = personalize(config, generic, unseen, out and out / "unseen", rig=rig, title=f"personalize {unseen.clip}")
    return report


def without_person(manifest: Manifest, images: Sequence[ClipImages], clip: str) -> list[ClipImages]:
    """The clips that do not show the person of `clip`: two clips may show the same one (`person` in the manifest)."""
    person = {source.name: source.person or source.name for source in manifest.clips}
    return [other for other in images if person.get(other.clip, other.clip) != person.get(clip, clip)]


def first_seconds(clip: ClipImages, seconds: float) -> ClipImages:
    """The clip with only the training frames of its first `seconds` to learn from; what is held out stays held out."""
    known = clip.split.train[clip.split.train < round(seconds * FPS)]
    if not len(known[clip.track.valid[known]]):
        raise CastfieldError(f"the first {seconds} s of '{clip.clip}' hold no usable frame", cure="raise personalize.seconds")
    return replace(clip, split=Split(known, clip.split.end, clip.split.speech))


def personalize(
    config: Config, generic: Model, clip: ClipImages, out: Path | None, *, rig: Rig | None = None, title: str = "personalize"
) -> tuple[Model, dict[str, Any]]:
    """Adapt a model to one person, from the first `personalize.seconds` of their clip; what is not theirs alone stays (`kept_parameters`).

    The person gets a model of their own, with their identity code (and planes) as the generic model has them, or, for
    somebody it never saw, with the mean of the cast's. Writes `<out>/model.pt` unless out is None.
    """
    torch.set_num_threads(threads(config.train.threads))
    short = first_seconds(clip, config.personalize.seconds)
    model = adopt(generic, short, rig, config.personalize.doubt)
    for parameter in model.system.kept_parameters():
        parameter.requires_grad_(False)
    steps, share = config.personalize.steps, config.personalize.lr_share
    history = fit_model("personalize", model, [short], config, steps, title=title, lr_share=share)
    if out is not None:
        save_model(model, out)
    report = report_of(model, history, [short])
    report.pop("curve")
    return model, {
        "clip": clip.clip,
        "seen": clip.clip in generic.clips,
        "seconds_of_footage": round(len(short.train_frames) / FPS, 2),
        **report,
    }


def adopt(generic: Model, clip: ClipImages, rig: Rig | None, doubt: float = 0.0) -> Model:
    """A model of one person, made of a generic one. Latent codes start at the person's mean code, or at the cast's.

    doubt: see `belief`; of somebody new with planes of their own, whom the rig moves.
    """
    source = generic.system
    frames = {clip.clip: np.asarray(clip.train_frames)}
    spec = replace(source.spec, frames=(len(clip.train_frames),))
    system = type(source)(spec)
    known = generic.clips.index(clip.clip) if clip.clip in generic.clips else None
    own = {k: v for k, v in system.state_dict().items()}
    for name, value in source.state_dict().items():
        if name in own and own[name].shape == value.shape and not name.startswith(THEIR_OWN):
            own[name] = value.clone()
    system.load_state_dict(own)
    with torch.no_grad():
        system.codes.identity[0] = _own_or_mean(source.codes.identity, known)
        if system.codes.latent_dim:
            means = torch.stack([source.codes.mean_latent(p) for p in range(len(generic.clips))])
            system.codes.tables[0].copy_(_own_or_mean(means, known).expand_as(system.codes.tables[0]))
        if isinstance(source, GridSystem) and isinstance(system, GridSystem):
            _adopt_grid(source, system, known, beforehand(clip, rig, source.config.resolutions[-1]))
            if known is None and rig is not None and not source.shared:
                system.expression_gain.mul_(belief(rig, len(clip.train_frames) / FPS, doubt))
    return Model(system, generic.name, (clip.clip,), frames, generic.seed)


def belief(rig: Rig, seconds: float, doubt: float) -> Tensor:
    """(d,) in [0, 1]: how far what the cast taught of each action is believed of somebody new, of whom there are so many seconds.

    The rig moves a head; what an action does besides (shadows, wrinkles, a gaze) the cast learned of each of its faces, and a little
    footage of another does not tell what of it goes for all. From `doubt` seconds half is believed, and more from more; what is
    `ALIKE`, always.
    """
    share = seconds / (seconds + doubt)
    return torch.tensor([1.0 if name.startswith(ALIKE) else share for name in rig.expression_names])


def _own_or_mean(values: Tensor, known: int | None) -> Tensor:
    return values.mean(0) if known is None else values[known]


def _adopt_grid(source: GridSystem, system: GridSystem, known: int | None, own: Known) -> None:
    system.motion.moves.copy_(source.motion.moves)
    planes = torch.stack(list(source.field.people))
    system.field.people[0].copy_(_own_or_mean(planes, None if source.shared else known))
    if known is None:
        system.start(0, replace(own, colour=None, motion=None) if source.shared else own)
        if source.shared:
            system.field.prior.copy_(source.field.prior)
            system.motion.load_state_dict(source.motion.state_dict())
    else:
        own_or_all = 0 if source.shared else known
        system.field.prior[0] = source.field.prior[own_or_all]
        system.motion.start(0, source.motion.rest[own_or_all], source.motion.near[own_or_all], source.motion.share[own_or_all])
        system.proposal.start(0, source.proposal.density[known], source.proposal.hull[known].flatten() > 0)
