"""The pilot that prices a trial before any has run."""

import torch

from trainables.h_space.config import CellConfig
from trainables.h_space.pilot import NUM_PIECES, evaluation_rate, pilot, train_rate
from trainables.h_space.workload import measured_pictures, sample_steps, sampling_passes


def test_a_pilot_tells_rates_and_leaves_the_threads_alone(tiny_config: CellConfig) -> None:
    before = torch.get_num_threads()

    rates = pilot(tiny_config)

    assert torch.get_num_threads() == before
    assert len(rates.rounds) == NUM_PIECES
    assert rates.num_templates == 8
    for one in rates.rounds:
        assert all(seconds >= 0 for seconds in vars(one).values())
        assert one.between >= one.end > 0
        assert one.unedited > 0
        assert evaluation_rate(tiny_config, one, 999) > one.plain / 2
        assert one.end <= train_rate(tiny_config, one, 999) <= one.between
    assert rates.num_parameters == 28_128


def test_pilots_of_several_editors_time_what_they_share_once(tiny_config: CellConfig) -> None:
    cell = tiny_config.model_dump()
    other = CellConfig.model_validate({**cell, "editor": {"kind": "pixel"}})
    smaller = other.model_copy(update={"training": other.training.model_copy(update={"batch_size": 1})})

    first, second, third = pilot(tiny_config), pilot(other), pilot(smaller)

    assert first.num_parameters != second.num_parameters
    shared = ("plain", "unedited", "measuring", "image", "picture", "prompt")
    for one, another, further in zip(first.rounds, second.rounds, third.rounds, strict=True):
        assert all(getattr(one, name) == getattr(another, name) for name in shared)
        assert one.between != another.between
        assert another.plain != further.plain


def test_a_pilot_leaves_the_global_generator_alone(tiny_config: CellConfig) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)

    pilot(tiny_config)

    assert torch.equal(torch.rand(3), expected)


def test_pictures_that_are_only_shown_are_priced_as_generated_ones(tiny_config: CellConfig) -> None:
    shown = {"num_preview_images": 2, "preview_strengths": (-1.0, 0.25, 1.5)}
    without, more = (
        tiny_config.model_copy(update={"evaluation": tiny_config.evaluation.model_copy(update=settings)})
        for settings in ({"num_preview_images": 2}, shown)
    )
    steps = tiny_config.evaluation.num_sample_steps

    assert sum(sampling_passes(more, 999)) - sum(sampling_passes(without, 999)) == 2 * 3 * steps
    assert sample_steps(more) - sample_steps(without) == 2 * 3 * steps
    assert measured_pictures(more) == measured_pictures(without)


def test_strengths_that_are_measured_anyway_are_no_other_trial(tiny_config: CellConfig) -> None:
    own = tiny_config.evaluation
    same = own.model_copy(update={"preview_strengths": (*own.strengths, own.strengths[0])}).canonical()
    unseen = own.model_copy(update={"preview_strengths": (0.3,), "num_preview_images": 0}).canonical()

    assert same.preview_strengths == unseen.preview_strengths == ()
    assert same == own.canonical()
