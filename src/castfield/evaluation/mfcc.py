"""Mel-frequency cepstra as SyncNet was trained on them (the conventions of python_speech_features 0.6).

Sixteen-bit amplitudes, pre-emphasis .97, no window function, 512-point power spectrum, 26 triangles over 0..8 kHz, 13 cepstra,
lifter 22, the first cepstrum replaced by the log energy.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

RATE, FRAME, HOP, BINS, FILTERS, CEPSTRA, LIFTER = 16_000, 400, 160, 512, 26, 13, 22


def filterbank() -> np.ndarray:
    """(26, 257) triangles, evenly spaced in mel (O'Shaughnessy), their corners on whole bins."""
    mel = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), FILTERS + 2)
    corner = np.floor((BINS + 1) * 700 * (10 ** (mel / 2595) - 1) / RATE)
    bins = np.arange(BINS // 2 + 1)[None]
    low, middle, high = corner[:-2, None], corner[1:-1, None], corner[2:, None]
    rise, fall = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.where((bins >= low) & (bins < middle), rise, np.where((bins >= middle) & (bins < high), fall, 0.0))


def mfcc(sound: np.ndarray) -> np.ndarray:
    """Sound (N,) in [-1, 1] at 16 kHz -> (M, 13), one row each 10 ms."""
    signal = np.round(np.asarray(sound, np.float64) * 32768)
    signal = np.append(signal[:1], signal[1:] - 0.97 * signal[:-1])
    count = 1 + max(0, -(-(len(signal) - FRAME) // HOP))
    signal = np.pad(signal, (0, max(0, (count - 1) * HOP + FRAME - len(signal))))
    frames = np.lib.stride_tricks.sliding_window_view(signal, FRAME)[::HOP][:count]
    power = np.abs(np.fft.rfft(frames, BINS)) ** 2 / BINS
    tiny = np.finfo(float).eps

    def log(x: np.ndarray) -> np.ndarray:
        return np.log(np.where(x == 0, tiny, x))

    cepstra = dct(log(power @ filterbank().T), type=2, axis=1, norm="ortho")[:, :CEPSTRA]
    cepstra *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / LIFTER)
    cepstra[:, 0] = log(power.sum(1))
    return cepstra
