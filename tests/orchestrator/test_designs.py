"""Which points each design runs, where axes act, and what constraints leave out."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.plan.build import build_plan
from orchestrator.plan.cells import Plan
from orchestrator.space.config import ConfigError, Space
from orchestrator.space.designs import DESIGNS
from orchestrator.study.document import study_document

HEAD = """\
question: Which parts matter?
baseline:
  domain: tiny
  attribute: smiling
  editor: {kind: pixel_channel, num_heads: 4, norm: group}
"""
TAIL = "seeds: 2\nprimary: {metric: s_dir, margin: 0.05}\n"
ENCODER = "  encoder: {path: editor.kind, values: [conv, pixel, pixel_channel]}\n"
HEADS = "  heads: {path: editor.num_heads, values: [1, 4, 8]}\n"
NORM = "  norm: {path: editor.norm, values: [none, group]}\n"
RATE = "  rate: {path: training.optimizer.learning_rate, values: {low: 1e-4, high: 1e-2, log: true}}\n"
BATCH = "  batch: {path: training.batch_size, values: {low: 2, high: 16, step: 2}}\n"

PlanOf = Callable[..., Plan]


@pytest.fixture
def plan_of(load: Callable[..., Space]) -> PlanOf:
    def plan(axes: str, rest: str = "", **options: Any) -> Plan:
        return build_plan(load(f"{HEAD}axes:\n{axes}{rest}{TAIL}", **options))

    return plan


@pytest.fixture
def mistakes(load: Callable[..., Space]) -> Callable[[str, str], list[str]]:
    def found(axes: str, rest: str = "") -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(f"{HEAD}axes:\n{axes}{rest}{TAIL}")
        return [f"{problem.where}: {problem.message}" for problem in caught.value.problems]

    return found


def names(plan: Plan) -> list[str]:
    return [cell.name for cell in plan.cells]


def test_leave_one_out_puts_each_axis_back_to_its_off_value_alone(plan_of: PlanOf) -> None:
    axes = NORM + HEADS.replace("8]", "8], off: 8")

    plan = plan_of(axes, "design: leave_one_out\n")

    assert names(plan) == ["baseline", "norm=none", "heads=8"]
    assert plan.cells[1].axis_values == {"norm": "none", "heads": 4}


def test_leave_one_out_needs_something_to_leave_out(mistakes: Callable[..., list[str]]) -> None:
    found = mistakes(HEADS.replace("[1, 4", "[4, 1") + NORM, "design: leave_one_out\n")

    assert found == [
        "axes.heads: leave_one_out puts it back to 4, which is the baseline's own; give `off`, or a baseline with "
        "the ingredient in"
    ]


def test_interactions_add_the_combinations_of_chosen_axes(plan_of: PlanOf) -> None:
    rest = "design: {kind: one_factor, interactions: [[heads, norm]]}\n"

    plan = plan_of(HEADS + NORM + ENCODER, rest)

    assert names(plan) == [
        *("baseline", "heads=1", "heads=8", "norm=none", "encoder=conv", "encoder=pixel"),
        *("heads=1,norm=none", "heads=8,norm=none"),
    ]
    assert all(not cell.merged for cell in plan.cells)


def test_explicit_cells_come_after_the_baseline(plan_of: PlanOf) -> None:
    rest = "design: {kind: explicit, cells: [{encoder: conv}, {encoder: pixel, heads: 8}]}\n"

    assert names(plan_of(HEADS + ENCODER, rest)) == ["baseline", "encoder=conv", "heads=8,encoder=pixel"]


def test_random_points_are_drawn_once_each_and_go_on_where_they_stopped(plan_of: PlanOf) -> None:
    axes = HEADS + RATE + BATCH

    few = plan_of(axes, "design: {kind: random, samples: 5, seed: 1}\n")
    many = plan_of(axes, "design: {kind: random, samples: 9, seed: 1}\n")
    other = plan_of(axes, "design: {kind: random, samples: 5, seed: 2}\n")

    assert len(few.cells) == 6
    assert names(many)[:6] == names(few)
    assert names(other)[1:] != names(few)[1:]
    configs = [cell.config.training for cell in many.cells[1:]]
    assert all(1e-4 <= config.optimizer.learning_rate <= 1e-2 for config in configs)
    assert {config.batch_size for config in configs} <= set(range(2, 17, 2))


def test_random_stops_when_every_point_is_drawn_and_never_draws_what_is_excluded(plan_of: PlanOf) -> None:
    rest = (
        "constraints: [{not: {encoder: conv}, because: slow}]\ndesign: {kind: random, samples: 50, seed: 0}\n"
    )

    plan = plan_of(ENCODER + NORM, rest)

    assert len(plan.cells) == 4
    assert "encoder=conv" not in names(plan)
    assert plan.excluded == ()


def test_a_search_begins_with_the_baseline_alone(plan_of: PlanOf) -> None:
    assert names(plan_of(HEADS + RATE, "design: optuna\n")) == ["baseline"]


def test_a_range_is_only_for_designs_that_draw(mistakes: Callable[..., list[str]]) -> None:
    assert mistakes(RATE) == [
        "axes.rate.values: design one_factor needs listed values; ranges are for the designs random and optuna"
    ]


def test_an_axis_outside_its_condition_rests_at_the_baseline(plan_of: PlanOf) -> None:
    axes = ENCODER + NORM.replace("group]", "group], when: {encoder: [pixel, pixel_channel]}")

    plan = plan_of(axes, "design: product\n")

    conv = next(cell for cell in plan.cells if cell.name == "encoder=conv")
    assert names(plan) == [
        *("encoder=conv", "encoder=pixel,norm=none", "encoder=pixel", "norm=none", "baseline"),
    ]
    assert conv.merged == ("encoder=conv,norm=none",)
    assert conv.coinciding[0].because == "norm acts only where encoder is pixel or pixel_channel"
    assert conv.coinciding[0].axis_values == {"encoder": "conv", "norm": "none"}


def test_a_condition_on_a_resting_axis_does_not_hold(plan_of: PlanOf) -> None:
    axes = ENCODER + NORM.replace("group]", "group], when: {encoder: pixel}")
    axes += "  act: {path: editor.activation, values: [silu, relu], when: {norm: none}}\n"

    plan = plan_of(axes, "design: product\n")

    assert names(plan) == [
        *("encoder=conv", "encoder=pixel,norm=none", "encoder=pixel,norm=none,act=relu", "encoder=pixel"),
        "baseline",
    ]


def test_constraints_exclude_points_and_say_why(load: Callable[..., Space]) -> None:
    rest = (
        "constraints: [{not: {encoder: [conv, pixel], heads: 8}, because: does not fit}]\ndesign: product\n"
    )
    space = load(f"{HEAD}axes:\n{HEADS}{ENCODER}{rest}{TAIL}")

    plan = build_plan(space)

    assert [(point.name, point.because) for point in plan.excluded] == [
        ("heads=8,encoder=conv", "does not fit"),
        ("heads=8,encoder=pixel", "does not fit"),
    ]
    assert "heads=8" in names(plan)
    assert study_document(plan, space)["excluded"][0] == {
        "axis_values": {"heads": 8, "encoder": "conv"},
        "because": "does not fit",
    }


MISTAKES = {
    "unknown kind": (
        NORM,
        "design: prodct\n",
        "design.kind: expected {kinds}; found 'prodct'; did you mean product?",
    ),
    "unknown setting": (
        NORM,
        "design: {kind: random, sample: 3}\n",
        "design.samples: required, but missing",
        "design.sample: unknown setting; did you mean samples?",
    ),
    "unknown axis of an interaction": (
        NORM,
        "design: {kind: one_factor, interactions: [[norm, hads]]}\n",
        "design.interactions[0][1]: expected an axis of this space; found 'hads'",
    ),
    "unknown value of a cell": (
        NORM,
        "design: {kind: explicit, cells: [{norm: grop}]}\n",
        "design.cells[0].norm: expected a value of axis norm; found 'grop'; did you mean group?",
    ),
    "condition on an unknown axis": (
        ENCODER + NORM.replace("group]", "group], when: {encodr: conv}"),
        "",
        "axes.norm.when.encodr: expected an axis of this space; found 'encodr'; did you mean encoder?",
    ),
    "condition on an unknown value": (
        ENCODER + NORM.replace("group]", "group], when: {encoder: [pixl, pixel_channel]}"),
        "",
        "axes.norm.when.encoder: expected a value of axis encoder; found 'pixl'; did you mean pixel?",
    ),
    "conditions in a circle": (
        HEADS.replace("8]", "8], when: {norm: group}") + NORM.replace("group]", "group], when: {heads: 4}"),
        "",
        "axes.heads.when: conditions that come back to themselves: heads <- norm <- heads",
        "axes.norm.when: conditions that come back to themselves: norm <- heads <- norm",
    ),
    "an axis that never acts": (
        ENCODER + NORM.replace("group]", "group], when: {encoder: conv}"),
        "",
        "axes.norm.when: never acts: no cell of design one_factor varies it where encoder is conv",
    ),
    "a constraint against the baseline": (
        NORM,
        "constraints: [{not: {norm: group}, because: tired}]\n",
        "constraints[0].not: excludes the baseline, which every cell is compared with",
    ),
    "a constraint without a reason": (
        NORM,
        "constraints: [{not: {norm: none}}]\n",
        "constraints[0].because: required, but missing",
    ),
    "an off value that is none": (
        NORM.replace("group]", "group], off: nothing"),
        "",
        "axes.norm.off: expected a value of axis norm; found 'nothing'",
    ),
    "a range upside down": (
        RATE.replace("1e-4", "1"),
        "design: {kind: random, samples: 2}\n",
        "axes.rate.values: expected low below high; found low 1 and high 0.01",
    ),
    "a baseline outside its range": (
        RATE.replace("1e-4", "2e-3"),
        "design: optuna\n",
        "axes.rate.values: expected the baseline's own training.optimizer.learning_rate in the range, "
        "0.001; found 0.002 to 0.01; widen the range, or write "
        "baseline: {training: {optimizer: {learning_rate: 0.002}}}",
    ),
    "adaptive seeds upside down": (
        NORM,
        "seeds: {start: 9, max: 9, until: decided}\n",
        "seeds: expected start below max; found start 9 and max 9",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_a_design_is_told_at_its_place(load: Callable[..., Space], case: str) -> None:
    axes, rest, *messages = MISTAKES[case]
    tail = TAIL.replace("seeds: 2\n", "") if "seeds:" in rest else TAIL

    with pytest.raises(ConfigError) as caught:
        load(f"{HEAD}axes:\n{axes}{rest}{tail}")

    kinds = ", ".join([*DESIGNS][:-1]) + f" or {[*DESIGNS][-1]}"
    found = [f"{problem.where}: {problem.message}" for problem in caught.value.problems]
    assert sorted(found) == sorted(message.replace("{kinds}", kinds) for message in messages)
    assert all(problem.line for problem in caught.value.problems)


def test_the_short_form_of_a_design_is_the_same_plan(plan_of: PlanOf) -> None:
    assert (
        plan_of(NORM, "design: product\n").plan_hash == plan_of(NORM, "design: {kind: product}\n").plan_hash
    )
