"""Who is in the cast."""

import numpy as np
import pytest
import torch

from castfield.cast import people
from castfield.cast.body import identity_of
from castfield.cast.people import PEOPLE, find
from castfield.errors import ManifestError


def test_unknown_person_is_refused_with_the_nearest_name():
    with pytest.raises(ManifestError, match="did you mean 'chandra'"):
        find("chandre")


def test_people_differ_in_every_way():
    assert len(people()) >= 6
    for part in ("seed", "voice", "lines", "face", "hair", "clothes", "room", "temper"):
        values = [str(getattr(person, part)) for person in PEOPLE.values()]
        assert len(set(values)) == len(values), part


def test_faces_differ_by_millimetres(rig, rig_folder):
    identities = {name: identity_of(person, rig, rig_folder) for name, person in PEOPLE.items()}
    shapes = {name: rig.landmarks(torch.from_numpy(i), torch.zeros(rig.d)).numpy() for name, i in identities.items()}
    names = list(shapes)
    for k, first in enumerate(names):
        for second in names[k + 1 :]:
            a, b = (shapes[n] - shapes[n].mean(0) for n in (first, second))
            assert np.linalg.norm(a - b, axis=-1).mean() > 0.002, (first, second)


def test_traits_move_the_face_as_they_say(rig, rig_folder):
    """Men's jaws are wider than women's, on average over the rig's population."""
    with np.load(rig_folder / "body.npz") as z:
        traits = dict(zip(z["trait_names"].tolist(), z["traits"], strict=True))
    woman = rig.landmarks(torch.from_numpy(0.5 * traits["gender"]).float(), torch.zeros(rig.d))
    man = rig.landmarks(torch.from_numpy(-0.5 * traits["gender"]).float(), torch.zeros(rig.d))

    def jaw(points: torch.Tensor) -> float:
        return float((points[172] - points[397]).norm())

    assert jaw(man) > jaw(woman) + 0.002
