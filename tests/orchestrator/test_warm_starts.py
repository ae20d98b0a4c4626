"""Warm starts: who starts from whom, and what identifies a child."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.ledger import Ledger
from orchestrator.plan.build import build_plan
from orchestrator.plan.cells import Plan
from orchestrator.space.config import ConfigError, Space
from orchestrator.study import planning
from orchestrator.study.launch import open_study

Load = Callable[..., Space]
PlanOf = Callable[[str], Plan]
WriteEditor = Callable[..., None]

SPACE = (Path(__file__).parent / "warm_start.yaml").read_text(encoding="utf-8")
WARM = "warm: {init: {from: {attribute: goblin}}}"


@pytest.fixture
def plan_of(load: Load) -> PlanOf:
    return lambda text: build_plan(load(text))


def with_warm(value: str) -> str:
    """The space with another warm start."""
    return SPACE.replace(WARM, f"warm: {{init: {value}}}")


def signatures(plan: Plan, cell: str) -> list[str]:
    return [trial.signature for trial in plan.trials if trial.cell == cell]


def parents(plan: Plan, cell: str) -> list[str | None]:
    return [trial.parent for trial in plan.trials if trial.cell == cell]


def problems_of(load: Load, text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(text)
    return [str(problem) for problem in error.value.problems]


# Planning


def test_a_parent_is_added_and_paired_with_its_child_by_seed(plan_of: PlanOf) -> None:
    plan = plan_of(SPACE)

    [parent] = [cell for cell in plan.cells if cell.role == "parent"]

    assert (parent.name, parent.config.attribute, parent.config.init) == ("attribute=goblin", "goblin", None)
    assert parent.config.training.t_edit == 400  # the domain's own setting for the parent's attribute
    assert parents(plan, "start=warm") == signatures(plan, "attribute=goblin")
    assert parents(plan, "baseline") == [None, None]


def test_every_parent_comes_before_its_children(plan_of: PlanOf) -> None:
    plan = plan_of(SPACE)
    place = {trial.signature: number for number, trial in enumerate(plan.trials)}

    assert all(place[t.parent] < place[t.signature] for t in plan.trials if t.parent is not None)
    assert [trial.seed for trial in plan.trials] == sorted(trial.seed for trial in plan.trials)


def test_the_parent_is_in_the_childs_identity(plan_of: PlanOf) -> None:
    first = plan_of(SPACE)
    other = plan_of(with_warm("{from: {attribute: smiling}}"))

    assert signatures(first, "start=warm") != signatures(other, "start=warm")
    assert signatures(first, "baseline") == signatures(other, "baseline")
    assert len({trial.signature for trial in first.trials}) == len(first.trials)


def test_how_the_parent_was_named_does_not_matter(plan_of: PlanOf) -> None:
    by_attribute = plan_of(
        SPACE.replace("seeds", "  attribute: {path: attribute, values: [zombie, goblin]}\nseeds")
    )
    text = SPACE.replace("seeds", "  attribute: {path: attribute, values: [zombie, goblin]}\nseeds")
    by_name = plan_of(text.replace("{attribute: goblin}", "{cell: attribute=goblin}"))
    by_values = plan_of(text.replace("{attribute: goblin}", "{cell: {attribute: goblin, start: scratch}}"))

    assert all(cell.role == "design" for cell in by_attribute.cells)
    expected = signatures(by_attribute, "start=warm")
    assert signatures(by_name, "start=warm") == expected
    assert signatures(by_values, "start=warm") == expected


def test_the_parents_epoch_counts_and_its_last_one_is_the_default(plan_of: PlanOf) -> None:
    default = plan_of(SPACE)
    last = plan_of(with_warm("{from: {attribute: goblin}, epoch: 2}"))
    first = plan_of(with_warm("{from: {attribute: goblin}, epoch: 1}"))

    assert signatures(last, "start=warm") == signatures(default, "start=warm")
    assert signatures(first, "start=warm") != signatures(default, "start=warm")
    assert parents(first, "start=warm") == parents(default, "start=warm")
    assert {trial.start.epoch for trial in first.trials if trial.parent} == {1}


def test_a_chain_may_have_any_depth(plan_of: PlanOf) -> None:
    plan = plan_of(with_warm("{from: {attribute: {zombie: goblin, goblin: sad, sad: smiling}}}"))
    by_signature = {trial.signature: trial for trial in plan.trials}

    trial = by_signature[signatures(plan, "start=warm")[1]]
    chain = [trial.config.attribute]
    while trial.parent is not None:
        trial = by_signature[trial.parent]
        chain.append(trial.config.attribute)

    assert chain == ["zombie", "goblin", "sad", "smiling"]
    assert trial.seed == 1


def test_several_children_share_a_parent(plan_of: PlanOf) -> None:
    text = SPACE.replace("seeds", "  attribute: {path: attribute, values: [zombie, sad]}\nseeds")

    plan = plan_of(text + "design: product\n")

    assert parents(plan, "start=warm") == parents(plan, "start=warm,attribute=sad")
    assert sum(cell.role == "parent" for cell in plan.cells) == 1


def test_an_attribute_without_an_entry_starts_from_scratch(plan_of: PlanOf) -> None:
    text = SPACE.replace("seeds", "  attribute: {path: attribute, values: [zombie, sad]}\nseeds")
    warm = "warm: {init: {from: {attribute: {zombie: goblin}}}}"

    plan = plan_of(text.replace(WARM, warm) + "design: product\n")

    [cell] = [cell for cell in plan.cells if cell.name == "attribute=sad"]
    assert cell.start is None
    assert cell.merged == ("start=warm,attribute=sad",)


@pytest.mark.parametrize(
    ("init", "epochs"),
    [
        ("{from: {attribute: goblin}}", 4),
        ("{from: {attribute: goblin}, epoch: 1}", 3),
        ("{from: {attribute: {zombie: sad, sad: smiling}}}", 6),
    ],
)
def test_a_control_spends_as_much_as_the_whole_chain(plan_of: PlanOf, init: str, epochs: int) -> None:
    text = with_warm(init).replace("training: {epochs: 2}", "training: {epochs: 2, t_edit: 500}")

    plan = plan_of(text)

    [control] = [cell for cell in plan.cells if cell.name == "start=scratch_matched_to_warm"]
    assert (control.config.init, control.config.training.epochs) == (None, epochs)
    assert control.axis_values == {"start": "scratch_matched_to_warm"}
    assert len(signatures(plan, control.name)) == 2


def test_compute_is_counted_in_images_and_timesteps(plan_of: PlanOf) -> None:
    """The parent edits 24 of 40 timesteps (t_edit 400), the child 20: their 2 epochs each are 4.4 of the child's."""
    [control] = [cell for cell in plan_of(SPACE).cells if cell.name == "start=scratch_matched_to_warm"]

    assert control.config.training.epochs == 4


def test_a_control_that_the_space_has_anyway_is_not_added_again(plan_of: PlanOf) -> None:
    text = SPACE.replace("scratch: {}", "scratch: {}\n      longer: {training: {epochs: 4}}")

    plan = plan_of(text)

    [warm] = [cell for cell in plan.cells if cell.name == "start=warm"]
    assert warm.start is not None
    assert warm.start.control == "start=longer"
    assert [cell.name for cell in plan.cells] == [
        "baseline",
        "start=longer",
        "start=warm",
        "attribute=goblin",
    ]


def test_a_control_can_be_left_out(plan_of: PlanOf) -> None:
    plan = plan_of(with_warm("{from: {attribute: goblin}, control: false}"))

    assert [cell.name for cell in plan.cells] == ["baseline", "start=warm", "attribute=goblin"]
    assert signatures(plan, "start=warm") == signatures(plan_of(SPACE), "start=warm")


def test_a_warm_baseline_has_a_parent_and_a_control_outside_the_axes(plan_of: PlanOf) -> None:
    text = (
        SPACE[: SPACE.index("axes:")].replace("  editor", f"  {WARM[7:-1]}\n  editor")
        + SPACE[SPACE.index("seeds") :]
    )

    plan = plan_of(text)

    assert [(cell.name, cell.role) for cell in plan.cells] == [
        ("baseline", "design"),
        ("baseline,start=scratch_matched", "control"),
        ("attribute=goblin", "parent"),
    ]


def test_an_editor_file_counts_by_its_content(load: Load, tmp_path: Path, write_editor: WriteEditor) -> None:
    for name, number in (("a", 1), ("b", 1), ("c", 2)):
        write_editor(tmp_path / f"{name}.safetensors", number)

    def child(name: str) -> Any:
        plan = build_plan(load(with_warm(f"{{from: {{editor: {name}.safetensors}}}}")))
        [trial] = [trial for trial in plan.trials if (trial.cell, trial.seed) == ("start=warm", 0)]
        return trial

    assert child("a").signature == child("b").signature != child("c").signature
    assert child("a").parent is None
    assert child("a").start.file == str(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("init", "line", "message"),
    [
        ("{from: {attribute: goblni}}", 11, "expected an attribute; found 'goblni'; did you mean goblin?"),
        (
            "{from: {cell: start=wram}}",
            11,
            "a cell of this plan; found 'start=wram'; did you mean start=warm?",
        ),
        ("{from: {cell: start=warm}}", 11, "comes back to itself: start=warm <- start=warm"),
        ("{from: {cell: {strat: scratch}}}", 11, "not an axis of this space: start"),
        (
            "{from: {cell: {start: scrtch}}}",
            11,
            "a value of axis start; found 'scrtch'; did you mean scratch?",
        ),
        (
            "{from: {attribute: {zombie: sad, sad: zombie}}}",
            11,
            "comes back to itself: start=warm <- attribute=sad",
        ),
        (
            "{from: {attribute: goblin}, epoch: 3}",
            11,
            "expected at most 2, the epochs of attribute=goblin; found 3",
        ),
        ("{from: {editor: gone.safetensors}}", 11, "gone.safetensors cannot be read: No such file"),
        ("{from: {editor: space.yaml}}", 11, "space.yaml cannot be read as safetensors"),
        ("{from: {editor: a.safetensors}, epoch: 1}", 11, "epoch has no meaning for an editor file"),
        (
            "{from: {attribute: goblin, cell: baseline}}",
            11,
            "one of attribute, cell or editor; found attribute and cell",
        ),
        ("{from: {}}", 11, "one of attribute, cell or editor; found none of them"),
        ("{from: {atribute: goblin}}", 11, "unknown setting; did you mean attribute?"),
    ],
)
def test_a_start_that_cannot_be_is_a_planning_error_with_its_line(
    load: Load, init: str, line: int, message: str
) -> None:
    problem, *_ = problems_of(load, with_warm(init))

    assert problem.startswith(f"space.yaml:{line}  axes.start.values.warm.init")
    assert message in problem


def test_weights_of_another_editor_are_refused(load: Load, tmp_path: Path, write_editor: WriteEditor) -> None:
    write_editor(tmp_path / "conv.safetensors", 1)
    other = SPACE.replace("{kind: conv}", "{kind: pixel_channel, num_heads: 1}")
    write_editor(tmp_path / "wide.safetensors", 1, channels=128)
    text = other.replace("{attribute: goblin}", "{editor: conv.safetensors}")
    axis = "  encoder: {path: editor.num_heads, values: [1, 4]}\nseeds"
    heads = other.replace("seeds", axis).replace("{attribute: goblin}", "{cell: encoder=4}")

    [of_file], [of_cell] = problems_of(load, text), problems_of(load, heads)
    [of_shape] = problems_of(load, with_warm("{from: {editor: wide.safetensors}}"))

    assert "conv.safetensors holds another editor: conv, and this cell's is pixel_channel" in of_file
    assert "for a bottleneck of (128, 4, 4, 256), and tiny has (64, 4, 4, 256)" in of_shape
    assert "encoder=4 has another editor: its num_heads is 4, this cell's 1" in of_cell


def test_plan_prints_the_chains_and_their_controls(load: Load, tmp_path: Path) -> None:
    space = load(with_warm("{from: {attribute: {zombie: sad, sad: smiling}}, epoch: 1}"))
    study = open_study(space, tmp_path / "results")
    paper = io.StringIO()
    view = planning.PlanView(study, planning.standing(study, Ledger(study.ledger_folder)), None)

    planning.show(view, Console(file=paper, width=200))

    printed = paper.getvalue()
    assert (
        "warm start: attribute=smiling (epoch 1 of 2) -> attribute=sad (epoch 1 of 2) -> start=warm (2 epochs); "
        "equal compute from scratch: start=scratch_matched_to_warm (4 epochs)" in printed
    )
    [warm] = [cell for cell in planning.as_json(view)["cells"] if cell["cell"] == "start=warm"]
    assert (warm["starts_from"]["cell"], warm["starts_from"]["epoch"]) == ("attribute=sad", 1)
