"""A verdict is named when its seeds are in, or at a look that the space has planned; never in between."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.contrasts import judge_study
from analysis.forming import FORMING, NOTHING, is_forming, planned_pairs, sentence, word
from analysis.frames import load_frames
from analysis.report import build_report

Make = Callable[..., Path]
SMALL: dict[str, Any] = {"epochs": 1, "batches": 2, "num_images": 1, "strengths": (1.0,)}
Edit = Callable[[Path, dict[str, Any]], None]


def said(folder: Path) -> dict[str, tuple[str, str]]:
    """Cell -> the word and the sentence for it."""
    frames = load_frames(folder)
    judgement = judge_study(frames)
    return {
        contrast.name: (word(frames, judgement, contrast), sentence(frames, judgement, contrast))
        for contrast in judgement.contrasts
    }


def test_a_clear_difference_is_not_named_before_its_last_seed_has_run(make_study: Make) -> None:
    folder = make_study(**SMALL, num_seeds=8, missing={("conv", 7)})

    found = said(folder)

    assert found["encoder=conv"][0] == FORMING
    assert "conv: running, −0." in found["encoder=conv"][1]
    assert "7 of 8 pairs" in found["encoder=conv"][1]
    assert not any(name in text for _, text in found.values() for name in ("helps", "hurts", "equivalent"))


def test_a_seed_that_one_contrast_lacks_keeps_no_other_one_open(make_study: Make) -> None:
    found = said(make_study(**SMALL, num_seeds=8, missing={("pixel", 7)}))

    assert found["encoder=pixel"][0] == FORMING
    assert found["encoder=conv"][0] == "hurts, by at least the margin"


def test_it_is_named_once_every_seed_has_ended_a_failed_one_included(make_study: Make) -> None:
    folder = make_study(**SMALL, num_seeds=8, failed={("pixel", 7)})

    found = said(folder)

    assert found["encoder=conv"][0] == "hurts, by at least the margin"
    assert "hurts" in found["encoder=conv"][1]
    assert "1 failed" in found["encoder=pixel"][1]


def test_too_few_planned_seeds_are_an_estimate(make_study: Make) -> None:
    assert said(make_study(**SMALL, num_seeds=3))["encoder=conv"][0] == "estimate"


def test_a_cell_of_which_every_trial_failed_has_no_verdict(make_study: Make) -> None:
    folder = make_study(**SMALL, num_seeds=6, failed={("pixel", seed) for seed in range(6)})

    assert said(folder)["encoder=pixel"] == (NOTHING, "pixel: no verdict, 0 pairs, 6 failed.")
    page = build_report(folder)
    row = next(line for line in page.with_name("effects.md").read_text().splitlines() if "| pixel |" in line)
    assert "no verdict" in row
    assert row.endswith("| – |")


def test_before_any_pair_there_is_no_number(make_study: Make) -> None:
    folder = make_study(**SMALL, is_empty=True)

    assert said(folder)["encoder=conv"] == (FORMING, "conv: running, none of 7 pairs yet.")


@pytest.fixture
def in_looks(make_study: Make, edit_study_file: Edit) -> Path:
    """A study that looks after 6 and after 8 seeds, and has run 7 of them."""
    folder = make_study(**SMALL, num_seeds=7, effects={"pixel_channel": 0.6, "conv": 0.2, "pixel": 0.56})
    edit_study_file(folder, {"adaptive": {"max": 8, "schedule": [6, 8]}})
    return folder


def test_a_planned_look_names_what_it_has_decided_and_leaves_the_rest_open(in_looks: Path) -> None:
    found = said(in_looks)

    assert found["encoder=conv"][0] == "hurts, by at least the margin (early)"
    assert found["encoder=pixel"][0] == FORMING


def test_the_pairs_to_come_are_those_of_the_last_look(in_looks: Path) -> None:
    frames = load_frames(in_looks)
    judgement = judge_study(frames)

    pairs = {planned_pairs(frames, contrast) for contrast in judgement.contrasts}

    assert pairs == {8}
    assert [is_forming(frames, judgement, contrast) for contrast in judgement.contrasts] == [False, True]
