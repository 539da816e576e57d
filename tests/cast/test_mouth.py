"""Mouth shapes follow the phonemes."""

import numpy as np
import pytest

from castfield.cast.mouth import ARTICULATORS, LEAD, activations, articulate, is_closed, visemes
from castfield.cast.voice import Phoneme, Voice, speak


def sequence(*names: str, each: float = 0.12) -> list[Phoneme]:
    return [Phoneme(name, k * each, (k + 1) * each) for k, name in enumerate(names)]


def test_every_sound_of_english_has_a_shape():
    line = "The quick brown fox jumps over the lazy dog; she thought few boys could measure our church, here or there."
    for voice in ("en-us", "en", "en-029", "en-gb-scotland"):
        assert all(visemes(p.name) for p in speak(line, Voice(voice)).phonemes)
    assert visemes("'aI") == ["AA", "IY"]
    assert visemes("_:") == ["rest"]


@pytest.mark.parametrize("name", ["p", "b", "m"])
def test_lips_meet_and_jaw_shuts(name: str):
    phonemes = sequence("'A:", name, "'A:")
    values = activations(phonemes, np.array([0.06, 0.18, 0.30]) - LEAD)
    assert is_closed(name)
    assert values["jawOpen"][1] < 0.08
    assert values["mouthPressLeft"][1] > 0.25
    assert values["jawOpen"][0] > 0.4
    assert values["jawOpen"][2] > 0.4


def test_closure_in_speech_is_never_missed():
    said = speak("Papa, my boat is very big, but Bob has more maps.", Voice("en-us+f3", rate=170))
    frames = np.arange(0, said.seconds, 0.04) + 0.02
    jaw = activations(said.phonemes, frames)["jawOpen"]
    closures = [p for p in said.phonemes if is_closed(p.name) and p.end - p.start > 0.045]
    assert len(closures) >= 6
    for p in closures:
        nearest = np.abs(frames + LEAD - (p.start + p.end) / 2).argmin()
        assert jaw[max(0, nearest - 1) : nearest + 2].min() < 0.12, p


def test_coarticulation_rounds_the_consonant():
    """/k/ between two /u:/ is rounded, between two /i:/ spread."""
    middle = np.array([0.18]) - LEAD
    rounded, _ = articulate(sequence("u:", "k", "u:"), middle)
    spread, _ = articulate(sequence("i:", "k", "i:"), middle)
    pucker, wide = ARTICULATORS.index("pucker"), ARTICULATORS.index("wide")
    assert rounded[0, pucker] > 0.5 > 0.2 > spread[0, pucker]
    assert spread[0, wide] > 0.3 > rounded[0, wide]


def test_activations_stay_in_range_and_rest_is_closed():
    said = speak("Wow, what a beautiful morning!", Voice("en"))
    values = activations(said.phonemes, np.arange(0, said.seconds, 0.04), effort=1.3)
    for name, value in values.items():
        assert value.min() >= 0, name
        assert value.max() <= 1, name
    quiet = activations([Phoneme("_", 0, 2)], np.array([1.0]))
    assert max(float(v[0]) for v in quiet.values()) < 0.02
