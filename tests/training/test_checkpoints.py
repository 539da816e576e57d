import torch

from castfield.training.checkpoints import KEEP, Checkpoints, write
from castfield.training.schedule import ParameterGroup, exponential


def test_round_trip_and_a_damaged_file(tmp_path, monkeypatch):
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path))
    checkpoints = Checkpoints("train", "key", 1e9)
    assert checkpoints.load() is None
    assert not checkpoints.due()
    checkpoints.save({"step": 3, "x": torch.arange(3)})
    assert Checkpoints("train", "key", 0).load()["step"] == 3
    checkpoints.path.write_bytes(checkpoints.path.read_bytes()[:100])
    assert checkpoints.load() is None, "a damaged checkpoint is as good as none"


def test_old_runs_are_pruned(tmp_path, monkeypatch):
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path))
    for run in range(KEEP + 3):
        Checkpoints("train", f"run{run}", 1e9).save({"step": run})
    assert len(list((tmp_path / "checkpoints/train").iterdir())) == KEEP
    assert Checkpoints("train", f"run{KEEP + 2}", 1).load()["step"] == KEEP + 2


def test_equal_tensors_give_equal_bytes(tmp_path):
    def written(value, name):
        write(value, tmp_path / name)
        return (tmp_path / name).read_bytes()

    value = lambda: {"a": torch.arange(5.0), "b": [torch.ones(2, 2), "word", "".join(["wo", "rd"]), ("x", 1)]}  # noqa: E731
    assert written(value(), "a") == written(value(), "b.pt")
    one = "".join(["wo", "rd"])
    assert written([one, one], "c") == written([one, "".join(["wor", "d"])], "d"), "equal strings, shared or not"


def test_exponential_schedule():
    assert exponential(5e-4, 5e-5, 0) == 5e-4
    assert abs(exponential(5e-4, 5e-5, 1) - 5e-5) < 1e-12
    assert abs(exponential(1.0, 0.01, 0.5) - 0.1) < 1e-12


def test_a_learning_rate_rises_over_the_first_steps_and_falls_from_then_on():
    group = ParameterGroup([], 1.0, 0.01, warm=4)
    assert [group.rate(step, 0.0) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert group.rate(99, 0.5) == exponential(1.0, 0.01, 0.5)
    assert ParameterGroup([], 1.0, 0.01).rate(0, 0.0) == 1.0
