import math

import torch

from castfield.fields.encodings import encode, encoded_dim


def test_against_loops():
    x = torch.randn(3, 2, dtype=torch.float64)
    found = encode(x, 4)
    assert found.shape == (3, encoded_dim(2, 4)) == (3, 18)
    for n in range(3):
        expected = [*x[n].tolist()]
        expected += [math.sin(2**j * math.pi * v) for j in range(4) for v in x[n].tolist()]
        expected += [math.cos(2**j * math.pi * v) for j in range(4) for v in x[n].tolist()]
        torch.testing.assert_close(found[n], torch.tensor(expected, dtype=torch.float64))


def test_paper_sizes_and_gradient():
    assert (encoded_dim(3, 10), encoded_dim(3, 4)) == (63, 27)
    assert torch.autograd.gradcheck(lambda x: encode(x, 3), torch.randn(2, 3, dtype=torch.float64, requires_grad=True))
