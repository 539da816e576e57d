"""PSNR, aligned PSNR and SSIM against scikit-image, torchmetrics, SciPy and plain formulas."""

import numpy as np
import pytest
import skimage.data
import torch
from scipy.ndimage import map_coordinates
from scipy.ndimage import shift as ndimage_shift
from scipy.optimize import minimize
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio as torch_psnr
from torchmetrics.functional.image import structural_similarity_index_measure as torch_ssim

from castfield.evaluation.psnr import AlignedPsnr, Psnr, Shifter, best_shift, psnr
from castfield.evaluation.ssim import Ssim, ssim_map


def random_pair(seed, size=40):
    rng = np.random.default_rng(seed)
    target = rng.random((size, size, 3))
    return np.clip(target + 0.1 * rng.standard_normal(target.shape), 0, 1), target, rng.random((size, size)) > 0.4


def real_pair():
    target = skimage.data.astronaut()[20:148, 160:288] / 255
    rng = np.random.default_rng(1)
    mask = np.hypot(*np.mgrid[-64:64, -64:64]) < 50
    return np.clip(target * 0.9 + 0.02 * rng.standard_normal(target.shape), 0, 1), target, mask


@pytest.fixture(params=["random", "real"])
def pair(request):
    return random_pair(0) if request.param == "random" else real_pair()


def test_psnr_is_that_of_scikit_image_and_torchmetrics(pair):
    prediction, target, mask = pair
    ours = psnr(prediction, target, mask)
    assert ours == pytest.approx(peak_signal_noise_ratio(target[mask], prediction[mask], data_range=1), abs=1e-9)
    theirs = torch_psnr(torch.tensor(prediction[mask]), torch.tensor(target[mask]), data_range=1.0)
    assert ours == pytest.approx(float(theirs), abs=1e-5)


def test_psnr_ignores_what_lies_outside_the_mask():
    prediction, target, mask = random_pair(0)
    changed = np.where(mask[..., None], prediction, 0.5)
    assert psnr(changed, target, mask) == psnr(prediction, target, mask)


def test_psnr_is_the_mean_over_frames_and_not_of_the_error():
    a, b = random_pair(1), random_pair(2)
    b = (b[0] * 0.5, *b[1:])
    metric = Psnr()
    metric.update(*a)
    metric.update(*b)
    assert metric.compute() == pytest.approx((psnr(*a) + psnr(*b)) / 2)


def test_no_error_is_a_hundred_decibels():
    _, target, mask = random_pair(0)
    assert psnr(target, target, mask) == pytest.approx(100)


def test_an_empty_mask_is_refused():
    prediction, target, mask = random_pair(0)
    for metric in (Psnr(), Ssim()):
        with pytest.raises(ValueError, match="mask is empty"):
            metric.update(prediction, target, mask & False)


def test_ssim_is_that_of_scikit_image(pair):
    prediction, target, mask = pair
    _, theirs = structural_similarity(
        prediction, target, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, channel_axis=-1, full=True
    )
    np.testing.assert_allclose(ssim_map(prediction, target), theirs, atol=1e-9)
    metric = Ssim()
    metric.update(prediction, target, mask)
    assert metric.compute() == pytest.approx(theirs[mask].mean(), abs=1e-9)


def test_ssim_is_that_of_torchmetrics_inside(pair):
    prediction, target, _ = pair
    a, b = (torch.tensor(x.transpose(2, 0, 1)[None]) for x in (prediction, target))
    theirs = torch_ssim(a, b, data_range=1.0, return_full_image=True)[1][0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ssim_map(prediction, target)[8:-8, 8:-8], theirs[8:-8, 8:-8], atol=1e-6)


def test_no_shift_gives_the_picture_back():
    image = np.random.default_rng(0).random((9, 12, 3))
    np.testing.assert_allclose(Shifter(image)(0, 0), image, atol=1e-12)


def test_a_whole_pixel_moves_to_its_neighbour():
    image = np.random.default_rng(0).random((9, 12, 3))
    np.testing.assert_allclose(Shifter(image)(1, 0)[:, 1:], image[:, :-1], atol=1e-12)
    np.testing.assert_allclose(Shifter(image)(0, -1)[:-1], image[1:], atol=1e-12)


def test_a_fraction_of_a_pixel_is_that_of_scipy():
    image = np.random.default_rng(0).random((20, 24, 3))
    theirs = ndimage_shift(image, (-0.3, 0.6, 0), order=3, mode="mirror")
    np.testing.assert_allclose(Shifter(image)(0.6, -0.3)[2:-2, 2:-2], theirs[2:-2, 2:-2], atol=1e-9)


def waves(dx, dy, size=48):
    y, x = np.mgrid[:size, :size]
    x, y = x - dx, y - dy
    return np.stack([0.5 + 0.4 * np.sin(x / 3 + y / 7), 0.5 + 0.4 * np.cos(y / 4), 0.5 + 0.4 * np.sin((x - y) / 5)], -1)


@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.3, -0.45), (-0.7, 0.2), (1.0, 0.0)])
def test_a_known_shift_is_found(offset):
    mask = np.zeros((48, 48), bool)
    mask[8:40, 8:40] = True
    found, error = best_shift(waves(0, 0), waves(*offset), mask)
    np.testing.assert_allclose(found, offset, atol=1 / 64)
    assert error < 1e-5


def test_the_shift_keeps_within_reach():
    mask = np.zeros((48, 48), bool)
    mask[8:40, 8:40] = True
    found, _ = best_shift(waves(0, 0), waves(2.5, 1.0), mask)
    assert np.linalg.norm(found) <= 1 + 1e-9


def test_the_best_shift_is_that_of_a_continuous_optimiser():
    """SciPy's cubic splines and Nelder-Mead: another interpolation and another search."""
    prediction, target, mask = real_pair()
    prediction = np.roll(prediction, 1, axis=1) * 0.6 + prediction * 0.4
    y, x = np.mgrid[:128, :128].astype(float)

    def error(offset):
        at = [y - offset[1], x - offset[0]]
        moved = np.stack([map_coordinates(prediction[..., c], at, order=3, mode="mirror") for c in range(3)], -1)
        return np.mean((moved[mask] - target[mask]) ** 2)

    theirs = minimize(error, [-0.5, 0.1], method="Nelder-Mead", options={"xatol": 1e-3})
    found, ours = best_shift(prediction, target, mask)
    np.testing.assert_allclose(found, theirs.x, atol=0.04)
    assert 10 * np.log10(ours / theirs.fun) == pytest.approx(0, abs=0.15)


def test_aligning_never_costs():
    for seed in range(3):
        prediction, target, mask = random_pair(seed)
        aligned = AlignedPsnr()
        aligned.update(prediction, target, mask)
        assert aligned.compute() >= psnr(prediction, target, mask) - 1e-9
