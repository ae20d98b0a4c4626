"""Every space that ships plans, and its head comment says what it costs."""

import re
from pathlib import Path

import pytest

from orchestrator.plan.build import build_plan
from orchestrator.plan.loading import load_space
from search_spaces import shipped_spaces
from trainables.h_space.domains import domain_summary
from trainables.h_space.family import HSpace
from trainables.h_space.layers import Summarise
from trainables.yaml_tree import read_yaml_file


@pytest.fixture
def avatars() -> Summarise:
    """The built-in domain of pixels stands in for that of any shipped space."""
    return lambda name: domain_summary("avatars_ldm" if name == "avatars_ldm" else "avatars")


@pytest.mark.parametrize("name", shipped_spaces())
def test_a_shipped_space_plans_as_many_trials_as_its_head_comment_says(
    name: str, avatars: Summarise, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # A shipped space is found, and all that it names, from anywhere.
    is_of_another_family = "family" in read_yaml_file(Path(str(shipped_spaces()[name]))).content
    space = load_space(name, family=None if is_of_another_family else HSpace(avatars))

    plan = build_plan(space)

    told = re.search(r"(\d+) trials", space.text)
    assert told is not None
    # A search plans its default alone, and asks for the rest.
    asked = getattr(space.config.design, "trials", len(plan.trials))
    assert int(told[1]) == asked


@pytest.mark.parametrize("name", shipped_spaces())
def test_a_shipped_space_has_a_head_comment_with_source_and_cost(name: str) -> None:
    text = shipped_spaces()[name].read_text(encoding="utf-8")
    head = text[: text.index("\nquestion:")]

    assert all(line.startswith("#") for line in head.splitlines())
    assert "Published" in head
    assert "Cost" in head


def test_the_encoder_space_compares_five_editors_with_enough_seeds_for_a_verdict(avatars: Summarise) -> None:
    plan = build_plan(load_space("encoder", family=HSpace(avatars)))

    assert {cell.config.editor.kind for cell in plan.cells} == {
        "pixel_channel",
        "channel_pixel",
        "channel",
        "pixel",
        "conv",
    }
    assert len({trial.seed for trial in plan.trials}) == 6
