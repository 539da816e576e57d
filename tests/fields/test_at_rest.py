"""How heads are moved by the rig, and how points are looked up where they lie at rest."""

from __future__ import annotations

import pytest
import torch

from castfield.fields.motion import NEIGHBOURS, SIDE, Motion, at_rest


def moving(people: int = 3, d: int = 5) -> Motion:
    """People who are moved smoothly, by up to a twentieth of the box."""
    torch.manual_seed(0)
    motion = Motion(people, d, people * SIDE * SIDE, 1)
    coarse = torch.nn.functional.interpolate(torch.randn(people * d, 2, 6, 6), (SIDE, SIDE), mode="bilinear") * 0.004
    for person, actions in enumerate(coarse.permute(0, 2, 3, 1).unflatten(0, (people, d))):  # a vertex for each place of each person
        vertices = slice(person * SIDE * SIDE, (person + 1) * SIDE * SIDE)
        motion.moves[:, vertices] = actions.flatten(1, 2)
        near = torch.arange(vertices.start, vertices.stop, dtype=torch.int32)[:, None]
        motion.start(person, torch.randn(d), near, torch.ones(SIDE * SIDE, 1))
    return motion


def plain(monkeypatch, compute):
    """The result without the kernels."""
    with monkeypatch.context() as patch:
        patch.setenv("CASTFIELD_KERNELS", "off")
        return compute()


def test_a_point_goes_back_to_where_it_came_from():
    motion, people = moving(), torch.tensor([2, 0])
    maps = motion.maps(people, torch.randn(2, 5))
    rest = torch.rand(2, 400, 3) * 1.6 - 0.8
    shift = torch.nn.functional.grid_sample(maps.permute(0, 3, 1, 2), rest[:, :, None, :2], padding_mode="border", align_corners=False)
    seen = torch.cat([rest[..., :2] + shift[..., 0].transpose(1, 2), rest[..., 2:]], -1)
    assert (seen - rest).abs().max() > 0.02
    torch.testing.assert_close(at_rest(seen, maps), rest, atol=2e-3, rtol=0)


def test_nobody_moves_at_rest_or_before_the_start():
    motion, unit = moving(), torch.rand(3, 50, 3) * 2 - 1
    assert torch.equal(at_rest(unit, motion.maps(torch.arange(3), motion.rest)), unit)
    assert torch.equal(at_rest(unit[:1], Motion(1, 5, 1).maps(torch.tensor([0]), torch.randn(1, 5))), unit[:1])


def test_kernels_and_plain_torch_agree(monkeypatch):
    motion, people, expression = moving(), torch.tensor([1, 1, 0, 0]), torch.randn(4, 5)
    unit = torch.rand(4, 700, 3) * 2.4 - 1.2
    maps = motion.maps(people, expression)
    torch.testing.assert_close(maps, plain(monkeypatch, lambda: motion.maps(people, expression)), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(at_rest(unit, maps), plain(monkeypatch, lambda: at_rest(unit, maps)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bits_depend_neither_on_threads_nor_on_other_frames(threads):
    motion, people, expression = moving(), torch.tensor([1, 1, 0]), torch.randn(3, 5)
    whole, before = motion.maps(people, expression), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(motion.maps(people, expression), whole)
        assert torch.equal(motion.maps(people[1:], expression[1:]), whole[1:])
        unit = torch.rand(3, 600, 3) * 2 - 1
        assert torch.equal(at_rest(unit, whole)[2:], at_rest(unit[2:], whole[2:]))
    finally:
        torch.set_num_threads(before)


def test_a_place_shows_the_mean_of_its_neighbours_and_a_common_head_the_mean_of_all():
    torch.manual_seed(0)
    own, common, expression = Motion(3, 5, 40), Motion(1, 5, 40, 3 * NEIGHBOURS), torch.randn(3, 5)
    own.moves.normal_()
    common.moves.copy_(own.moves)
    for person in range(3):
        near, share = torch.randint(0, 40, (SIDE * SIDE, NEIGHBOURS), dtype=torch.int32), torch.rand(SIDE * SIDE, NEIGHBOURS)
        own.start(person, torch.zeros(5), near, share)
        common.start(0, torch.zeros(5), near, share, 1 / (person + 1), person)
    found = torch.stack([own.maps(torch.tensor([person]), expression[:1])[0] for person in range(3)])
    torch.testing.assert_close(common.maps(torch.tensor([0]), expression[:1])[0], found.mean(0), atol=1e-5, rtol=1e-5)
    place = (share[7, :, None] * torch.einsum("d,dvc->vc", expression[0], own.moves)[near[7].long()]).sum(0)
    torch.testing.assert_close(found[2].view(-1, 2)[7], place, atol=1e-5, rtol=1e-5)
