"""The figures of the bench as a table, for the terminal and for `docs/speed.md`."""

from __future__ import annotations

from typing import Any

NAMES = {
    "device": "measured on",
    "steps_per_second": "training steps a second",
    "samples_per_second": "samples a second",
    "attainable_gflops": "attainable GFLOP/s",
    "attainable_gbytes": "attainable GB/s",
    "share_of_flops": "share of the attainable FLOP/s",
    "share_of_bandwidth": "share of the attainable bandwidth",
    "share_of_limit": "share of the limit that binds",
    "step_ms": "a step's time by part, ms",
    "psnr_speech_20s": "mid-speech PSNR after 20 s, dB",
    "psnr_speech_90s": "mid-speech PSNR after 90 s, dB",
    "psnr_90s": "PSNR at the end after 90 s, dB",
    "hd_psnr_speech": "clips of 512 px at 256 px: mid-speech PSNR, dB",
    "hd_seconds": "... 28 dB after s",
    "hd_nme": "... NME of the track, share of the inter-ocular distance",
    "hd_jitter_ratio": "... its jitter over that of raw landmarks",
    "hd_lip_range": "... its range of the lips' opening over theirs",
    "hd_lip_corr": "... its correlation with theirs",
    "paper_field_psnr_speech": "the paper's field has, dB",
    "paper_field_seconds": "... after s",
    "fast_field_seconds": "... which the fast field has after s",
    "ratio_to_paper_field": "so many times sooner",
    "t_real": "seconds to 29.5 dB, by number of real people",
    "t8_t1": "T(8) / T(1), the median of the rounds",
    "t8_t1_rounds": "... in each round",
    "t_crowd": "seconds to 29.5 dB, by number of synthetic people",
    "t100_t1": "T(100) / T(1), the median of the rounds",
    "t100_t1_rounds": "... in each round",
    "fps_128": "rendered frames a second at 128 px",
    "fps_512": "rendered frames a second at 512 px",
    "personal_1s_gap_db": "unseen person from 1 s: short of the cast's by dB",
    "personal_1s_seconds": "... in s",
    "personal_2s_gap_db": "unseen person from 2.5 s: short of the cast's by dB",
    "personal_2s_seconds": "... in s",
    "mib_of_clips": "MiB held in training, by number of 30 s clips",
    "mib_per_clip": "MiB per further clip",
    "mib_per_long_clip": "... of 300 s",
    "tracking_ratio": "landmarks + parse + fit over the footage's length",
}


def table(figures: dict[str, Any]) -> str:
    """Lines `name  value`; what was not measured is left out, what was not reached says so."""
    shown = _rows(figures)
    width = max(len(name) for name, _ in shown)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in shown)


def markdown(figures: dict[str, Any]) -> str:
    """The same as Markdown."""
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in _rows(figures))])


def _rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, _text(figures[key])) for key, name in NAMES.items() if key in figures]


def _text(value: Any) -> str:
    if value is None:
        return "not reached"
    if isinstance(value, dict):
        counts = all(key.isdigit() for key in value)  # a file has them as text: 100 before 20
        items = sorted(value.items(), key=lambda item: int(item[0])) if counts else value.items()
        return ", ".join(f"{key}: {_text(item)}" for key, item in items)
    return f"{value:,}" if isinstance(value, int) else str(value)
