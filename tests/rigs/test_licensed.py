"""BFM, FLAME and SMPL-X through the same code as Anny: made files of the true formats are baked, fitted to the cast, trained on."""

from __future__ import annotations

import importlib
import pickle
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).parent))
import made_models

from castfield import rigs
from castfield.clip import Crop, Landmarks
from castfield.config import FitConfig, RigConfig
from castfield.errors import CastfieldError, ConfigError
from castfield.rigs import BAKERS, CAST, Rig, cast_folder, correspondence
from castfield.rigs.correspondence import expressions
from castfield.rigs.licensed import read_arrays
from castfield.rigs.pickled import read_pickle
from castfield.scratch import fingerprint, scratch
from castfield.tracking.face_model import FaceModel
from castfield.tracking.fit_metrics import measure
from castfield.tracking.landmark_fit import fit
from castfield.tracking.photometric import Surface
from castfield.tracking.truth_metrics import measure_truth

LICENSED = {"bfm": 79, "flame": 108, "smplx": 106}
"""Model and d: expression directions, and for the skinned ones jaw open and sideways, two lids (FLAME), two ways of either eye."""


def bake(model: str, folder: Path, **settings) -> Rig:
    return importlib.import_module(BAKERS[model]).bake(RigConfig(model=model, path=str(folder), **settings))[0]


@pytest.fixture(scope="module", params=sorted(LICENSED))
def licensed(request, rig, tmp_path_factory) -> tuple[str, Rig]:
    """Name and baked rig of each licensed model, from a made file; kept in the scratch folder until rigs or made files change."""
    sources = sorted(Path(importlib.import_module("castfield.rigs").__file__).parent.glob("*.py"))
    path = scratch("tests", f"licensed-{fingerprint(*sources, Path(made_models.__file__))}", f"{request.param}.npz")
    if not path.exists():
        folder = tmp_path_factory.mktemp(request.param)
        getattr(made_models, f"write_{request.param}")(folder, rig)
        views = correspondence.views
        with pytest.MonkeyPatch.context() as patch:  # half of the pictures: these heads are as smooth as Anny's, and three are baked
            patch.setattr(correspondence, "views", lambda rig: views(rig)[::2])
            bake(request.param, folder).save(path)
    return request.param, Rig.load(path)


@pytest.fixture(scope="module")
def spoken(rig, rig_folder):
    """Two seconds of the cast's Ada: the tracker's points, here exact but for noise of 0.3 pixels, and the truth."""
    from castfield.cast.body import Body, identity_of
    from castfield.cast.filming import SIZE, Shot
    from castfield.cast.people import find
    from castfield.cast.performance import perform

    person = find("ada")
    shot = Shot(person, rig, Body(person, rig, identity_of(person, rig, rig_folder)), perform(person, 2.0))
    head = rig.landmarks(shot.body.identity, torch.from_numpy(shot.expression)).numpy()
    rotation, translation = (np.stack([getattr(pose, name) for pose in shot.poses]) for name in ("rotation", "translation"))
    camera = head @ rotation.transpose(0, 2, 1) + translation[:, None]
    points = shot.focal * camera[..., :2] / camera[..., 2:] + SIZE / 2
    known = {
        "rotation": rotation, "translation": translation, "expression": shot.expression, "landmarks": points,
        "focal": shot.focal, "size": SIZE, "fps": 25.0,
    }  # fmt: skip
    seen = points + np.random.default_rng(0).normal(0, 0.3, points.shape)
    frames = len(points)
    points = np.concatenate([seen, camera[..., 2:]], -1).astype(np.float32)
    tracked = Landmarks(points, np.ones(frames), np.ones(frames, bool), "made", points[..., :2])
    jaw = shot.expression[:, rig.expression_names.index("jawOpen")]
    return tracked, SIZE, known, jaw


def test_a_rig_of_the_same_protocol(licensed, rig):
    model, own = licensed
    assert own.d == LICENSED[model] == len(own.expression_names) == len(set(own.expression_names))
    assert own.identity_dim == 100
    low, high = own.expression_range.T
    actions = low >= 0
    assert (high[actions] == 1).all()
    assert (low[~actions] == -3).all()
    names = [name for name, one_sided in zip(own.expression_names, actions, strict=True) if one_sided]
    assert names == {"bfm": [], "flame": ["jawOpen", "eyeBlinkLeft", "eyeBlinkRight"], "smplx": ["jawOpen"]}[model]
    assert own.vertices(torch.zeros(2, 1, 100), torch.zeros(3, own.d)).shape == (2, 3, len(own.neutral), 3)
    assert (own.faces < len(own.neutral)).all()
    assert len(expressions(own)) >= 10


def test_landmarks_are_where_annys_are(licensed, rig):
    """Rendered without a label of any part (BFM: in its own colours) and tracked: the made heads are Anny's, so the answer is known."""
    _, own = licensed
    mean = [r.landmarks(torch.zeros(r.identity_dim), torch.zeros(r.d)) for r in (own, rig)]
    apart = 1000 * (mean[0] - mean[1]).norm(dim=1)
    assert own.landmark_valid.float().mean() > 0.9
    assert apart.median() < 1.5
    assert apart.quantile(0.9) < 4
    assert (1000 * (own.eye_centres - rig.eye_centres)).norm(dim=1).max() < 4
    corners = own.neutral[own.faces]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((normal * (corners.mean(1) - own.neutral.mean(0))).sum(-1) > 0).float().mean() > 0.8


def test_the_same_fit_lays_it_on_the_cast(licensed, rig, spoken, tmp_path):
    """Stated: NME at most 1.5 % of the distance of the eyes (noise alone makes 0.7 %), rotation within 1.5 degrees, lips that move."""
    _, own = licensed
    tracked, size, known, jaw = spoken
    track = fit(own, tracked, size, FitConfig())
    figures = measure(track, tracked)
    assert figures["nme"] < 0.015
    assert figures["lip_corr"] > 0.97
    assert 0.9 < figures["lip_range"] < 1.1
    np.savez(tmp_path / "truth.npz", **known)
    errors = measure_truth(
        track, tmp_path / "truth.npz", Crop((0, 0, size), size, (size, size), 25.0, len(track), 0.0, False), rig.expression_names
    )
    assert errors["rotation_deg"] < 1.5
    assert errors["lateral_mm"] < 3
    assert "expression_corr" not in errors  # directions of another model have no counterpart in the truth
    low, high = own.expression_range.numpy().T
    assert (track.expression >= low - 1e-6).all()
    assert (track.expression <= high + 1e-6).all()
    assert track.expression.min() < -0.1  # signed
    if "jawOpen" in own.expression_names:
        assert np.corrcoef(track.expression[:, own.expression_names.index("jawOpen")], jaw)[0, 1] > 0.8
    assert len(Surface.of(own, track.identity).normals) > 1000


def test_seventy_nine_dimensions_train_and_render(licensed, tmp_path, monkeypatch):
    """A real, short training of the fast field on a made person with a track of this rig, a step of the paper's, and pictures of both."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "systems"))
    from made_scene import made_clip
    from small import small_config

    from castfield.rendering.animate import render_frames
    from castfield.systems import train

    _, own = licensed
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "scratch"))
    clip = made_clip("a", 20, 32, d=own.d)
    clip = replace(clip, track=replace(clip.track, identity=np.zeros(own.identity_dim, np.float32)))
    psnr = {}
    for field, steps in (("grid", 120), ("mlp", 1)):
        config = small_config(field, size=32)
        sized = replace(getattr(config.train, field), steps=steps, **({"steps_per_clip": 0} if field == "grid" else {}))
        config = replace(config, train=replace(config.train, **{field: sized}))
        trained, report = train(config, [clip], tmp_path / field, rig=own)
        assert report["steps"] == steps
        at = clip.train_frames[:3]
        moved = clip.track.expression[at], clip.track.rotation[at], clip.track.translation[at]
        frames, opacity = render_frames(trained, "a", *moved, clip.focal, clip.background[[0, 0, 0]])
        assert frames.shape == (3, 32, 32, 3)
        assert np.isfinite(opacity).all()
        psnr[field] = -10 * np.log10(np.mean((frames / 255 - clip.frames[at] / 255) ** 2))
    assert psnr["grid"] > 20
    assert psnr["grid"] > psnr["mlp"] + 3


@pytest.mark.parametrize("model", sorted(LICENSED))
def test_without_a_file_the_page_and_the_licence_are_named(model, tmp_path):
    with pytest.raises(ConfigError, match=rf"rig.model={model} needs `rig.path`(.|\n)*https://(.|\n)*rig.model=anny, which is free"):
        importlib.import_module(BAKERS[model]).bake(RigConfig(model=model))
    with pytest.raises(CastfieldError, match=r"a file of the model is missing(.|\n)*https://(.|\n)*research"):
        bake(model, tmp_path)


def test_expressions_of_bfm_are_asked_for_and_read_in_both_forms(rig, tmp_path, monkeypatch):
    from castfield.rigs import bfm

    heads = {}
    monkeypatch.setattr(bfm, "assemble", lambda head, *_: head)
    for form in ("binary", "reduced"):
        (tmp_path / form).mkdir()
        made_models.write_bfm(tmp_path / form, rig, form)
        heads[form] = bake("bfm", tmp_path / form)
    fewer = bake("bfm", tmp_path / "reduced", expressions=64)
    assert fewer.expression.shape[0] == len(fewer.names) == 64
    apart, same = cKDTree(heads["binary"].neutral).query(heads["reduced"].neutral)
    assert len(heads["reduced"].neutral) > 20000
    shared = apart < 1e-5  # metres; the rim of the neck is in one form only
    assert shared.mean() > 0.97
    for k in (0, 40, 78):
        np.testing.assert_allclose(heads["reduced"].expression[k, shared], heads["binary"].expression[k, same[shared]], atol=1e-5)
    (tmp_path / "binary/std_exp.txt").unlink()
    with pytest.raises(CastfieldError, match="Exp_Pca.bin with std_exp.txt and BFM_exp_idx.mat, or exp_info.npy"):
        bake("bfm", tmp_path / "binary")
    np.savetxt(tmp_path / "binary/std_exp.txt", np.ones(64))
    with pytest.raises(CastfieldError, match=r"`std_exp` has another shape(.|\n)*79(.|\n)*64"):
        bake("bfm", tmp_path / "binary")
    whole = (tmp_path / "binary/Exp_Pca.bin").read_bytes()
    (tmp_path / "binary/Exp_Pca.bin").write_bytes(whole[:-400])
    with pytest.raises(CastfieldError, match="expression file has another shape"):
        bake("bfm", tmp_path / "binary")


def _changed(path: Path, **changes) -> None:
    with np.load(path, allow_pickle=True) as stored:
        values = dict(stored)
    np.savez(path, **{k: v for k, v in (values | changes).items() if v is not None})


def test_files_of_another_shape_are_refused(rig, tmp_path):
    made_models.write_smplx(tmp_path, rig)
    path = tmp_path / "SMPLX_NEUTRAL_2020.npz"
    whole = path.read_bytes()
    for changes, said in (
        ({"weights": None}, "`weights` is missing"),
        ({"v_template": np.zeros((6890, 3))}, r"`v_template` has another shape(.|\n)*10475x3(.|\n)*6890"),
        ({"shapedirs": np.zeros((10475, 3, 11), np.float32)}, "another number of directions"),
        ({"f": np.full((5, 3), 10475)}, "names vertices that are not there"),
        ({"v_template": np.full((10475, 3), np.nan)}, "not finite"),
    ):
        path.write_bytes(whole)
        _changed(path, **changes)
        with pytest.raises(CastfieldError, match=said):
            bake("smplx", tmp_path)
    path.write_bytes(whole)
    with np.load(path, allow_pickle=True) as stored:
        decimetres = 10 * stored["v_template"]
    _changed(path, v_template=decimetres)
    with pytest.raises(CastfieldError, match="no human size"):
        bake("smplx", tmp_path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(CastfieldError, match="cannot be read"):
        bake("smplx", tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        # The header of a file that MATLAB saved with -v7.3: SciPy raises NotImplementedError, and names the way out.
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384), "HDF reader"),
        (b"nothing of the kind".ljust(200), "MATLAB file"),
        (b"", "MATLAB file"),
    ],
)
def test_a_matlab_file_that_cannot_be_read_is_named(tmp_path, content, said):
    path = tmp_path / "01_MorphableModel.mat"
    path.write_bytes(content)
    with pytest.raises(CastfieldError) as refused:
        read_arrays(path)
    assert said in str(refused.value)
    assert path.name in str(refused.value)


def test_a_head_that_is_no_face_is_refused(tmp_path):
    from castfield.rigs.assembly import Head, assemble

    ball = made_models.Cut(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]]))
    for _ in range(5):
        ball = ball.halved(np.ones(len(ball.faces), bool))
    points = 0.1 * ball.values / np.linalg.norm(ball.values, axis=1, keepdims=True)
    points = np.concatenate([points * s for s in ((1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, 1))])
    faces = np.concatenate([ball.faces + k * len(ball.values) for k in range(4)])
    none = np.zeros((1, len(points), 3))
    head = Head(points, none, none, ("expression00",), np.array([False]), faces, np.zeros((2, len(points)), bool))
    with pytest.raises(CastfieldError, match="does not take the rendered heads for faces"):
        assemble(head, RigConfig(), "a ball")


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit",))


def test_a_pickle_that_does_anything_is_refused(tmp_path):
    (tmp_path / "generic_model.pkl").write_bytes(pickle.dumps({"v_template": Evil()}, protocol=2))
    with pytest.raises(CastfieldError, match=r"not a pickle of arrays(.|\n)*exec"):
        bake("flame", tmp_path)
    (tmp_path / "generic_model.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(CastfieldError, match="no named arrays"):
        bake("flame", tmp_path)


def test_chumpy_is_read_without_chumpy(tmp_path):
    with made_models.chumpy() as wrap:
        whole = wrap(np.arange(6.0))
        picked, computed = wrap(None), wrap(None)
        picked.__dict__ = {"a": whole, "idxs": np.array([5, 1]), "preferred_shape": (2, 1)}
        computed.__dict__ = {"a": whole, "b": whole}
        (tmp_path / "a.pkl").write_bytes(pickle.dumps({"x": whole, "y": picked, "z": computed}, protocol=2))
    assert "chumpy" not in sys.modules
    found = read_pickle(tmp_path / "a.pkl")
    np.testing.assert_array_equal(found["x"], np.arange(6.0))
    np.testing.assert_array_equal(found["y"], [[5], [1]])
    assert found["z"] is None


def test_the_cast_stays_annys(rig_folder, tmp_path, monkeypatch):
    """Whatever is baked for the footage, the model that synthetic people are made of lies beside it."""
    from made_scene import made_rig

    for name, d in (("anny", 3), ("flame", 5)):
        module = types.ModuleType(f"made_{name}")
        module.bake = lambda config, d=d: (made_rig(d), {"settings": np.array([config.model, config.path])})  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(BAKERS, name, module.__name__)
    rigs.bake(RigConfig(model="flame", path="somewhere"), tmp_path)
    assert rigs.load_rig(tmp_path).d == 5
    assert rigs.load_rig(cast_folder(tmp_path)).d == 3
    with np.load(cast_folder(tmp_path) / "body.npz") as body:
        assert body["settings"][0] == CAST == "anny"
    assert cast_folder(rig_folder) == rig_folder


def test_flame_without_lids_says_so(rig, tmp_path, monkeypatch, capsys):
    from castfield.rigs import flame

    made_models.write_flame(tmp_path, rig, lids=False)
    monkeypatch.setattr(flame, "assemble", lambda head, *_: head)
    head = bake("flame", tmp_path)
    assert [name for name, action in zip(head.names, head.one_sided, strict=True) if action] == ["jawOpen"]
    assert "blinks will not be fitted" in capsys.readouterr().out


def test_the_linearised_jaw_is_the_skinned_one(rig, tmp_path):
    """Against skinning written out: exact at the fully open jaw; half way there off by the height of the arc over its chord."""
    from castfield.rigs import flame
    from castfield.rigs.licensed import read_arrays
    from castfield.rigs.skinned import OPEN, Skinned

    path = made_models.write_flame(tmp_path, rig) / "generic_model.pkl"
    values = read_arrays(path)
    model = Skinned.read(flame.LICENCE, values, path, 5023, 5, {400: 300})
    joint = values["J_regressor"][2] @ values["v_template"]
    arc = np.linalg.norm(values["v_template"] - joint, axis=1)[values["weights"][:, 2] > 0].max() * OPEN**2 / 8
    for share, tolerance in ((1.0, 1e-6), (0.5, arc)):
        turn = Rotation.from_rotvec([share * OPEN, 0, 0]).as_matrix()
        corrected = values["v_template"] + values["posedirs"][:, :, 9:18] @ (turn - np.eye(3)).ravel()
        weight = values["weights"][:, [2]]
        opened = (1 - weight) * corrected + weight * ((corrected - joint) @ turn.T + joint)
        linear = values["v_template"] + share * model.turned(2, (OPEN, 0, 0))
        assert np.linalg.norm(opened - linear, axis=1).max() < 1.1 * tolerance
    lips = values["weights"][:, 2] > 0.5
    assert (model.turned(2, (OPEN, 0, 0))[lips, 1]).mean() < -0.01  # opening goes down


def test_priors_follow_from_the_rig(licensed, rig):
    _, own = licensed
    model, annys = FaceModel.of(own), FaceModel.of(rig)
    assert annys.one_sided.all()
    np.testing.assert_allclose(annys.deviation, 0.3, atol=1e-6)
    assert (model.deviation[~model.one_sided] == 1).all()
    assert (model.one_sided == (own.expression_range[:, 0] >= 0).numpy()).all()
