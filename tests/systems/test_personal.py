import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from made_scene import made_clip, made_rig

from castfield.errors import CastfieldError
from castfield.manifest import Manifest, Source
from castfield.systems import load_model, personalize, train
from castfield.systems.model import build_model
from castfield.systems.personal import adopt, belief, first_seconds, personalize_cast, without_person

sys.path.insert(0, str(Path(__file__).parent))
from small import small_config

CLIPS = [made_clip(name, 20, 24, seed=seed) for seed, name in enumerate("abcd")]


@pytest.fixture(autouse=True)
def scratch_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "scratch"))


def manifest(**people) -> Manifest:
    sources = tuple(Source(clip.clip, cast=clip.clip, person=people.get(clip.clip)) for clip in CLIPS)
    return Manifest("made", "made", "CC0", True, sources, "a", "d")


MOVES = {"grid": ("codes.identity", "field.people."), "mlp": ("codes.", "field.", "smooth_")}
"""What of a model adapts to a person, by the start of its name."""


@pytest.mark.parametrize("field", ["grid", "mlp"])
def test_the_module_is_frozen_and_what_is_the_persons_moves(field, tmp_path):
    config = small_config(field, save_seconds=60.0)
    generic, _ = train(config, CLIPS[:3], tmp_path / "generic")
    for clip in (CLIPS[0], CLIPS[3]):
        model, report = personalize(config, generic, clip, tmp_path / clip.clip)
        assert report["seen"] is (clip is CLIPS[0])
        assert report["clip"] == clip.clip
        start = dict(adopt(generic, first_seconds(clip, config.personalize.seconds), None).system.named_parameters())
        for name, value in model.system.named_parameters():
            assert torch.equal(value, start[name]) is not name.startswith(MOVES[field]), name
        for name, value in model.system.module.state_dict().items():
            assert torch.equal(value, generic.system.module.state_dict()[name]), name
        assert load_model(tmp_path / clip.clip).clips == (clip.clip,)
    again, _ = personalize(config, load_model(tmp_path / "generic"), CLIPS[3], tmp_path / "again")
    assert (tmp_path / "again/model.pt").read_bytes() == (tmp_path / "d/model.pt").read_bytes()


@pytest.mark.parametrize("identity", ["planes", "conditioning"])
def test_a_newcomer_begins_with_their_own_colours(identity, tmp_path):
    config, rig = small_config(identity=identity), made_rig()
    generic = build_model(config, CLIPS[:3], rig)
    (planes,) = adopt(generic, CLIPS[3], rig).system.field.people
    alone = build_model(config, CLIPS[3:], rig).system.field.people[0]
    everybody = torch.stack(list(generic.system.field.people)).mean(0)
    painted = (alone != 0).any(1)
    assert painted.sum() == 16 * 16, "the finest level's frontal plane"
    if identity == "planes":
        assert torch.equal(planes[painted], alone[painted])
        assert not torch.equal(alone[painted], everybody[painted])
    else:  # all share one set, which stays
        assert torch.equal(planes, everybody)


@pytest.mark.parametrize(
    ("identity", "rigged", "doubted"), [("planes", True, True), ("planes", False, False), ("conditioning", True, False)]
)
def test_of_a_newcomer_whom_the_rig_moves_less_is_believed_of_what_the_cast_taught(identity, rigged, doubted, tmp_path):
    config, rig = small_config(identity=identity), made_rig() if rigged else None
    generic, _ = train(config, CLIPS[:3], None, rig=rig, steps=2)
    taught = generic.system.expression_gain
    seconds = len(first_seconds(CLIPS[3], config.personalize.seconds).train_frames) / 25
    less = belief(made_rig(), seconds, config.personalize.doubt)
    assert less.min() < 0.5
    for clip, share in ((CLIPS[3], less if doubted else 1.0), (CLIPS[0], 1.0)):
        personalize(config, generic, clip, tmp_path, rig=rig)
        assert torch.allclose(load_model(tmp_path).system.expression_gain, share * taught)


def test_more_is_believed_from_more_footage_and_always_what_is_alike_on_everybody():
    rig = SimpleNamespace(expression_names=("eyeBlinkLeft", "eyeLookUpLeft", "jawOpen"))
    assert belief(rig, 1.0, 1.0).tolist() == [1.0, 0.5, 1.0]
    assert belief(rig, 3.0, 1.0).tolist() == [1.0, 0.75, 1.0]
    assert belief(rig, 1.0, 0.0).tolist() == [1.0, 1.0, 1.0]


def test_only_the_first_seconds_that_are_not_held_out_are_used():
    clip = CLIPS[0]
    short = first_seconds(clip, 0.4)
    assert short.train_frames.tolist() == list(range(8)) + [] if clip.split.speech[0] == 8 else short.train_frames.max() < 10
    assert not set(short.train_frames) & (set(clip.split.end) | set(clip.split.speech))
    assert short.split.end.tolist() == clip.split.end.tolist()
    with pytest.raises(CastfieldError, match="no usable frame"):
        first_seconds(clip, 0.0)


def test_the_unseen_person_is_really_unseen(tmp_path):
    config = replace(small_config("grid", save_seconds=60.0), personalize=replace(small_config().personalize, steps=3, unseen_steps=0.1))
    generic, _ = train(config, CLIPS, None, steps=4)
    film = manifest(b="same man", d="same man")
    assert [c.clip for c in without_person(film, CLIPS, "d")] == ["a", "c"]
    report = personalize_cast(config, film, generic, CLIPS, tmp_path)
    assert report["seen"]["clip"] == "a"
    assert report["seen"]["seen"]
    assert report["unseen"]["clip"] == "d"
    assert not report["unseen"]["seen"]
    assert report["without_unseen"]["clips"] == 2, "the other clip of the same person is left out, too"
    assert (tmp_path / "seen/model.pt").exists()
    assert (tmp_path / "unseen/model.pt").exists()
    held = set(CLIPS[3].split.end) | set(CLIPS[3].split.speech)
    assert not held & set(load_model(tmp_path / "unseen").frames["d"].tolist())


def test_a_cast_of_one_has_no_unseen_person(tmp_path):
    config = small_config("grid", save_seconds=60.0)
    generic, _ = train(config, CLIPS[:1], None, steps=2)
    report = personalize_cast(config, manifest(), generic, CLIPS[:1], tmp_path)
    assert "unseen" not in report
    assert not (tmp_path / "unseen").exists()
