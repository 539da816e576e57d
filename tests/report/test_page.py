"""The page of a small made project: whole, self-contained, the same bytes every time."""

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from conftest import MADE_PEOPLE as PEOPLE
from made_project import CONFIG

from castfield import media, summary
from castfield.errors import CastfieldError
from castfield.layout import Layout
from castfield.report.findings import gather
from castfield.report.page import page, run

METRICS = {
    "reconstruction": {"psnr": 31.25, "psnr_speech": 29.5, "copy_psnr": 39.0, "copy_psnr_speech": 34.75, "acd_frames": 24.0, "lpips": 0.05},
    "transfer": {"acd": 0.031, "acd_real": 0.004, "acd_others": 0.13, "mouth_corr": 0.71},
    "personal_seen": {"psnr": 30.0},
    "model": {"parameters": 123456},
}
RECIPES = {name: f"recipe of {name}, network <X> at 32 px" for values in METRICS.values() for name in values}
MANIFEST = """
title: Made & measured people
license: CC0-1.0
synthetic: {synthetic}
citation: Nobody. Made people. 2026.
clips:
  - {{name: ann, cast: ann}}
  - {{name: bob, cast: bob, person: twin}}
  - {{name: cat, cast: cat, person: twin}}
"""


@pytest.fixture(scope="module")
def project(rendered_project, tmp_path_factory) -> Layout:
    layout = Layout(shutil.copytree(rendered_project.root, tmp_path_factory.mktemp("page") / "project"))
    layout.manifest("made").parent.mkdir(parents=True, exist_ok=True)
    layout.manifest("made").write_text(MANIFEST.format(synthetic="true"))
    layout.metrics.mkdir()
    (layout.metrics / "metrics.json").write_text(json.dumps(METRICS))
    notes = {"recipes": RECIPES, "absent": {"lse_d": "no weights <here>\n  what to do: get them"}, "failed": {"ann__bob": "no face"}}
    (layout.metrics / "notes.json").write_text(json.dumps(notes))
    rows = ["task,name,identity,driver,psnr,psnr_speech,copy_psnr_speech,acd,mouth_corr"]
    rows += [f"reconstruction,{n},{n},{n},3{i}.5,2{i}.25,36.0,," for i, n in enumerate(PEOPLE)]
    rows += [f"transfer,{a}__{b},{a},{b},,,,.0{i}1,.{9 - i}" for i, (a, b) in enumerate((a, b) for a in PEOPLE for b in PEOPLE if a != b)]
    (layout.metrics / "per_clip.csv").write_text("\n".join(rows) + "\n")
    (layout.metrics / "tracking.json").write_text(json.dumps({"nme": 0.015, "clips": {n: {"nme": 0.0151} for n in PEOPLE}}))
    train = {"steps": 60, "seconds": 100.5, "parameters": 123456, "clips": 3, "train_psnr": 20.25}
    (layout.metrics / "train.json").write_text(json.dumps(train))
    (layout.metrics / "personalize.json").write_text(json.dumps({"seen": {"clip": "ann", "seconds_of_footage": 0.8, "seconds": 4.0}}))
    (layout.metrics / "curves").mkdir()
    curve = ["step,seconds,loss,psnr"] + [f"{s},{s / 2},{1 / (s + 1)},{20 + s / 10}" for s in range(0, 60, 5)]
    (layout.metrics / "curves/train.csv").write_text("\n".join(curve) + "\n")
    (layout.tracks / "failed.json").write_text(json.dumps({"dora": "no face in 9 of 10 frames\n  what to do: film <again>"}))
    return layout


@pytest.fixture(scope="module")
def text(project) -> str:
    return page(gather(CONFIG, project))


class Outline(HTMLParser):
    """Tags that are open, links and sources."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "img", "br", "line", "polyline", "rect", "circle"}:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "poster", "srcset", "data"):
                self.sources.append(value)
            elif name in ("href", "action"):
                self.links.append(value)
            elif name == "id":
                self.ids.add(value)

    def handle_endtag(self, tag):
        if tag in {"line", "polyline", "rect", "circle"}:
            return
        assert self.open.pop() == tag


def test_the_page_asks_nobody_for_anything(text):
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert outline.sources
    assert all(source.startswith("data:") for source in outline.sources)
    assert {link.removeprefix("#") for link in outline.links} <= outline.ids
    assert not re.search(r"https?://|url\(|@import|<script|<link|<iframe", text)


def test_everyone_and_every_figure_is_there_with_its_recipe(text):
    for name in PEOPLE:
        assert f"<b>{name}</b>" in text
    for values in METRICS.values():
        for name in values:
            assert f"<code>{name}</code> recipe of {name}, network &lt;X&gt; at 32 px" in text
    for written in ("31.25", "34.75", "0.031", "0.71", "NME 1.5 %", "123\u202f456"):
        assert written in text
    assert "Made &amp; measured people" in text
    assert "Nobody. Made people. 2026." in text
    assert "Chatziagapi" in text


def test_what_is_absent_or_failed_is_said(text):
    assert "no weights &lt;here&gt;<br>  what to do: get them" in text
    assert "dora" in text
    assert "film &lt;again&gt;" in text
    assert "no face" in text


def test_a_field_that_copying_beats_is_told_so(project, text):
    assert "does not beat copying" in text
    assert "34.8 dB against the field&#x27;s 29.5 dB in mid-speech" in text
    found = gather(CONFIG, project)
    found.metrics["reconstruction"].update(copy_psnr=20.0, copy_psnr_speech=20.0)
    assert "does not beat copying" not in page(found)


def test_synthetic_people_are_called_synthetic(project, text):
    assert "Synthetic people." in text
    project.manifest("made").write_text(MANIFEST.format(synthetic="false"))
    try:
        assert "Synthetic people." not in page(gather(CONFIG, project))
    finally:
        project.manifest("made").write_text(MANIFEST.format(synthetic="true"))


def test_two_clips_of_one_person_are_named_and_counted(text):
    assert "same person as cat" in text
    assert re.search(r"Of 2 clips that share their person with another clip, \d have it as nearest neighbour", text)


def test_embedded_videos_open(text, tmp_path):
    videos = re.findall(r'src="data:video/mp4;base64,([^"]+)"', text)
    assert len(videos) == 3 + 3 + 1 + 3 + 3 + 1  # tracking, reconstruction, grid, three pairs, novel views, personal
    for number, video in enumerate(videos):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(base64.b64decode(video))
        done = subprocess.run([media.ffmpeg_exe(), "-v", "error", "-xerror", "-i", str(path), "-f", "null", "-"], capture_output=True)
        assert done.returncode == 0, done.stderr
    assert sum(media.probe(tmp_path / f"{n}.mp4").has_sound for n in range(len(videos))) >= 2 + 2


def test_the_same_outs_give_the_same_bytes(project, text):
    run(CONFIG, project)
    assert (project.report / "index.html").read_text() == text
    assert str(project.root) not in text


def test_the_page_does_without_metrics(project):
    found = gather(CONFIG, project)
    for values in (found.metrics, found.per_clip, found.recipes, found.absent, found.training, found.personal, found.curve):
        values.clear()
    assert "Reconstruction" in page(found)


def test_summary_prints_the_metrics_and_the_places(project, capsys):
    run(CONFIG, project)
    summary.main(project.root)
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if line.startswith("PSNR ↑"))
    assert re.search(r"31\.25 dB\s+–\s+30\.00 dB", line)
    assert str((project.report / "index.html").resolve()) in printed
    assert "transfer: " in printed
    assert "(6 videos, such as ann__bob.mp4)" in printed


def test_summary_of_nothing_says_what_to_do(tmp_path, capsys):
    with pytest.raises(CastfieldError, match="nothing was evaluated yet"):
        summary.summary(Layout(tmp_path))
    with pytest.raises(SystemExit):
        summary.main(tmp_path)
