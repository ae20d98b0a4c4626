"""Each metric on edits whose answer is known."""

import pytest
import torch
from torch import Tensor

from trainables.attributes import ATTRIBUTES
from trainables.domains import load_domain
from trainables.metrics import METRICS, EditBatch, Pictures
from trainables.prompts import AttributeTexts


def batch_of(edit_as: str) -> EditBatch:
    """Two held-out faces whose edit is the true edit, nothing at all, or noise."""
    domain, attribute = load_domain("avatars"), ATTRIBUTES["goblin"]
    texts = AttributeTexts.of(domain, attribute)
    ids = domain.images.ids("test", 2, attribute)
    original = domain.load_images(ids)
    true_edit = domain.images.counterfactuals(ids, attribute)
    assert true_edit is not None
    noise = torch.rand(original.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    edit = {"true edit": true_edit, "nothing": original, "noise": noise}[edit_as]

    def pictures(pixels: Tensor) -> Pictures:
        return Pictures(pixels, domain.clip.image(pixels))

    return EditBatch(
        original=pictures(original),
        reconstruction=pictures(original),
        edit=pictures(edit),
        counterfactual=pictures(true_edit),
        text_direction=texts.direction,
        rival_texts=texts.rivals,
        distance=domain.clip.perceptual_distance,
    )


def measure(name: str, edit_as: str) -> Tensor:
    value = METRICS[name].compute(batch_of(edit_as))
    assert value is not None
    assert value.shape == (2,)
    return value


@pytest.mark.parametrize("name", ["counterfactual_gain", "counterfactual_gain_pixels"])
def test_gain_is_one_for_the_true_edit_and_zero_for_nothing(name: str) -> None:
    torch.testing.assert_close(measure(name, "true edit"), torch.ones(2))
    torch.testing.assert_close(measure(name, "nothing"), torch.zeros(2))


def test_destroying_the_image_has_a_negative_gain_in_pixels() -> None:
    assert (measure("counterfactual_gain_pixels", "noise") < 0).all()


def test_the_true_edit_is_recognised_and_the_original_is_not() -> None:
    assert measure("recognition", "true edit").tolist() == [1.0, 1.0]
    assert measure("recognition", "nothing").tolist() == [0.0, 0.0]


def test_s_dir_is_a_similarity_not_its_complement() -> None:
    assert (measure("s_dir", "true edit") > 0.2).all()


@pytest.mark.parametrize("name", ["l1_distance", "feature_distance"])
def test_distances_are_zero_for_nothing_and_grow_with_the_edit(name: str) -> None:
    torch.testing.assert_close(measure(name, "nothing"), torch.zeros(2))
    assert (measure(name, "true edit") > 0).all()


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_is_finite_on_two_images_and_documented(name: str) -> None:
    assert torch.isfinite(measure(name, "true edit")).all()
    assert METRICS[name].description
    assert METRICS[name].label


@pytest.mark.parametrize("name", ["counterfactual_gain", "counterfactual_gain_pixels"])
def test_gain_is_not_told_without_a_true_edit(name: str) -> None:
    batch = batch_of("nothing")
    undrawable = EditBatch(**{**vars(batch), "counterfactual": None})

    assert METRICS[name].compute(undrawable) is None
