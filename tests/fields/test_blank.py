"""Memory that a cast begins with: zeros, and none of it taken before somebody is written to."""

import numpy as np
import pytest
import torch

from castfield.fields.blank import blank, move
from castfield.systems.learn import peak_memory


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
@pytest.mark.parametrize("shape", [(3,), (0, 4), (5, 7, 11)])
@pytest.mark.parametrize("whole", [True, False])
def test_blank_is_zeros_that_can_be_written_to(shape, kind, whole):
    found = blank(*shape, kind=kind, whole=whole)
    assert found.shape == shape
    assert torch.equal(found, torch.zeros(shape, dtype=found.dtype))
    assert found.dtype == torch.from_numpy(np.zeros(1, kind)).dtype
    found += 1
    assert (found == 1).all()


def test_blank_takes_no_memory_before_it_is_written_to():
    before = peak_memory()
    wide = blank(1 << 30)  # 4 GiB
    wide[12345] = 1
    assert peak_memory() - before < 64


def test_moving_all_the_way_forgets_what_was_there():
    known = torch.tensor([float("nan"), 1.0])
    move(known, torch.tensor([2.0, 3.0]), 1)
    assert known.tolist() == [2.0, 3.0]
    move(known, torch.tensor([4.0, 3.0]), 0.25)
    assert known.tolist() == [2.5, 3.0]
