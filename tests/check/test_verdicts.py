"""Every spoiled video gets its verdict and exactly its findings, real footage as it is is good, and the stages agree."""

from __future__ import annotations

from pathlib import Path

import pytest
from spoiled import CASES, CODE, ffmpeg

from castfield.check.evidence import Evidence, gather
from castfield.check.finding import VERDICTS, Level
from castfield.check.result import Result, result
from castfield.config import Config
from castfield.errors import ClipError
from castfield.footage import Footage
from castfield.frames import cut_clip
from castfield.shards import Job
from castfield.tracking.landmarks import track_clip

REAL = ("bbaf2n", "brbk7n", "lbax4n", "lbbc2a", "lrwp9a", "lwbsza", "pwij3p", "sbia1a", "swwp2s")
HD = ("aoc", "vr1", "vr5")


@pytest.fixture(scope="module")
def looked(media, tmp_path_factory):
    """Evidence of a spoiled video by name; each is made and looked at once."""
    folder, kept = tmp_path_factory.mktemp("spoiled"), {}

    def look(name: str) -> Evidence:
        if name not in kept:
            path = folder / f"{name}{CASES[name].suffix}"
            CASES[name].make(media, path)
            kept[name] = gather(path, Config())
        return kept[name]

    return look


def remarks(judged: Result) -> set[str]:
    """Names of the findings that are more than a note."""
    return {finding.name for _, finding in judged.findings if finding.level > Level.NOTE}


@pytest.mark.parametrize("name", CASES)
def test_a_spoiled_video(name, looked):
    judged = result(name, looked(name))
    assert remarks(judged) == CASES[name].findings
    assert VERDICTS[judged.level] == CASES[name].verdict
    for _, finding in judged.findings:
        assert finding.text.endswith(".")
        assert bool(finding.cure) == (finding.level > Level.FINE), f"{finding.name}: a fault and its cure go together"
        assert all(0 <= frame <= max(judged.evidence.frames, 1) for frame in finding.frames)


@pytest.mark.parametrize("name", [*(f"grid/{name}.mpg" for name in REAL), *(f"hd/{name}.mp4" for name in HD)])
def test_real_footage_is_good(name, media):
    judged = result(name, gather(media / name, Config()))
    assert remarks(judged) == set()
    assert VERDICTS[judged.level] == "good"
    notes = {finding.name for _, finding in judged.findings if finding.level == Level.NOTE}
    assert notes == {"length"} | ({"steady_rate"} if "vr1" in name else set())  # all are short; one has a varying rate


def refusal(path: Path, folder: Path) -> ClipError | None:
    """What the stages `frames` and `landmarks` refuse a video for."""
    folder.mkdir()
    Footage(path.name, "", f"path: {path}").save(folder / "about.json")
    config = Config()
    try:
        cut_clip(Job(path.stem, {"footage": path, "about": folder / "about.json"}, config.frames), folder)
        track_clip(Job(path.stem, {"frames": folder / f"{path.stem}.mkv"}, config.landmarks), folder)
    except ClipError as error:
        return error
    return None


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "refused" in case.findings])
def test_what_the_stages_refuse_is_refused_with_their_words(name, looked, tmp_path):
    evidence = looked(name)
    theirs = refusal(evidence.path, tmp_path / "out")
    assert theirs is not None
    assert evidence.refusals[0].fault == theirs.fault
    assert evidence.refusals[0].expected == theirs.expected


@pytest.mark.parametrize("name", ["leaves_for_a_while", "on_its_side", "tiny_face", "damaged", "cut_to_another_person", "still_picture"])
def test_what_is_not_refused_goes_through_the_stages(name, looked, tmp_path):
    assert looked(name).refusals == ()
    assert refusal(looked(name).path, tmp_path / "out") is None


@pytest.fixture(scope="module")
def long(media, tmp_path_factory):
    """Eighty seconds of one person, and the same with somebody else in the second half."""
    folder = tmp_path_factory.mktemp("long")
    same, other = folder / "same.mp4", folder / "other.mp4"
    quick = (*CODE, "-preset", "ultrafast", "-g", "50")
    ffmpeg("-stream_loop", "26", "-i", media / "grid/bbaf2n.mpg", "-t", "80", *quick, same)
    ffmpeg(
        "-stream_loop", "13", "-i", media / "hd/aoc.mp4", "-vf", "crop=512:410:0:51,scale=360:288", "-t", "40", *quick, folder / "half.mp4"
    )
    joined = "[0:v]trim=0:40,setsar=1[a];[1:v]setsar=1,setpts=PTS-STARTPTS[b];[a][b]concat=n=2:v=1[v]"
    ffmpeg("-i", same, "-i", folder / "half.mp4", "-filter_complex", joined, "-map", "[v]", "-map", "0:a", *quick, other)
    return same, other


def test_of_a_long_film_only_stretches_are_decoded(long):
    same, other = (gather(path, Config()) for path in long)
    for evidence in (same, other):
        assert len(evidence.parts) > 10
        assert evidence.frames == pytest.approx(2000, abs=2)
        assert evidence.decoded is not None
        assert sum(map(len, evidence.decoded.thumbs)) < 0.6 * evidence.frames
        assert evidence.decoded.at.max() > 0.9 * evidence.frames
    assert "people" not in remarks(result("same", same))
    assert {"cuts", "people"} <= remarks(result("other", other))
