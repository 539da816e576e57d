"""What the figures are called and how they are written."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """A metric and its relatives (`_speech`, `copy_`, ...)."""

    title: str
    unit: str
    digits: int
    better: str
    """`up`, `down` or `` where neither is better as such."""


FAMILIES = {
    "psnr": Family("PSNR", "dB", 2, "up"),
    "psnr_aligned": Family("PSNR, aligned", "dB", 2, "up"),
    "ssim": Family("SSIM", "", 3, "up"),
    "lpips": Family("LPIPS", "", 3, "down"),
    "lmd": Family("LMD", "px", 2, "down"),
    "acd": Family("ACD", "", 3, "down"),
    "mouth_corr": Family("Mouth correlation", "", 2, "up"),
    "blink_corr": Family("Eye correlation", "", 2, "up"),
    "pose_err": Family("Head rotation error", "°", 2, "down"),
    "blinks_per_s": Family("Blinks per second", "", 2, ""),
    "lse_d": Family("LSE-D", "", 2, "down"),
    "lse_c": Family("LSE-C", "", 2, "up"),
    "parameters": Family("Parameters", "", 0, ""),
}
SUFFIXES = {"": "", "_speech": ", mid-speech", "_train": ", training frames", "_real": ", real frames", "_others": ", other people"}
ORDER = list(FAMILIES)


def split_name(name: str) -> tuple[str, str, bool]:
    """A metric's family, suffix and whether it is of the copy baseline; the family is `` for a name of none."""
    copied = name.startswith("copy_")
    plain = name.removeprefix("copy_")
    match = re.fullmatch(r"(.+?)(_speech|_train|_real|_others)?", plain)
    family, suffix = (match[1], match[2] or "") if match else (plain, "")
    return (family if family in FAMILIES else ""), suffix, copied


def sort_key(name: str) -> tuple[int, int, bool, str]:
    """Families in order, each figure followed by its copy baseline; unknown names last."""
    family, suffix, copied = split_name(name)
    return (ORDER.index(family) if family else len(ORDER), list(SUFFIXES).index(suffix) if family else 0, copied, name)


def title(name: str) -> str:
    """A metric's name for people, with an arrow that says which way is better."""
    family, suffix, copied = split_name(name)
    if not family:
        words = name.replace("_", " ")
        return f"ACD{words[3:]}" if words.startswith("acd ") else words[:1].upper() + words[1:]
    entry = FAMILIES[family]
    arrow = {"up": " ↑", "down": " ↓", "": ""}[entry.better]
    return f"{'copying: ' if copied else ''}{entry.title}{SUFFIXES[suffix]}{arrow}"


def figure(name: str, value: float | None, unit: bool = False) -> str:
    """A value as it is written: so many digits as the metric deserves; a dash where it is absent."""
    if value is None:
        return "–"
    family, _, _ = split_name(name)
    if not family:
        return grouped(value) if float(value).is_integer() else f"{value:.3g}"
    entry = FAMILIES[family]
    value = round(value, entry.digits) + 0.0  # no minus before a zero
    return f"{value:,.{entry.digits}f}".replace(",", "\u202f") + (f" {entry.unit}" if unit and entry.unit else "")


def count(number: int, thing: str, plural: str = "") -> str:
    """`3 clips`."""
    return f"{number} {thing if number == 1 else plural or thing + 's'}"


def grouped(number: float) -> str:
    """A number with thin spaces between thousands: whole where it is, else two digits."""
    return (f"{number:,.0f}" if float(number).is_integer() else f"{number:,.2f}").replace(",", "\u202f")
