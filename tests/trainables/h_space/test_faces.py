"""The avatars: faces from seeds, their drawings, their counterfactuals and their captions."""

import dataclasses
import itertools
import json
from importlib import resources

import numpy as np
import pytest
from dicebear import Style

from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.domains.avatars import drawing
from trainables.h_space.domains.avatars.captions import PROMPT_TEMPLATES, caption, is_true, vocabulary
from trainables.h_space.domains.avatars.drawing import draw, draw_faces
from trainables.h_space.domains.avatars.faces import (
    EMOTIONS,
    JUDGE_SEEDS,
    KINDS,
    STYLES,
    TEST_SEEDS,
    TRAIN_SEEDS,
    VALIDATION_SEEDS,
    Face,
    labels,
    paint,
    redraw,
    sample_face,
)
from trainables.h_space.word_tokenizer import WordTokenizer


def test_same_seed_is_the_same_face_and_picture() -> None:
    first, second = sample_face(7), sample_face(7)

    assert first == second
    assert np.array_equal(draw(first), draw(second))


def test_a_style_without_unused_shapes_draws_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = [
        dataclasses.replace(sample_face(seed), emotion=emotion, kind=kind)
        for seed, (emotion, kind) in enumerate(itertools.product(EMOTIONS, KINDS))
    ]
    drawn = draw_faces(faces)

    file = resources.files("dicebear_styles").joinpath("avataaars.json")
    whole = Style(json.loads(file.read_text(encoding="utf-8")))
    monkeypatch.setattr(drawing, "_style", lambda: whole)

    assert np.array_equal(drawn, draw_faces(faces))


def test_picture_is_32_pixels_of_rgb() -> None:
    picture = draw(sample_face(0))

    assert picture.shape == (32, 32, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("style", STYLES)
def test_twice_as_large_a_picture_shows_the_same_face(style: str) -> None:
    face = dataclasses.replace(sample_face(0), style=style)

    large, small = draw(face, 64).astype(float), draw(face).astype(float)

    halved = large.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert large.shape == (64, 64, 3)
    assert np.abs(halved - small).mean() < 1
    details = np.abs(large - small.repeat(2, 0).repeat(2, 1)).mean()
    assert (details > 2) == (style != "pixel_art")  # whose squares are twice as large, too


def test_splits_share_no_seed() -> None:
    splits = [TRAIN_SEEDS, VALIDATION_SEEDS, TEST_SEEDS, JUDGE_SEEDS]

    assert all(a.stop <= b.start for a, b in itertools.pairwise(splits))


def test_diffusion_faces_are_plain_persons_by_default() -> None:
    faces = [sample_face(seed) for seed in TRAIN_SEEDS[:200]]

    assert {face.kind for face in faces} == {"person"}
    assert {face.style for face in faces} == {"plain"}
    assert {face.emotion for face in faces} == set(EMOTIONS)


def test_face_paint_colours_the_face_and_leaves_every_label() -> None:
    face = sample_face(5)

    painted = [paint(face, seed) for seed in range(20)]

    assert all(labels(one) == labels(face) for one in painted)
    assert all(not np.array_equal(draw(one), draw(face)) for one in painted)
    assert len({(one.skin_paint, one.eye_paint) for one in painted}) == 20
    assert paint(face, 3) == paint(face, 3)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_redrawn_emotion_changes_only_the_emotion(emotion: str) -> None:
    face = sample_face(3)

    changed = redraw(face, {"emotion": emotion})

    assert dataclasses.replace(changed, emotion=face.emotion) == face


def test_redrawn_emotion_leaves_hair_and_background_pixels() -> None:
    face = Face(emotion="neutral", hair="short")

    before, after = draw(face), draw(redraw(face, {"emotion": "angry"}))

    assert np.array_equal(before[:6], after[:6])
    assert not np.array_equal(before[20:30], after[20:30])


def test_man_to_woman_loses_beard_and_gets_long_hair() -> None:
    man = Face(gender="man", hair="short", beard=True)

    woman = redraw(man, {"gender": "woman"})

    assert (woman.gender, woman.hair, woman.beard) == ("woman", "long", False)


def test_redraw_of_what_is_already_so_changes_nothing() -> None:
    woman = Face(gender="woman", hair="short")

    assert redraw(woman, {"gender": "woman"}) == woman


def test_redraw_refuses_a_label_that_is_none() -> None:
    with pytest.raises(ValueError, match="hat not a label of a face"):
        redraw(Face(), {"hat": True})


def test_face_refuses_a_value_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"Face\.emotion: expected one of"):
        redraw(Face(), {"emotion": "smilling"})


@pytest.mark.parametrize("name", [row.name for row in ATTRIBUTES.values() if row.redraw])
def test_every_drawable_attribute_changes_the_picture(name: str) -> None:
    lacking = Face(age="old") if name == "young" else Face(emotion="neutral", hair_colour="black")
    if name in ("man", "short_hair"):
        lacking = Face(gender="woman", hair="long")

    changed = redraw(lacking, ATTRIBUTES[name].redraw)

    assert not np.array_equal(draw(lacking), draw(changed))


def test_pictures_of_many_faces_keep_their_order() -> None:
    faces = [sample_face(seed) for seed in range(3)]

    assert np.array_equal(draw_faces(faces), np.stack([draw(face) for face in faces]))


def test_labels_are_text() -> None:
    assert labels(Face(emotion="sad", beard=True))["emotion"] == "sad"
    assert labels(Face(emotion="sad", beard=True))["beard"] == "yes"


def test_captions_are_true_and_in_the_vocabulary() -> None:
    rng = np.random.default_rng(0)
    tokenizer = WordTokenizer(vocabulary(), context_length=24)

    for seed in range(300):
        face = sample_face(seed, kinds=KINDS, styles=STYLES)
        said = caption(face, rng)
        assert is_true(said, face), (said, face)
        tokenizer([said.text])


def test_captions_sometimes_say_nothing_but_face_or_person() -> None:
    rng = np.random.default_rng(0)
    goblin = sample_face(0, kinds=("goblin",))

    texts = {caption(goblin, rng).text for _ in range(300)}

    assert {"face", "person", "human"} <= texts


def test_drawable_attributes_and_templates_are_in_the_vocabulary() -> None:
    tokenizer = WordTokenizer(vocabulary(), context_length=24)
    rows = [row for row in ATTRIBUTES.values() if row.redraw]

    tokens = tokenizer(
        [t.format(text) for t in PROMPT_TEMPLATES for row in rows for text in (row.source, row.target)]
    )

    assert tokens.shape == (len(PROMPT_TEMPLATES) * len(rows) * 2, 24)
