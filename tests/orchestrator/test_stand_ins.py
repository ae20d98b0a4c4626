"""A space of a published study, read on a domain that has other names for some of its attributes."""

from pathlib import Path

import pytest

from orchestrator.plan.build import build_plan
from orchestrator.plan.loading import load_space
from trainables.h_space.domains import domain_summary

SPACE = """
question: Does it reach both?
baseline: {domain: avatars, attribute: pixar, editor: {kind: conv}}
axes:
  edit: {path: attribute, values: [pixar, smiling, modigliani]}
seeds: 1
primary: {metric: loss_total, margin: 0.1}
claims:
  - {text: pixar is easier, axis: edit, better: pixar, worse: modigliani}
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "both.yaml"
    path.write_text(SPACE, encoding="utf-8")
    return path


def test_domain_trains_its_stand_in_and_names_it_everywhere(space: Path) -> None:
    loaded = load_space(space)

    plan = build_plan(loaded)

    assert [cell.name for cell in plan.cells] == ["baseline", "edit=smiling", "edit=sketch"]
    assert [cell.config.attribute for cell in plan.cells] == ["robot", "smiling", "sketch"]
    assert (loaded.config.claims[0].better, loaded.config.claims[0].worse) == ("robot", "sketch")


def test_attribute_on_the_command_line_is_replaced_too(space: Path) -> None:
    space.write_text(SPACE.split("axes:")[0] + "seeds: 1\nprimary: {metric: loss_total, margin: 0.1}\n")

    plan = build_plan(load_space(space, settings=["attribute=frida"]))

    assert {cell.config.attribute for cell in plan.cells} == {"clown"}


def test_stand_ins_are_attributes_of_their_domain() -> None:
    summary = domain_summary("avatars")

    assert set(summary.stand_ins.values()) <= set(summary.attributes)
    assert not set(summary.stand_ins) & set(summary.attributes)
