"""LPIPS with made backbone weights against NumPy and SciPy; the heads are the real ones from the wheel."""

import numpy as np
import pytest
import skimage.data
import torch
from scipy.signal import correlate

from castfield.errors import WeightsError
from castfield.evaluation.lpips import ALEXNET, Lpips, LpipsNet, head_crop, heads_file


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """A state dict with the names and shapes of torchvision's AlexNet, classifier included."""
    generator = torch.Generator().manual_seed(0)
    state = {"classifier.6.bias": torch.zeros(1000)}
    for index, inputs, outputs, kernel, *_ in ALEXNET:
        weight = torch.randn(outputs, inputs, kernel, kernel, generator=generator)
        state[f"features.{index}.weight"] = weight * (2 / (inputs * kernel**2)) ** 0.5
        state[f"features.{index}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.save(state, path)
    return path


def reference(first, second, state, heads):
    """The paper's formula by SciPy: (3, H, W) and (3, H, W) in [0, 1] -> distance."""

    def convolve(x, weight, bias, stride, pad):
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        full = np.stack([correlate(x, w, mode="valid")[0] for w in weight])
        return full[:, ::stride, ::stride] + bias[:, None, None]

    def pool(x):
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2]
        return windows.max((-1, -2))

    def features(x):
        x = (2 * x - 1 - np.array([-0.030, -0.088, -0.188])[:, None, None]) / np.array([0.458, 0.448, 0.450])[:, None, None]
        out = []
        for name, stride, pad, pooled in (("0", 4, 2, 0), ("3", 1, 2, 1), ("6", 1, 1, 1), ("8", 1, 1, 0), ("10", 1, 1, 0)):
            x = pool(x) if pooled else x
            weight, bias = (state[f"features.{name}.{kind}"].double().numpy() for kind in ("weight", "bias"))
            x = np.maximum(convolve(x, weight, bias, stride, pad), 0)
            out.append(x / (np.sqrt((x**2).sum(0)) + 1e-10))
        return out

    gaps = [(a - b) ** 2 for a, b in zip(features(first), features(second), strict=True)]
    return sum((gap * heads[f"lin{n}.model.1.weight"][0].double().numpy()).sum(0).mean() for n, gap in enumerate(gaps))


@pytest.mark.parametrize("kind", ["random", "real"])
def test_it_is_the_papers_formula(backbone, kind):
    rng = np.random.default_rng(0)
    if kind == "random":
        first, second = rng.random((2, 3, 64, 70))
    else:
        first = skimage.data.astronaut()[40:120, 180:260].transpose(2, 0, 1) / 255
        second = np.clip(first + 0.1 * rng.standard_normal(first.shape), 0, 1)
    net = LpipsNet.load(backbone, heads_file())
    ours = float(net(torch.tensor(first[None]).float(), torch.tensor(second[None]).float())[0])
    heads = torch.load(heads_file(), weights_only=True, map_location="cpu")
    assert ours == pytest.approx(reference(first, second, torch.load(backbone, weights_only=True), heads), rel=1e-4)
    assert ours > 0


def test_equal_pictures_have_no_distance_and_the_background_does_not_count(backbone):
    rng = np.random.default_rng(1)
    image = rng.random((128, 128, 3))
    mask = np.zeros((128, 128), bool)
    mask[20:100, 30:110] = True
    metric = Lpips(LpipsNet.load(backbone, heads_file()))
    metric.update(np.where(mask[..., None], image, 0.1), image, mask)
    assert metric.compute() == 0
    assert head_crop(image, mask).shape == (1, 3, 80, 80)


def test_a_small_head_is_enlarged():
    mask = np.zeros((60, 60), bool)
    mask[10:42, 10:50] = True
    assert min(head_crop(np.zeros((60, 60, 3)), mask).shape[2:]) == 64


def test_weights_that_do_not_fit_are_refused(backbone, tmp_path):
    state = torch.load(backbone, weights_only=True)
    del state["features.6.bias"]
    torch.save(state, tmp_path / "broken.pth")
    with pytest.raises(WeightsError, match=r"features\.6\.bias"):
        LpipsNet.load(tmp_path / "broken.pth", heads_file())
