"""The labels of an avatar: which face it is, how it changes, and how to sample one from a seed.

A `Face` holds everything the drawing needs and nothing else, so the same `Face` is always the same
picture, and changing one label gives the exact counterfactual of that label.
"""

from __future__ import annotations

import colorsys
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

KINDS: Final = ("person", "goblin", "zombie", "robot", "clown")
STYLES: Final = ("plain", "pixel_art", "sketch")
GENDERS: Final = ("man", "woman")
AGES: Final = ("young", "old")
EMOTIONS: Final = ("neutral", "smiling", "sad", "angry", "surprised")
SKINS: Final = ("pale", "light", "tanned", "dark")
HAIRS: Final = ("short", "long", "curly", "bald")
HAIR_COLOURS: Final = ("black", "brown", "blond", "red")

# Seeds of the three splits and of the judge's own faces; half open, disjoint.
TRAIN_SEEDS: Final = range(0, 1_000_000)
VALIDATION_SEEDS: Final = range(1_000_000, 1_100_000)
TEST_SEEDS: Final = range(1_100_000, 1_200_000)
JUDGE_SEEDS: Final = range(1_200_000, 1_300_000)

CHOICES: Final[Mapping[str, tuple[object, ...]]] = {
    "kind": KINDS,
    "style": STYLES,
    "gender": GENDERS,
    "age": AGES,
    "emotion": EMOTIONS,
    "skin": SKINS,
    "hair": HAIRS,
    "hair_colour": HAIR_COLOURS,
    "beard": (False, True),
    "glasses": (False, True),
}


@dataclass(frozen=True)
class Face:
    """One face. The `*_variant` numbers choose among the drawings that show the same label."""

    kind: str = "person"
    style: str = "plain"
    gender: str = "man"
    age: str = "young"
    emotion: str = "neutral"
    skin: str = "light"
    hair: str = "short"
    hair_colour: str = "brown"
    beard: bool = False
    glasses: bool = False
    background: int = 0
    shirt: int = 0
    top_variant: int = 0
    mouth_variant: int = 0
    eyes_variant: int = 0
    brows_variant: int = 0
    skin_paint: str = ""
    """Colour of paint over the whole skin, such as "#7040c0"; empty for none. No label: see `paint`."""
    eye_paint: str = ""
    """Colour of paint around the eyes."""

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"Face.{name}: expected one of {choices}; found {getattr(self, name)!r}")


def sample_face(
    seed: int,
    *,
    kinds: Sequence[str] = ("person",),
    styles: Sequence[str] = ("plain",),
    emotions: Sequence[str] = ("neutral", *EMOTIONS),
) -> Face:
    """The face of a seed; same seed and choices, same face.

    Each of `kinds`, `styles` and `emotions` is drawn uniformly, so a repeated value is a likelier
    one: by default a third of the faces is neutral.
    """
    rng = np.random.default_rng(seed)
    gender = _pick(rng, GENDERS)
    hair_odds = (0.55, 0.05, 0.22, 0.18) if gender == "man" else (0.08, 0.64, 0.28, 0.0)
    return Face(
        gender=gender,
        age=_pick(rng, AGES, (0.75, 0.25)),
        skin=_pick(rng, SKINS, (0.2, 0.4, 0.2, 0.2)),
        hair=_pick(rng, HAIRS, hair_odds),
        hair_colour=_pick(rng, HAIR_COLOURS, (0.28, 0.32, 0.24, 0.16)),
        beard=bool(rng.random() < 0.3) and gender == "man",
        glasses=bool(rng.random() < 0.15),
        background=int(rng.integers(5)),
        shirt=int(rng.integers(4)),
        # 60 = lowest common multiple of every number of variants in use
        top_variant=int(rng.integers(60)),
        mouth_variant=int(rng.integers(60)),
        eyes_variant=int(rng.integers(60)),
        brows_variant=int(rng.integers(60)),
        emotion=_pick(rng, emotions),
        kind=_pick(rng, kinds),
        style=_pick(rng, styles),
    )


def redraw(face: Face, changes: Mapping[str, object]) -> Face:
    """The same face with some labels changed, and with what follows from a changed gender.

    A man who becomes a woman loses the beard and, unless the hair is curly or long already, gets
    long hair; a woman who becomes a man gets short hair for long. A face that already is what
    `changes` asks for comes back as it was.
    """
    unknown = sorted(set(changes) - set(CHOICES))
    if unknown:
        raise ValueError(f"redraw: {', '.join(unknown)} not a label of a face (labels: {', '.join(CHOICES)})")
    fields = {**dataclasses.asdict(face), **changes}
    if fields["gender"] != face.gender:
        fields.update(_follow_gender(face, str(fields["gender"])))
        fields.update(changes)
    return Face(**fields)


def paint(face: Face, seed: int) -> Face:
    """The same face made up as for carnival: skin, eyes or both in any colour of the wheel.

    The diffusion model is pretrained on some of these, so that its decoder can colour a face at all. They are
    persons in every other respect, no CLIP caption names them, and no editor is trained or measured on them.
    """
    rng = np.random.default_rng((seed, 1))
    where = _pick(rng, ("skin", "eyes", "both"), (0.4, 0.2, 0.4))
    skin, eyes = _any_colour(rng), _any_colour(rng)
    return dataclasses.replace(
        face,
        skin_paint="" if where == "eyes" else skin,
        eye_paint="" if where == "skin" else eyes,
    )


def _any_colour(rng: np.random.Generator) -> str:
    """Hue uniform, from greyish to vivid, from dark to bright: "#rrggbb"."""
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.05, 0.75), rng.uniform(0.3, 1.0))
    return "#" + "".join(f"{round(255 * value):02x}" for value in (red, green, blue))


def labels(face: Face) -> dict[str, str]:
    """Every label as text: `{"emotion": "smiling", "beard": "no", ...}`."""
    return {name: _as_text(getattr(face, name)) for name in CHOICES}


def _follow_gender(face: Face, gender: str) -> dict[str, object]:
    if gender == "woman":
        return {"beard": False, "hair": "long" if face.hair in ("short", "bald") else face.hair}
    return {"hair": "short" if face.hair == "long" else face.hair}


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _pick(rng: np.random.Generator, values: Sequence[str], odds: Sequence[float] | None = None) -> str:
    return values[int(rng.choice(len(values), p=odds))]
