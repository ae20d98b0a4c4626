"""True masks of avatars, and the segmenter that finds them again."""

import dataclasses

import numpy as np
import pytest
import torch

from trainables.h_space.domains.avatars import drawing, faces, masks
from trainables.h_space.domains.avatars.masks import PARTS
from trainables.h_space.domains.images import to_signed
from trainables.h_space.metrics.segmentation_consistency import mean_iou
from trainables.h_space.segmenters import SEGMENTERS

PERSON = faces.Face(gender="man", hair="short", emotion="smiling")


def share(face: faces.Face, part: str) -> float:
    return float((masks.draw_mask(face) == PARTS.index(part)).mean())


def test_every_pixel_of_a_part_has_its_colour() -> None:
    face = dataclasses.replace(PERSON, skin="dark", hair_colour="blond")

    picture, mask = drawing.draw(face).astype(int), masks.draw_mask(face)
    median = {
        part: np.median(picture[mask == PARTS.index(part)], axis=0) for part in ("skin", "hair", "background")
    }

    assert median["skin"] == pytest.approx([0x70, 0x43, 0x2C], abs=3)
    assert median["hair"] == pytest.approx([0xDC, 0xB6, 0x62], abs=3)
    assert median["background"] == pytest.approx([0x8F, 0xA9, 0xC4], abs=3)


def test_masks_follow_what_is_drawn() -> None:
    assert share(dataclasses.replace(PERSON, hair="bald"), "hair") == 0
    assert share(dataclasses.replace(PERSON, beard=True), "hair") > share(PERSON, "hair")
    assert share(dataclasses.replace(PERSON, glasses=True), "glasses") > 0
    assert share(PERSON, "glasses") == 0
    assert share(dataclasses.replace(PERSON, emotion="surprised"), "mouth") > share(
        dataclasses.replace(PERSON, emotion="neutral"), "mouth"
    )


def test_colours_do_not_move_a_mask() -> None:
    other = dataclasses.replace(
        PERSON, skin="dark", hair_colour="red", background=3, kind="person", style="sketch"
    )

    assert np.array_equal(masks.draw_mask(PERSON), masks.draw_mask(other))


@pytest.mark.parametrize(
    ("kinds", "styles", "size", "accuracy", "iou"),
    [
        (("person",), ("plain",), 32, 0.94, 0.83),
        (("person",), ("plain",), 64, 0.91, 0.75),
        (faces.KINDS[1:], ("plain",), 32, 0.94, 0.83),
        (("person",), faces.STYLES[1:], 32, 0.84, 0.62),
    ],
    ids=["persons", "persons twice as large", "unseen kinds", "unseen styles"],
)
def test_the_segmenter_finds_the_parts_of_held_out_drawings(
    kinds: tuple[str, ...], styles: tuple[str, ...], size: int, accuracy: float, iou: float
) -> None:
    segment = SEGMENTERS["avatars"].load(torch.device("cpu"))
    held_out = [faces.sample_face(seed, kinds=kinds, styles=styles) for seed in faces.TEST_SEEDS[:16]]
    true = torch.from_numpy(masks.draw_masks(held_out, size))

    found = segment(to_signed(drawing.draw_faces(held_out, size=size)))

    assert (found == true).float().mean() > accuracy
    assert mean_iou(true, found).mean() > iou


def test_mean_iou_of_known_masks() -> None:
    a = torch.tensor([[[0, 0], [1, 1]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]])
    b = torch.tensor([[[0, 1], [1, 1]], [[0, 0], [0, 0]], [[2, 2], [2, 2]]])

    # parts 0 and 1 overlap by 1/2 and 2/3; the same mask; nothing in common
    assert mean_iou(a, b).tolist() == pytest.approx([7 / 12, 1, 0])
