"""BiSeNet: the public weights' names and shapes, labels to masks, refusals; with made weights, because the public ones are a download."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from films import photograph

from castfield import media, weights
from castfield.clip import Landmarks
from castfield.config import LandmarksConfig, ParseConfig
from castfield.errors import WeightsError
from castfield.shards import Job
from castfield.tracking.bisenet import LABELS, BiSeNet
from castfield.tracking.landmarks import track_clip
from castfield.tracking.parsing import PARSERS, parse_clip

SHAPES = {
    "cp.resnet.conv1.weight": (64, 3, 7, 7),
    "cp.resnet.layer1.0.conv1.weight": (64, 64, 3, 3),
    "cp.resnet.layer2.0.downsample.0.weight": (128, 64, 1, 1),
    "cp.resnet.layer4.1.bn2.running_var": (512,),
    "cp.arm16.conv.conv.weight": (128, 256, 3, 3),
    "cp.arm32.bn_atten.weight": (128,),
    "cp.conv_head16.bn.bias": (128,),
    "cp.conv_avg.conv.weight": (128, 512, 1, 1),
    "ffm.convblk.conv.weight": (256, 256, 1, 1),
    "ffm.conv1.weight": (64, 256, 1, 1),
    "conv_out.conv.conv.weight": (256, 256, 3, 3),
    "conv_out.conv_out.weight": (19, 256, 1, 1),
    "conv_out16.conv.conv.weight": (64, 128, 3, 3),
    "conv_out32.conv_out.weight": (19, 64, 1, 1),
}
"""Of the public file, as its publisher's code makes them."""


def made(path: Path, label: str) -> Path:
    """Weights of the true shape by which every pixel gets this label: the last layer looks for nothing else."""
    torch.manual_seed(0)
    net = BiSeNet()
    last = torch.zeros(19, 256, 1, 1)
    last[LABELS.index(label)] = 10.0
    torch.save(net.state_dict() | {"conv_out.conv_out.weight": last}, path)
    return path


def test_the_state_dict_is_the_public_one():
    state = BiSeNet().state_dict()
    assert {name: tuple(state[name].shape) for name in SHAPES} == SHAPES
    assert not any(name.startswith(("sp.", "cp.resnet.fc", "cp.resnet.layer1.0.downsample")) for name in state)
    entry = weights.known()["bisenet"]
    assert entry.size is not None
    content = sum(value.numel() * value.element_size() for value in state.values())
    assert 0 < entry.size - content < 0.002 * entry.size  # what is left is the names


def test_gradients_and_shapes():
    net = BiSeNet().eval()
    picture = torch.rand(2, 3, 64, 96, requires_grad=True)
    logits = net(picture)
    assert logits.shape == (2, 19, 64, 96)
    logits.square().mean().backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("label", "person", "head"),
    [("background", 0, None), ("cloth", 1, 0), ("hair", 1, 1), ("neck", 1, 1), ("skin", 1, 1), ("eye_g", 1, 1), ("ear_r", 1, 1)],
)
def test_labels_become_head_torso_and_background(tmp_path, label, person, head):
    frame = np.random.default_rng(0).integers(0, 255, (48, 40, 3)).astype(np.uint8)
    with PARSERS["bisenet"](made(tmp_path / "net.pth", label)) as parser:  # type: ignore[call-arg]
        parsed = parser(frame)
    assert parsed.person.shape == (48, 40)
    assert parsed.person.dtype == np.float32
    np.testing.assert_allclose(parsed.person, person, atol=0.02)
    assert parsed.head is not None
    if head is not None:
        np.testing.assert_allclose(parsed.head, head, atol=0.02)


@pytest.fixture
def clip(tmp_path):
    """Five frames of a face, with landmarks."""
    picture = cv2.resize(photograph(), (256, 256), interpolation=cv2.INTER_AREA)
    media.encode_lossless(tmp_path / "a.mkv", np.stack([np.roll(picture, k, 1) for k in range(5)]))
    track_clip(Job("a", {"frames": tmp_path / "a.mkv"}, LandmarksConfig()), tmp_path)
    return Job("a", {"frames": tmp_path / "a.mkv", "landmarks": tmp_path / "a.npz"}, ParseConfig(parser="bisenet"))


@pytest.mark.parametrize(("label", "channel"), [("cloth", 1), ("hair", 0)])
def test_a_clip_is_parsed_by_the_networks_own_split(tmp_path, clip, monkeypatch, label, channel):
    path = made(tmp_path / "net.pth", label)
    monkeypatch.setattr(weights, "find", lambda name: {"bisenet": path}[name])
    (tmp_path / "out").mkdir()
    parse_clip(clip, tmp_path / "out")
    masks = media.decode(tmp_path / "out/a.mkv").astype(int)
    assert len(masks) == len(Landmarks.load(tmp_path / "a.npz").points)
    assert (masks.sum(-1) == 255).all()
    assert masks[..., channel].mean() > 250  # everywhere, also where the place below the face would say the other


def test_without_weights_it_refuses_and_says_what_to_do(tmp_path, clip, monkeypatch):
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("CASTFIELD_MEDIA", str(tmp_path))
    with pytest.raises(WeightsError, match=r"parse.parser=bisenet cannot be used(.|\n)*python -m castfield.weights bisenet"):
        parse_clip(clip, tmp_path)


@pytest.mark.parametrize("content", [b"", b"no weights", "other"])
def test_other_weights_are_refused(tmp_path, content):
    path = tmp_path / "net.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save({"cp.resnet.conv1.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(WeightsError, match="not the weights of BiSeNet"):
        BiSeNet.load(path)
