"""LSE: MFCC against golden numbers, the network's shapes, offsets of made embeddings, the face track."""

import numpy as np
import pytest
import torch
from scipy.fft import dct

from castfield.errors import WeightsError
from castfield.evaluation import lse
from castfield.evaluation.mfcc import filterbank, mfcc
from castfield.evaluation.syncnet import SyncNet

# Names and shapes in the public file `syncnet_v2.model`.
PUBLIC = {
    "netcnnaud.0.weight": (64, 1, 3, 3), "netcnnaud.4.weight": (192, 64, 3, 3), "netcnnaud.8.weight": (384, 192, 3, 3),
    "netcnnaud.11.weight": (256, 384, 3, 3), "netcnnaud.14.weight": (256, 256, 3, 3), "netcnnaud.18.weight": (512, 256, 5, 4),
    "netcnnaud.19.running_var": (512,),
    "netfcaud.0.weight": (512, 512), "netfcaud.1.running_mean": (512,), "netfcaud.3.weight": (1024, 512),
    "netfclip.0.weight": (512, 512), "netfclip.3.bias": (1024,), "netcnnlip.0.weight": (96, 3, 5, 7, 7),
    "netcnnlip.4.weight": (256, 96, 1, 5, 5),
    "netcnnlip.8.weight": (256, 256, 1, 3, 3), "netcnnlip.11.weight": (256, 256, 1, 3, 3), "netcnnlip.14.weight": (256, 256, 1, 3, 3),
    "netcnnlip.18.weight": (512, 256, 1, 6, 6), "netcnnlip.19.bias": (512,),
}  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Made weights in the public file's form: no batch counters."""
    torch.manual_seed(0)
    state = {k: v for k, v in SyncNet().state_dict().items() if not k.endswith("num_batches_tracked")}
    path = tmp_path_factory.mktemp("weights") / "syncnet_v2.model"
    torch.save(state, path)
    return path


def test_mfcc_has_the_numbers_of_python_speech_features():
    t = np.arange(1600) / 16000
    sound = np.round(8000 * np.sin(2 * np.pi * 440 * t) + 2000 * np.sin(2 * np.pi * 3000 * t)) / 32768
    golden = [20.3229, 7.3996, -9.1156, 23.9284, -40.5045, -46.958, 5.9829, -30.8605, -17.2679, 40.2714, 8.2756, 5.6546, 33.3007]
    found = mfcc(sound)
    assert found.shape == (9, 13)
    np.testing.assert_allclose(found[3], golden, atol=1e-4)


def test_mfcc_is_the_plain_formula_frame_by_frame():
    sound = np.round(np.random.default_rng(0).standard_normal(1000) * 3000) / 32768
    signal = sound * 32768
    emphasised = [signal[0]] + [signal[i] - 0.97 * signal[i - 1] for i in range(1, 1000)] + [0.0] * 400
    for row, found in enumerate(mfcc(sound)):
        spectrum = np.abs(np.fft.fft(emphasised[160 * row : 160 * row + 400], 512)[:257]) ** 2 / 512
        cepstra = dct(np.log(filterbank() @ spectrum), norm="ortho")[:13] * (1 + 11 * np.sin(np.pi * np.arange(13) / 22))
        cepstra[0] = np.log(spectrum.sum())
        np.testing.assert_allclose(found, cepstra, atol=1e-6)


def test_silence_is_finite():
    assert np.isfinite(mfcc(np.zeros(3200))).all()


def test_the_network_has_the_public_names_and_shapes(weights):
    state = SyncNet.load(weights).state_dict()
    for name, shape in PUBLIC.items():
        assert tuple(state[name].shape) == shape
    rows = {name.split(".")[0] for name in state}
    assert rows == {"netcnnaud", "netfcaud", "netcnnlip", "netfclip"}


def test_weights_of_something_else_are_refused(tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.model")
    (tmp_path / "text.model").write_text("not weights")
    for name in ("other.model", "text.model"):
        with pytest.raises(WeightsError, match="SyncNet's weights do not fit"):
            SyncNet.load(tmp_path / name)


def test_embeddings_are_those_of_single_windows(weights):
    net = SyncNet.load(weights)
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
    sound = rng.standard_normal(8 * 640) * 0.1
    mouth, heard = lse.embeddings(net, crops, sound)
    assert mouth.shape == heard.shape == (3, 1024)
    window = torch.tensor(crops[2:7].transpose(3, 0, 1, 2)[None]).float()
    cepstra = torch.tensor(mfcc(sound)[8:28].T[None, None]).float()
    with torch.no_grad():
        np.testing.assert_allclose(mouth[2], net.mouth(window)[0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(heard[2], net.sound(cepstra)[0], rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="too short"):
        lse.embeddings(net, crops[:5], sound)


@pytest.mark.parametrize("lag", [0, 3, -4])
def test_a_made_offset_is_recovered(lag):
    """Sound that says at t what the mouth shows at t + lag leads by `lag` frames."""
    signal = torch.randn(80, 1024, generator=torch.Generator().manual_seed(0))
    found = lse.synchrony(signal[10:70], signal[10 + lag : 70 + lag])
    assert found.offset == lag
    reference = []
    mouth, sound = signal[10:70].numpy(), np.pad(signal[10 + lag : 70 + lag].numpy(), ((15, 15), (0, 0)))
    for offset in range(31):
        reference.append(np.mean([np.linalg.norm(mouth[t] - sound[t + offset] + 1e-6) for t in range(60)]))
    assert found.distance == pytest.approx(min(reference), rel=1e-5)
    assert found.confidence == pytest.approx(np.median(reference) - min(reference), rel=1e-4)
    assert found.offset == 15 - int(np.argmin(reference))


def test_the_face_track_is_padded_filtered_and_bgr():
    frames = np.zeros((20, 100, 120, 3), np.uint8)
    frames[..., 0] = 200
    boxes = np.tile([40.0, 30.0, 80.0, 70.0], (20, 1))
    boxes[9] = [0, 0, 10, 10]  # an outlier that the median removes
    crops = lse.face_crops(frames, boxes)
    assert crops.shape == (20, 224, 224, 3)
    assert (crops[9] == crops[10]).all()
    assert tuple(crops[10, 112, 112]) == (0, 0, 200)  # red last
    near = lse.face_crops(frames, np.tile([0.0, 60.0, 40.0, 100.0], (20, 1)))
    assert tuple(near[10, 223, 112]) == (110, 110, 110)  # beyond the picture
    # Half side 20: from one half side above the centre to 1.8 below, 1.4 to each side.
    marked = frames.copy()
    marked[:, 30:86, 32:88, 1] = 255
    inside = lse.face_crops(marked, boxes)[10][..., 1]
    assert (inside[2:-2, 2:-2] == 255).mean() > 0.95
