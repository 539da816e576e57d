"""The ablation's table: means with their spread, and whether one person's clips find each other."""

import numpy as np
import pytest

from castfield.ablation import ROWS, Row, configured, same_person_nearest, table
from castfield.config import Config


def test_one_person_s_clips_find_each_other_or_do_not():
    codes = np.array([[0.0, 0.0], [0.1, 0.0], [3.0, 0.0], [0.0, 0.2]])
    assert same_person_nearest(codes, ["ann", "ann", "bob", "cat"]) == {"same_nearest": 1.0}
    assert same_person_nearest(codes, ["ann", "bob", "ann", "cat"]) == {"same_nearest": 0.0}
    assert same_person_nearest(codes, ["ann", "ann", "bob", "ann"]) == {"same_nearest": 1.0}
    assert same_person_nearest(codes[:2], ["ann", "bob"]) == {}


def test_rows_differ_in_what_they_say_and_in_nothing_else():
    settings = [configured(Config(), row, seed, 10) for row in ROWS for seed in row.seeds]
    assert len({repr(config) for config in settings}) == len(settings)
    for config in settings:
        assert (config.train.identity, config.train.grid.steps, config.train.grid.steps_per_clip) == ("conditioning", 10, 0)
        assert config.render.max_pairs == 0, "all ordered pairs"
    assert [row.module for row in ROWS if len(row.seeds) == 3] == ["baseline", "M", "H"]


def test_the_table_gives_mean_and_spread():
    runs = [{"acd": 0.010, "mouth_corr": 0.5, "cpu_seconds": 20.0}, {"acd": 0.030, "mouth_corr": 0.7, "cpu_seconds": 30.0}]
    text = table([(Row("`X`", "M", seeds=(0, 1)), runs), (Row("`Y`", "H"), runs[:1])])
    assert "| `X` | 0.020 ± 0.014 | 0.60 ± 0.14 |" in text
    assert "| `Y` | 0.010 | 0.50 |" in text


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_every_row_can_be_built(row):
    from castfield.fields.interaction import build_module

    train = configured(Config(), row, 0, 10).train
    assert build_module(row.module, 52, k=train.k, N=train.N, o=train.o, latent=32).out_dim > 0
