"""The voice: the same every time, and heard where its phonemes say."""

import time

import numpy as np
import pytest

from castfield.cast.voice import SYNTH_RATE, Voice, speak

LINE = "My papa moved five big boxes."


def test_same_line_same_samples():
    first = speak(LINE, Voice("en-us+f3"))
    time.sleep(1.1)  # a seed taken from the clock would have changed
    second = speak(LINE, Voice("en-us+f3"))
    np.testing.assert_array_equal(first.samples, second.samples)
    assert first.phonemes == second.phonemes


def test_phonemes_cover_the_sound():
    said = speak(LINE, Voice("en+m3", rate=150))
    assert said.samples.dtype == np.float32
    assert 0.2 < np.abs(said.samples).max() <= 1
    assert said.phonemes[-1].end == pytest.approx(said.seconds, abs=0.01)
    for before, after in zip(said.phonemes[:-1], said.phonemes[1:], strict=True):
        assert before.start <= before.end == after.start


def test_vowels_are_louder_than_stops():
    said = speak(LINE, Voice("en-us"))

    def loudness(names: tuple[str, ...]) -> float:
        parts = [
            said.samples[int(p.start * SYNTH_RATE) : int(p.end * SYNTH_RATE)]
            for p in said.phonemes
            if p.name.lstrip("',").startswith(names)
        ]
        return float(np.sqrt(np.mean(np.concatenate(parts) ** 2)))

    assert loudness(("A:", "0", "u:", "aI", "I")) > 2 * loudness(("p", "k", "s"))


def test_voices_differ():
    low, high = speak(LINE, Voice("en-us+m7", pitch=20)), speak(LINE, Voice("en-us+f3", pitch=70))
    assert len(low.samples) != len(high.samples) or not np.allclose(low.samples, high.samples)


def test_unknown_voice_is_named():
    with pytest.raises(ValueError, match="no-such-voice"):
        speak(LINE, Voice("no-such-voice"))
