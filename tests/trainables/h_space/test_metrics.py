"""Each metric on edits whose answer is known."""

from functools import lru_cache

import pytest
import torch
from torch import Tensor

from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.metrics import METRICS, EditBatch, ImageMetric, Pictures
from trainables.h_space.metrics.clip_similarity_kept import without
from trainables.h_space.metrics.leakage import attribute_shifts
from trainables.h_space.pretrain.judge_quality import measure_labels
from trainables.h_space.probe import fit_probe, label_probe
from trainables.h_space.prompts import AttributeTexts

IMAGE_METRICS = sorted(name for name, metric in METRICS.items() if isinstance(metric, ImageMetric))


@lru_cache(maxsize=8)
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
        assert domain.segment is not None
        assert domain.judge is not None
        embedding, judged = domain.clip.image(pixels), domain.judge.look(pixels)
        parts = domain.segment(pixels)
        return Pictures(pixels, embedding, second=embedding, parts=parts, judged=judged, identity=embedding)

    watched = [AttributeTexts.of(domain, ATTRIBUTES[name]).direction for name in ("smiling", "old", "tanned")]
    return EditBatch(
        original=pictures(original),
        reconstruction=pictures(original),
        edit=pictures(edit),
        counterfactual=pictures(true_edit),
        text_direction=texts.direction,
        rival_texts=texts.rivals,
        distance=domain.clip.perceptual_distance,
        second_direction=texts.bare_direction,
        other_directions=torch.stack(watched),
        probe=label_probe(domain, attribute),
        judge=None if domain.judge is None else domain.judge.judge,
        redraw=attribute.redraw,
        lpips=lambda a, b: (a - b).square().mean(dim=(1, 2, 3)),
    )


def measure(name: str, edit_as: str) -> Tensor:
    metric = METRICS[name]
    assert isinstance(metric, ImageMetric)
    value = metric.compute(batch_of(edit_as))
    assert value is not None
    assert value.shape == (2,)
    return value


@pytest.mark.parametrize("name", ["counterfactual_gain", "counterfactual_gain_pixels", "judged_gain"])
def test_gain_is_one_for_the_true_edit_and_zero_for_nothing(name: str) -> None:
    torch.testing.assert_close(measure(name, "true edit"), torch.ones(2))
    torch.testing.assert_close(measure(name, "nothing"), torch.zeros(2))


def test_destroying_the_image_has_a_negative_gain_in_pixels() -> None:
    assert (measure("counterfactual_gain_pixels", "noise") < 0).all()


def test_the_true_edit_is_recognised_and_the_original_is_not() -> None:
    assert measure("recognition", "true edit").tolist() == [1.0, 1.0]
    assert measure("recognition", "nothing").tolist() == [0.0, 0.0]
    assert measure("judged_recognition", "true edit").tolist() == [1.0, 1.0]
    assert measure("judged_recognition", "nothing").tolist() == [0.0, 0.0]


def test_a_judge_sees_what_the_true_edit_leaves_and_what_noise_destroys() -> None:
    assert (measure("judged_labels_kept", "true edit") == 1).all()
    assert (measure("judged_leakage", "true edit") < 0.1).all()
    assert (measure("judged_labels_kept", "noise") < 0.9).all()
    assert (measure("judged_leakage", "noise") > 0.2).all()
    assert (measure("judged_gain", "noise") < 0).all()


def test_the_judge_reads_faces_that_nothing_was_trained_on() -> None:
    domain = load_domain("avatars")
    assert domain.judge is not None
    found = {one.name: one.accuracy for one in measure_labels(domain.judge.look, num_faces=60)}

    assert set(found) == set(domain.judge.judge.labels)
    assert all(accuracy > 0.95 for name, accuracy in found.items() if name != "background")


def test_s_dir_is_a_similarity_not_its_complement() -> None:
    assert (measure("s_dir", "true edit") > 0.2).all()


@pytest.mark.parametrize("name", ["l1_distance", "feature_distance"])
def test_distances_are_zero_for_nothing_and_grow_with_the_edit(name: str) -> None:
    torch.testing.assert_close(measure(name, "nothing"), torch.zeros(2))
    assert (measure(name, "true edit") > 0).all()


@pytest.mark.parametrize("name", IMAGE_METRICS)
def test_every_metric_is_finite_on_two_images_and_documented(name: str) -> None:
    assert torch.isfinite(measure(name, "true edit")).all()
    assert METRICS[name].description
    assert METRICS[name].label


@pytest.mark.parametrize("name", ["counterfactual_gain", "counterfactual_gain_pixels", "judged_gain"])
def test_gain_is_not_told_without_a_true_edit(name: str) -> None:
    batch = batch_of("nothing")
    undrawable = EditBatch(**{**vars(batch), "counterfactual": None})

    metric = METRICS[name]
    assert isinstance(metric, ImageMetric)
    assert metric.compute(undrawable) is None


@pytest.mark.parametrize("name", ["s_dir", "s_dir_from_reconstruction", "s_dir_second"])
def test_s_dir_of_a_known_pair_of_directions_is_their_cosine(name: str) -> None:
    direction = torch.tensor([1.0, 0.0, 0.0])
    start = torch.tensor([[0.0, 1.0, 0.0]] * 2)
    ends = torch.nn.functional.normalize(torch.tensor([[0.3, 1.0, 0.0], [-0.3, 1.0, 0.4]]), dim=1)
    pixels = torch.zeros(2, 3, 4, 4)
    before, after = (Pictures(pixels, embedding, second=embedding) for embedding in (start, ends))
    batch = EditBatch(
        before, before, after, None, direction, direction[None], lambda a, b: a, second_direction=direction
    )
    metric = METRICS[name]
    assert isinstance(metric, ImageMetric)

    found = metric.compute(batch)

    moved = ends - start
    assert found is not None
    torch.testing.assert_close(found, moved[:, 0] / moved.norm(dim=1), rtol=0, atol=1e-5)


def test_the_probe_finds_the_true_edit_and_not_the_original() -> None:
    assert measure("probe_success", "true edit").tolist() == [1.0, 1.0]
    assert measure("probe_success", "nothing").tolist() == [0.0, 0.0]


def test_a_probe_separates_what_one_direction_tells_apart_however_rare() -> None:
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(200, 6, generator=generator)
    is_present = torch.arange(200) % 10 == 0
    embedding[is_present, 2] += 6

    probe = fit_probe(embedding, is_present)

    assert ((probe(embedding) > 0) == is_present).float().mean() > 0.98
    with pytest.raises(ValueError, match="two images with the label and two without; found 0 and 200"):
        fit_probe(embedding, torch.zeros(200, dtype=torch.bool))


def test_nothing_leaks_nothing_and_the_shift_is_a_difference_of_cosines() -> None:
    batch = batch_of("true edit")
    assert batch.other_directions is not None

    shifts = attribute_shifts(batch, batch.other_directions)

    expected = torch.stack(
        [
            torch.cosine_similarity(batch.edit.embedding, direction[None])
            - torch.cosine_similarity(batch.reconstruction.embedding, direction[None])
            for direction in batch.other_directions
        ],
        dim=1,
    )
    torch.testing.assert_close(shifts, expected)
    torch.testing.assert_close(measure("leakage", "true edit"), expected.abs().mean(dim=1))
    assert measure("leakage", "nothing").tolist() == [0.0, 0.0]


def test_identity_looks_past_the_attribute_s_own_direction() -> None:
    direction = torch.tensor([0.0, 0.6, 0.8])
    embedding = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(without(embedding + 2.5 * direction, direction), without(embedding, direction))
    torch.testing.assert_close(measure("clip_similarity_kept", "nothing"), torch.ones(2))
    assert (measure("clip_similarity_kept", "noise") < measure("clip_similarity_kept", "true edit")).all()


@pytest.mark.parametrize(
    "name",
    ["segmentation_consistency", "segmentation_consistency_from_reconstruction", "identity_similarity"],
)
def test_parts_and_person_stay_where_nothing_is_done_and_not_in_noise(name: str) -> None:
    torch.testing.assert_close(measure(name, "nothing"), torch.ones(2))
    assert (measure(name, "true edit") > measure(name, "noise")).all()


@pytest.mark.parametrize("name", IMAGE_METRICS)
def test_what_a_metric_needs_and_does_not_get_leaves_it_untold(name: str) -> None:
    batch = batch_of("true edit")
    bare = Pictures(batch.edit.pixels, batch.edit.embedding)
    without_extras = EditBatch(
        bare, bare, bare, None, batch.text_direction, batch.rival_texts, batch.distance,
        other_directions=batch.other_directions,
    )  # fmt: skip
    metric = METRICS[name]
    assert isinstance(metric, ImageMetric)

    assert (metric.compute(without_extras) is None) == bool(metric.needs)
