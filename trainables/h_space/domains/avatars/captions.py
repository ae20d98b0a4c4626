"""Captions of avatars, in the words of the published prompts.

A caption is a text with its claims: the labels that must hold for it to be true. Claims let the
contrastive loss know which other pictures of a batch a caption is true of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from trainables.h_space.domains.avatars.faces import Face
from trainables.h_space.word_tokenizer import split_words

PROMPT_TEMPLATES: Final = (
    "{}",
    "a {}",
    "the {}",
    "a photo of a {}",
    "a picture of a {}",
    "an image of a {}",
    "a drawing of the {}",
    "a close up of the {}",
)

Claim = tuple[str, object]

# word or phrase -> the claims that make it true
GENERIC_NOUNS: Final = ("face", "person", "human")
EMOTION_WORDS: Final = {
    "smiling": ("smiling", "happy"),
    "sad": ("sad",),
    "angry": ("angry",),
    "surprised": ("surprised",),
    "neutral": ("neutral", "serious"),
}
SKIN_WORDS: Final = {"tanned": ("tanned",), "pale": ("pale",), "dark": ("dark",), "light": ("light",)}
AGE_WORDS: Final = {"old": ("old",), "young": ("young",)}
HAIR_PHRASES: Final = {
    "curly": ("with curly hair",),
    "long": ("with long hair",),
    "short": ("with short hair",),
    "bald": ("with bald head",),
}
STYLE_WORDS: Final = {"pixel_art": ("pixel art",), "sketch": ("sketch", "pencil sketch"), "plain": ("photo",)}
PICTURE_WORDS: Final = ("picture", "image", "drawing", "close up")
KINDS_WITHOUT_EXPRESSION: Final = ("robot",)


@dataclass(frozen=True)
class Caption:
    """A text and the labels that make it true of a face."""

    text: str
    claims: frozenset[Claim] = frozenset()


def is_true(caption: Caption, face: Face) -> bool:
    """Whether every claim holds. Where a label is drawn over (a robot's skin), it never holds."""
    visible = visible_labels(face)
    return all(visible.get(name) == value for name, value in caption.claims)


def visible_labels(face: Face) -> dict[str, object]:
    """The labels that a picture shows: a robot has no gender, a goblin's skin is always green."""
    visible: dict[str, object] = {"kind": face.kind, "style": face.style}
    if face.kind not in KINDS_WITHOUT_EXPRESSION:
        visible.update(emotion=face.emotion, gender=face.gender, hair=face.hair)
        visible.update(beard=face.beard, glasses=face.glasses)
    if face.kind == "person":
        visible.update(age=face.age)
    if face.kind == "person" and face.style == "plain":
        visible.update(skin=face.skin)
    if face.kind in ("person", "goblin", "zombie") and face.style == "plain" and face.hair != "bald":
        visible.update(hair_colour="grey" if face.age == "old" else face.hair_colour)
    return visible


def caption(face: Face, rng: np.random.Generator) -> Caption:
    """A random true caption of a face; one in four says nothing but "a face" or the like."""
    if rng.random() < 0.1:
        return _style_only(face, rng)
    num_claims = int(rng.choice(4, p=(0.25, 0.40, 0.23, 0.12)))
    chosen = _choose_claims(face, num_claims, rng)
    return _with_prefix(face, _subject(face, chosen, rng), rng)


def vocabulary() -> list[str]:
    """Every word that a caption or a prompt template can use, sorted."""
    return sorted({word for phrase in _every_phrase() for word in split_words(phrase)})


def _style_only(face: Face, rng: np.random.Generator) -> Caption:
    """A caption of the style alone: "photo", "a sketch", "pixel art", or just "a picture"."""
    if rng.random() < 0.2:
        return Caption(_article(_one(PICTURE_WORDS, rng), rng))
    word = _one(STYLE_WORDS[face.style], rng)
    return Caption(_article(word, rng), frozenset({("style", face.style)}))


def _choose_claims(face: Face, num_claims: int, rng: np.random.Generator) -> list[str]:
    """Names of the labels to mention. What makes a picture unusual is mentioned most."""
    visible = visible_labels(face)
    if not visible.get("beard"):
        visible.pop("beard", None)
    if not visible.get("glasses"):
        visible.pop("glasses", None)
    names = sorted(visible)
    weights = np.array([_mention_weight(name, face) for name in names])
    num_claims = min(num_claims, int((weights > 0).sum()))
    return [str(name) for name in rng.choice(names, num_claims, replace=False, p=weights / weights.sum())]


def _mention_weight(name: str, face: Face) -> float:
    if name == "kind":
        return 6.0 if face.kind != "person" else 0.0
    if name == "style":
        return 3.0 if face.style != "plain" else 0.5
    return {"emotion": 2.5, "gender": 1.5, "age": 1.2, "skin": 1.2, "hair": 1.5}.get(name, 0.7)


def _subject(face: Face, names: list[str], rng: np.random.Generator) -> Caption:
    """Such as "old smiling person with curly hair", and the claims that makes."""
    before, after = [], []
    visible = visible_labels(face)
    if "age" in names:
        before.append(_one(AGE_WORDS[face.age], rng))
    if "skin" in names:
        before.append(_one(SKIN_WORDS[face.skin], rng))
    if "emotion" in names:
        before.append(_one(EMOTION_WORDS[face.emotion], rng))
    if "hair" in names:
        after.append(_one(HAIR_PHRASES[face.hair], rng))
    if "hair_colour" in names:
        after.append(f"with {visible['hair_colour']} hair")
    if "beard" in names:
        after.append("with beards")
    if "glasses" in names:
        after.append("with glasses")
    words = " ".join([*before, _noun(face, names, rng), *after])
    return Caption(words, frozenset((name, visible[name]) for name in names))


def _noun(face: Face, names: list[str], rng: np.random.Generator) -> str:
    gender = face.gender if "gender" in names else ""
    if "kind" not in names:
        return gender or _one(GENERIC_NOUNS, rng)
    return f"{face.kind} {gender}".strip()


def _with_prefix(face: Face, subject: Caption, rng: np.random.Generator) -> Caption:
    """Put the subject into a template, or say the style when that is one of the claims."""
    if ("style", face.style) in subject.claims:
        word = _one(STYLE_WORDS[face.style], rng)
        return Caption(f"{_article(word, rng)} of {_article(subject.text, rng)}", subject.claims)
    # "a photo of" is a claim about the style, so a template that says photo is for plain faces only
    template = _one(PROMPT_TEMPLATES, rng) if rng.random() < 0.5 else "{}"
    if "photo" in template:
        if face.style != "plain":
            return Caption(_article(subject.text, rng), subject.claims)
        return Caption(template.format(subject.text), subject.claims | {("style", "plain")})
    return Caption(template.format(subject.text), subject.claims)


def _article(words: str, rng: np.random.Generator) -> str:
    """Sometimes with "a" or "an", sometimes bare, as the published prompts are."""
    if words.startswith("pixel art") or rng.random() < 0.5:
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _one(values: tuple[str, ...], rng: np.random.Generator) -> str:
    return values[int(rng.integers(len(values)))]


def _every_phrase() -> Iterator[str]:
    yield from PROMPT_TEMPLATES
    yield from GENERIC_NOUNS
    yield from PICTURE_WORDS
    for table in (EMOTION_WORDS, SKIN_WORDS, AGE_WORDS, HAIR_PHRASES, STYLE_WORDS):
        for phrases in table.values():
            yield from phrases
    yield "an man woman goblin zombie robot clown with beards with glasses"
    yield "with black brown blond red grey hair"
