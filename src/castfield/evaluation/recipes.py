"""How every figure in `metrics.json` is computed, for the page that prints it."""

from __future__ import annotations

import re

from castfield.evaluation import copying
from castfield.evaluation.acd import Acd
from castfield.evaluation.expression import BlinkCorrelation, BlinkRate, Lmd, MouthCorrelation, PoseError
from castfield.evaluation.lpips import Lpips
from castfield.evaluation.lse import LseC, LseD
from castfield.evaluation.metric import Metric
from castfield.evaluation.psnr import AlignedPsnr, Psnr
from castfield.evaluation.ssim import Ssim

FAMILIES: dict[str, type[Metric]] = {
    "psnr": Psnr, "psnr_aligned": AlignedPsnr, "ssim": Ssim, "lpips": Lpips, "lmd": Lmd, "acd": Acd, "mouth_corr": MouthCorrelation,
    "blink_corr": BlinkCorrelation, "pose_err": PoseError, "blinks_per_s": BlinkRate, "lse_d": LseD, "lse_c": LseC,
}  # fmt: skip
"""Metric by name. Adding one is one class and one line."""

SUFFIXES = {
    "_speech": "of the held-out block in the middle of speech",
    "_train": "of training frames: how well they are learned, no test",
    "_real": "of the real frames beside it: what a perfect render would score",
}
PLAIN = {
    "acd_frames": "frames whose face embedding was asked for",
    "acd_frames_without_face": "frames of these in which the detector found no face",
    "acd_real": "ACD of the real frames themselves: every other one of a clip against the rest; the least that can be expected",
    "acd_others": "ACD of the driver's real frames against the target's, same pairs: what a render of the wrong person would score",
    "frames_without_landmarks": "rendered frames in which the landmark network found no face; they count in no correlation",
    "frames_without_head": "held-out frames whose real head mask is empty; they count in no picture metric",
    "parameters": "parameters of the generic model",
}


def recipe(name: str, size: int) -> str:
    """The recipe of the figure `name` for renders of `size` px; `` for a name that is none of ours."""
    if name in PLAIN:
        return PLAIN[name]
    copied = name.startswith("copy_")
    match = re.fullmatch(r"(.*?)((?:_speech|_train|_real)?)", name.removeprefix("copy_"))
    family = FAMILIES.get(match[1]) if match else None
    if family is None or match is None:
        return ""
    text = family.recipe.replace("{size}", str(size))
    if family in (Psnr, AlignedPsnr, Ssim, Lpips, Lmd) and not match[2]:
        text = f"of the last tenth of each clip, never trained on; {text}"
    if match[2]:
        text = f"{SUFFIXES[match[2]]}; {text}"
    return f"{copying.RECIPE}; {text}" if copied else text
