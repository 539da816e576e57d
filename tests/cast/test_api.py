"""The way into the cast stays a function, whatever was imported before (a module of the same name once hid it)."""

import castfield.cast
import castfield.cast.filming
import castfield.cast.people


def test_film_and_people_are_functions():
    assert callable(castfield.cast.film)
    assert castfield.cast.film.__module__ == "castfield.cast"
    assert callable(castfield.cast.people)
