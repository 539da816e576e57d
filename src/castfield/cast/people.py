"""The people of the cast: who they are, how they look, what they say and how."""

from __future__ import annotations

from dataclasses import dataclass, field

from castfield.cast.motion import Temper
from castfield.cast.voice import Voice
from castfield.errors import ManifestError, nearest


@dataclass(frozen=True)
class Hair:
    """A hairstyle; lengths in metres."""

    style: str = "short"
    """`short`, `crop`, `bob`, `long`, `bun`, `curly` or `none`."""
    colour: str = "#3a2618"
    length: float = 0.05
    part: float = 0.03
    """Where the parting lies, metres to the person's left."""
    beard: str = "none"
    """`none`, `stubble` or `full`."""
    beard_colour: str = "#3a2618"


@dataclass(frozen=True)
class Face:
    """Colours and marks of the skin and the eyes, as sRGB."""

    skin: str = "#c99a7c"
    lips: str = "#a85d55"
    flush: float = 1.0
    """Redness of cheeks, nose and ears."""
    brows: str = "#3a2618"
    brow_weight: float = 1.0
    """Fullness of the brows."""
    iris: str = "#6b4a2b"
    freckles: float = 0.0
    age: float = 0.0
    """Depth of the lines, 0 to 1."""
    oil: float = 1.0
    """Shine of the skin."""
    liner: float = 0.5
    """Darkness of the line along the lids."""


@dataclass(frozen=True)
class Clothes:
    """What is worn."""

    neck: str = "crew"
    """`crew`, `vee`, `roll` or `shirt`."""
    colour: str = "#2f6f73"
    second: str = "#e8e2d5"
    pattern: str = "plain"
    """`plain`, `knit`, `stripes` or `check`."""


@dataclass(frozen=True)
class Room:
    """The blurred room behind: wall, light and accent colours, as sRGB."""

    wall: str = "#7d8a8c"
    light: str = "#d9cdb8"
    accents: tuple[str, ...] = ("#4d5b52", "#a2684a", "#c7b08a")


@dataclass(frozen=True)
class Person:
    """One synthetic person."""

    name: str
    seed: int
    traits: dict[str, float]
    """Phenotypes in [0, 1] that shape the head on average (`gender` 0 male to 1 female, `age` 0.67 young to 1 old, ...)."""
    individuality: float
    """Standard deviations by which the person differs from the average of these traits."""
    voice: Voice
    lines: tuple[str, ...]
    """Sentences, said in turn."""
    temper: Temper = field(default_factory=Temper)
    hair: Hair = field(default_factory=Hair)
    face: Face = field(default_factory=Face)
    clothes: Clothes = field(default_factory=Clothes)
    room: Room = field(default_factory=Room)
    distance: float = 1.15
    """Metres from the camera."""
    seconds: float = 5.0
    """Length of the film unless another is asked for."""


_CAST = (
    Person(
        "ada",
        seed=11,
        traits={"gender": 1.0, "age": 0.70, "muscle": 0.45, "weight": 0.45, "african": 0.1, "asian": 0.1, "caucasian": 0.8},
        individuality=1.15,
        voice=Voice("en-us+f3", rate=152, pitch=55, liveliness=60),
        lines=(
            "Hello, my name is Ada, and I am made of numbers.",
            "Maybe you would like to see my face move while I speak.",
            "Every morning I buy warm bread and a bowl of plum jam.",
        ),
        temper=Temper(turn=(8.0, 4.0, 3.5), rest=(4, 0, -1), brows=0.45, smile=0.22),
        hair=Hair("long", "#3f2a1c", 0.225, part=0.02),
        face=Face(skin="#dcae90", lips="#b5605c", brows="#3d2718", brow_weight=0.85, iris="#58613a", freckles=0.5, liner=0.8),
        clothes=Clothes("crew", "#1f6468", pattern="knit"),
        room=Room("#8a8578", "#e2d3b4", ("#55614f", "#b0744e", "#d4be97")),
    ),
    Person(
        "bo",
        seed=23,
        traits={"gender": 0.05, "age": 0.74, "muscle": 0.6, "weight": 0.55, "african": 0.0, "asian": 1.0, "caucasian": 0.0},
        individuality=1.15,
        voice=Voice("en+m3", rate=148, pitch=38, liveliness=45),
        lines=(
            "Good evening, this is Bo with the weather for both coasts.",
            "Fog moves over the valley, but we hope for a bright moon.",
            "Please pack a thick jumper if you visit the harbour before five.",
        ),
        temper=Temper(turn=(7.0, 3.5, 2.5), rest=(-5, 1, 1), brows=0.3, smile=0.12, blinks=0.5),
        hair=Hair("short", "#14100e", 0.055, part=0.035),
        face=Face(skin="#cfa27c", lips="#a1655a", brows="#15100d", brow_weight=1.2, iris="#3a2415", flush=0.7, liner=0.35),
        clothes=Clothes("vee", "#27364f", "#5b6c88"),
        room=Room("#5f6f7d", "#b9c6cf", ("#39485a", "#8d6e57", "#c9a878")),
    ),
    Person(
        "chandra",
        seed=37,
        traits={"gender": 1.0, "age": 0.78, "muscle": 0.45, "weight": 0.6, "african": 0.35, "asian": 0.25, "caucasian": 0.4},
        individuality=1.15,
        voice=Voice("en-029+f2", rate=158, pitch=48, liveliness=65),
        lines=(
            "We measured the voyage of a small blue moth above my garden.",
            "People believe that proof is a path, but often it is a bridge.",
            "Which of these five problems would you move to the front?",
        ),
        temper=Temper(turn=(7.5, 4.0, 3.5), rest=(2, -1, 2), brows=0.5, smile=0.18, nod=3.5),
        hair=Hair("bun", "#17100d", 0.16, part=0.0),
        face=Face(skin="#96633f", lips="#8d4a45", brows="#150e0b", brow_weight=1.05, iris="#2f1c10", flush=0.5, oil=1.2, liner=1.0),
        clothes=Clothes("roll", "#7c2438", pattern="knit"),
        room=Room("#a08b76", "#ecd9b5", ("#6b4a3c", "#4f6a66", "#d8a85c")),
    ),
    Person(
        "dmitri",
        seed=41,
        traits={"gender": 0.0, "age": 0.93, "muscle": 0.55, "weight": 0.75, "african": 0.0, "asian": 0.1, "caucasian": 0.9},
        individuality=1.15,
        voice=Voice("en-us+m7", rate=138, pitch=22, liveliness=40),
        lines=(
            "My father built boats, and his father built boats before him.",
            "A good plane moves over the wood like a whisper through a room.",
            "You push, you wait, and the shape comes up by itself.",
        ),
        temper=Temper(turn=(6.5, 3.5, 3.0), rest=(-2, 2, -2), brows=0.35, smile=0.14, blinks=0.35, effort=1.1),
        hair=Hair("none", "#8d8780", beard="full", beard_colour="#857d74"),
        face=Face(skin="#d3a086", lips="#a4635a", brows="#7b726a", brow_weight=1.3, iris="#5d6c74", flush=1.5, age=0.9, liner=0.2),
        clothes=Clothes("shirt", "#7a3b34", "#d8cbb6", "check"),
        room=Room("#6d6257", "#cdb389", ("#40362e", "#7d5537", "#5c6b6a")),
    ),
    Person(
        "femi",
        seed=59,
        traits={"gender": 0.1, "age": 0.68, "muscle": 0.65, "weight": 0.4, "african": 1.0, "asian": 0.0, "caucasian": 0.0},
        individuality=1.15,
        voice=Voice("en+m1", rate=165, pitch=42, liveliness=65),
        lines=(
            "Above the market you can hear seven drums before breakfast.",
            "My brother moves the beat, I follow, and the whole room jumps.",
            "Bring a friend, bring both feet, and please pay with a smile.",
        ),
        temper=Temper(turn=(8.0, 4.0, 3.5), rest=(3, 0, 2), brows=0.5, smile=0.28, nod=4.0, effort=1.1),
        hair=Hair("curly", "#120d0b", 0.05),
        face=Face(skin="#6f432b", lips="#75413a", brows="#0f0a08", brow_weight=1.1, iris="#24140c", flush=0.3, oil=1.5, liner=0.3),
        clothes=Clothes("crew", "#d08a2c", "#f1e6cf", "stripes"),
        room=Room("#4f6d69", "#d6e0cf", ("#2f4a49", "#c9793f", "#e0c27a")),
    ),
    Person(
        "greta",
        seed=73,
        traits={"gender": 0.95, "age": 0.97, "muscle": 0.4, "weight": 0.5, "african": 0.0, "asian": 0.0, "caucasian": 1.0},
        individuality=1.15,
        voice=Voice("en-gb-scotland+f4", rate=145, pitch=50, liveliness=55),
        lines=(
            "Before the war of the roses we had only apples by the wall.",
            "Now I grow five beds of them, and the bees move in every May.",
            "Come by, bring the children, and mind the thorns.",
        ),
        temper=Temper(turn=(7.0, 4.0, 4.0), rest=(-3, -1, -2), brows=0.4, smile=0.25, blinks=0.45),
        hair=Hair("bob", "#b3aca2", 0.16, part=-0.025),
        face=Face(skin="#e0b59e", lips="#b06a68", brows="#9c9184", brow_weight=0.7, iris="#5c727c", flush=1.4, age=0.75, freckles=0.25),
        clothes=Clothes("shirt", "#47618f", "#e9e4da"),
        room=Room("#93a08c", "#efe3c2", ("#5d7a55", "#c48a7c", "#e6cf9c")),
    ),
)  # fmt: skip

PEOPLE = {person.name: person for person in _CAST}


def people() -> tuple[str, ...]:
    """Names of the cast."""
    return tuple(PEOPLE)


def find(name: str) -> Person:
    """The person of this name. Raises ManifestError with the nearest one."""
    if name not in PEOPLE:
        raise ManifestError(
            f"nobody of the cast is called '{name}'", expected=nearest(name, PEOPLE), cure="correct `cast:` in the manifest"
        )
    return PEOPLE[name]
