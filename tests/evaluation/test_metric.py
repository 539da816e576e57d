"""Sums add up to a mean over everything; nothing that is not finite gets through."""

import json

import numpy as np
import pytest

from castfield.evaluation.metric import Metric, Tally
from castfield.evaluation.recipes import FAMILIES, recipe


def test_clips_merge_to_the_mean_over_all_samples():
    parts, task = [np.arange(3.0), np.arange(10.0, 15.0)], Tally()
    for part in parts:
        metric, clip = Metric(), Tally()
        metric.add(part)
        clip.put("psnr", metric)
        clip.number("faces", 2)
        task.merge(Tally(**json.loads(json.dumps({"sums": clip.sums, "counts": clip.counts}))))
    assert task.compute() == {"faces": 4, "psnr": round(float(np.concatenate(parts).mean()), 4)}


def test_nothing_measured_is_left_out():
    tally = Tally()
    tally.put("acd", Metric())
    assert tally.compute() == {}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_a_fault(value):
    with pytest.raises(ValueError, match="not finite"):
        Metric().add(np.array([1.0, value]))


def test_every_metric_names_its_recipe_and_resolution():
    for name in FAMILIES:
        assert recipe(name, 128)
        assert "{" not in recipe(name, 128)
    assert "128 px" in recipe("copy_psnr_speech", 128)
    assert "nearest in pose" in recipe("copy_lpips", 128)
    assert recipe("unheard_of", 128) == ""
