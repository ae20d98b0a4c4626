"""Which cells and trials a space asks for, and when two of them are the same."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from orchestrator.plan import build as plan
from orchestrator.plan.build import build_plan
from orchestrator.plan.cells import Cell, Plan, resolve_cell
from orchestrator.plan.identity import Identity
from orchestrator.space.config import ConfigError, Space
from orchestrator.space.points import Point
from orchestrator.study.document import study_document
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import DomainSummary
from trainables.h_space.domains.thresholds import IntervalThresholds
from trainables.h_space.editors import EDITORS
from trainables.h_space.family import HSpace
from trainables.h_space.layers import Summarise

HEADS = "  heads: {path: editor.num_heads, values: [1, 2, 4, 8]}\n"


@pytest.fixture
def plan_of(load: Callable[..., Space]) -> Callable[..., Plan]:
    def plan(text: str, **options: Any) -> Plan:
        return build_plan(load(text, **options))

    return plan


PlanOf = Callable[..., Plan]


def signatures(plan: Plan) -> dict[tuple[str, int], str]:
    return {(trial.cell, trial.seed): trial.signature for trial in plan.trials}


def with_axis(text: str, axis: str) -> str:
    return text.replace("axes:\n", f"axes:\n{axis}")


def test_one_factor_runs_the_baseline_and_each_axis_alone(plan_of: PlanOf, space_text: str) -> None:
    plan = plan_of(with_axis(space_text, HEADS))

    assert [cell.name for cell in plan.cells] == ["baseline", "heads=2", "heads=4", "heads=8", "encoder=conv"]
    assert [cell.is_baseline for cell in plan.cells] == [True, False, False, False, False]
    assert plan.cells[1].axis_values == {"heads": 2, "encoder": "pixel_channel"}


def test_product_joins_the_head_counts_of_a_convolution_into_one_cell(
    plan_of: PlanOf, space_text: str
) -> None:
    plan = plan_of(with_axis(space_text, HEADS) + "design: product\n")

    conv = next(cell for cell in plan.cells if cell.config.editor.kind == "conv")
    assert len(plan.cells) == 5
    assert conv.name == "encoder=conv"
    assert conv.merged == ("heads=2,encoder=conv", "heads=4,encoder=conv", "heads=8,encoder=conv")
    assert conv.coinciding[0].axis_values == {"heads": 2, "encoder": "conv"}
    assert conv.dropped == ("editor.num_heads",)


def test_settings_without_effect_make_no_second_cell(plan_of: PlanOf, space_text: str) -> None:
    axes = (
        "  norm: {path: editor.norm, values: [group, instance]}\n"
        "  temporal: {path: editor.temporal, values: [add, adaptive_group_norm]}\n"
    )
    plan = plan_of(
        with_axis(space_text, axes).replace("[pixel_channel, conv]", "[pixel_channel]") + "design: product\n"
    )

    assert [(cell.name, cell.merged) for cell in plan.cells] == [
        ("baseline", ()),
        ("temporal=adaptive_group_norm", ("norm=instance,temporal=adaptive_group_norm",)),
        ("norm=instance", ()),
    ]


def test_trials_come_seed_by_seed_so_that_pairs_are_complete(plan_of: PlanOf, space_text: str) -> None:
    plan = plan_of(space_text)

    assert [(trial.cell, trial.seed) for trial in plan.trials] == [
        ("baseline", 0),
        ("encoder=conv", 0),
        ("baseline", 1),
        ("encoder=conv", 1),
    ]


def test_later_layers_win(load: Callable[..., Space], space_text: str) -> None:
    text = with_axis(space_text, "  length: {values: {short: {}, long: {training: {epochs: 7}}}}\n")
    space = load(text.replace("smiling", "goblin"), settings=["training.batch_size=3"])

    short = resolve_cell(space, {"length": "short", "encoder": "conv"})
    long = resolve_cell(space, {"length": "long", "encoder": "pixel_channel"})

    assert (short.training.epochs, long.training.epochs) == (2, 7)  # the domain's, the axis's
    assert short.training.t_edit == 400  # the attribute's
    assert short.training.optimizer.learning_rate == 0.005  # the editor's
    assert long.training.optimizer.learning_rate == 0.001  # nobody's: the default
    assert short.training.batch_size == 3  # the command line's


def test_what_a_space_says_of_one_domain_holds_there_alone(plan_of: PlanOf, space_text: str) -> None:
    text = (
        space_text
        + "per_domain: {tiny: {training: {num_images: 6, t_edit: 300, optimizer: {learning_rate: 0.01}}}}\n"
    )
    own = text.replace("  attribute: smiling\n", "  attribute: goblin\n  training: {t_edit: 200}\n")

    here, elsewhere = plan_of(own).cells, plan_of(text.replace("domain: tiny", "domain: wide")).cells

    assert {cell.config.training.num_images for cell in here} == {6}
    assert {cell.config.training.t_edit for cell in here} == {200}, "the baseline wins"
    assert {cell.config.training.optimizer.learning_rate for cell in here} == {0.01}, (
        "over the domain's editors"
    )
    assert {cell.config.training.num_images for cell in elsewhere} == {10}


def test_an_axis_of_named_values_finds_the_baseline_among_them(plan_of: PlanOf, space_text: str) -> None:
    axis = "  rate: {values: {high: {training: {lambda_clip: 2.0}}, usual: {training: {lambda_clip: 0.8}}}}\n"

    plan = plan_of(with_axis(space_text, axis))

    assert plan.cells[0].axis_values == {"rate": "usual", "encoder": "pixel_channel"}
    assert [cell.name for cell in plan.cells] == ["baseline", "rate=high", "encoder=conv"]


def test_a_baseline_without_the_setting_still_stands_on_its_axis(plan_of: PlanOf, space_text: str) -> None:
    text = with_axis(space_text, HEADS).replace(
        "kind: pixel_channel, num_heads: 1", "kind: conv, num_heads: 2"
    )

    plan = plan_of(text)

    by_name = {cell.name: cell for cell in plan.cells}
    assert by_name["baseline"].axis_values == {"heads": 2, "encoder": "conv"}
    assert by_name["baseline"].merged == ("heads=1", "heads=4", "heads=8")
    assert by_name["encoder=pixel_channel"].config.editor.model_dump()["num_heads"] == 2


@pytest.mark.parametrize(
    "change",
    [
        ("seeds: 2", "seeds: 5"),
        ("conv]", "conv, pixel]"),
        ("seeds: 2", "seeds: 2\nexecution: {threads_per_trial: 4, max_retries: 0}"),
        ("question: Which", "question: Truly, which"),
        ("margin: 0.05", "margin: 0.1"),
        ("domain: tiny\n  attribute: smiling", "attribute: smiling\n  domain: tiny"),
        ("domain: tiny", "domain: tiny\n  training: {epochs: 2}"),
    ],
    ids=[
        "more seeds",
        "more values",
        "execution",
        "question",
        "margin",
        "key order",
        "a default written out",
    ],
)
def test_what_moves_no_number_keeps_signatures(
    plan_of: PlanOf, space_text: str, change: tuple[str, str]
) -> None:
    before, after = plan_of(space_text), plan_of(space_text.replace(*change))

    assert signatures(before).items() <= signatures(after).items()


def test_trials_are_still_known_by_the_signatures_that_ledgers_hold(plan_of: PlanOf, space_text: str) -> None:
    fixed = space_text.replace("attribute: smiling", "attribute: smiling\n  images: fixed")

    assert signatures(plan_of(fixed)) == {
        ("baseline", 0): "e7209e112a41692f",
        ("encoder=conv", 0): "e9af6d39bfc493fa",
        ("baseline", 1): "34bd77aec4bee66b",
        ("encoder=conv", 1): "ed7d5dfec61155f6",
    }


def test_a_domain_s_own_thresholds_count_where_t_edit_comes_from_them(
    load: Callable[..., Space], summarise: Summarise, space_text: str
) -> None:
    config = build_plan(load(space_text)).cells[0].config
    automatic = config.model_copy(update={"training": config.training.model_copy(update={"t_edit": "auto"})})
    published = summarise("tiny")
    own = replace(published, interval=IntervalThresholds(t_edit=0.1))

    def signature(config: CellConfig, domain: DomainSummary) -> str:
        return Identity(HSpace(lambda _: domain), config).signature(0, parent=None)

    assert signature(config, own) == signature(config, published)
    assert signature(automatic, own) != signature(automatic, published)


def test_a_file_of_subgroups_counts_by_its_content(plan_of: PlanOf, space_text: str, tmp_path: Path) -> None:
    for name, group in (("one", "a"), ("same", "a"), ("other", "b")):
        (tmp_path / f"{name}.csv").write_text(f"image_id,team\nx,{group}\n")

    def planned(name: str) -> dict[tuple[str, int], str]:
        evaluation = f"evaluation: {{subgroups: [team], subgroup_file: {name}.csv}}"
        return signatures(plan_of(space_text.replace("domain: tiny", f"domain: tiny\n  {evaluation}")))

    assert planned("one") == planned("same") != planned("other")


OTHER_FOR: dict[str, Any] = {
    "domain": "wide",
    "attribute": "sad",
    "editor.kind": "channel_pixel",
    "editor.num_heads": 2,
    "editor.num_groups": 16,
    "evaluation.fid_features": "clip",
}


def choices(annotation: Any) -> list[Any]:
    """The literal values that an annotation allows."""
    inside = [choice for part in get_args(annotation) if part is not None for choice in choices(part)]
    return list(get_args(annotation)) if get_origin(annotation) is Literal else inside


def annotation_of(path: str) -> Any:
    model: Any = CellConfig
    for part in path.split("."):
        model = EDITORS["pixel_channel"] if part == "editor" else model.model_fields[part].annotation
    return model


def others(path: str, value: Any) -> list[Any]:
    """Values for a setting other than the one it has; at least one of them is valid."""
    if path in OTHER_FOR:
        return [OTHER_FOR[path]]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, str):
        return [choice for choice in choices(annotation_of(path)) if choice != value]
    if isinstance(value, list):
        return [[*value, more] for more in (0.75, 7, "l1_distance", "s_dir")]
    return [value + 1, 1] if isinstance(value, int) else [value / 2 or 0.5]


def leaves(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        inside = leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
        found |= inside
    return found


def test_every_setting_that_acts_moves_the_signature_of_a_cell(
    load: Callable[..., Space], space_text: str
) -> None:
    text = space_text.replace("axes:\n  encoder: {path: editor.kind, values: [pixel_channel, conv]}\n", "")
    baseline = build_plan(load(text)).trials[0]
    config = baseline.config
    blocks = (("editor", config.editor), ("training", config.training))
    idle = {f"{name}.{setting}" for name, block in blocks for setting in block.inactive()}
    idle |= {f"training.optimizer.{setting}" for setting in config.training.optimizer.inactive()}
    settings = leaves(config.model_dump(mode="json", exclude={"schema_version"}, exclude_none=True))
    found = {"nothing": baseline.signature}

    for path, value in settings.items():
        for other in others(path, value):
            try:
                space = load(text, settings=[f"{path}={json.dumps(other)}"])
            except ConfigError:
                continue  # not beside the other settings
            moved = build_plan(space).trials[0].signature
            found[path] = moved if path not in idle else path
            break

    assert len(found) > 20
    of_latents = {
        "training.recon_in",
        "precision.decoder",
    }  # refused on pixels, as here; tests of latents hold it
    assert found.keys() == {"nothing", *settings} - of_latents
    assert len(set(found.values())) == len(found), found


def test_seed_parent_and_fingerprint_move_a_signature(
    load: Callable[..., Space], summarise: Summarise, space_text: str
) -> None:
    config = build_plan(load(space_text)).cells[0].config
    tiny, wide = HSpace(summarise), HSpace(lambda _: summarise("wide"))

    found = {
        Identity(tiny, config).signature(0, parent=None),
        Identity(tiny, config).signature(1, parent=None),
        Identity(tiny, config).signature(0, parent="a" * 16),
        Identity(wide, config).signature(0, parent=None),
    }

    assert len(found) == 4
    assert all(len(signature) == 16 for signature in found)


def test_a_domain_file_counts_by_its_content_not_its_place(
    plan_of: PlanOf, space_text: str, tmp_path: Any
) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.yaml").touch()

    here = plan_of(space_text.replace("domain: tiny", "domain: here/mine.yaml"))
    there = plan_of(space_text.replace("domain: tiny", "domain: there/mine.yaml"))

    assert here.cells[0].config.domain == str(tmp_path / "here" / "mine.yaml")
    assert signatures(here) == signatures(there)


@pytest.mark.parametrize(
    ("old", "new", "moves"),
    [
        ("metric: s_dir", "metric: l1_distance", True),
        ("margin: 0.05", "margin: 0.1", True),
        ("margin: 0.05", "margin: 0.05, alpha: 0.01", True),
        ("conv]", "conv, pixel]", True),
        ("seeds: 2", "seeds: 2\ndesign: product", True),
        (
            "seeds: 2",
            "seeds: 2\nclaims: [{text: t, axis: encoder, better: conv, worse: pixel_channel}]",
            True,
        ),
        ("seeds: 2", "seeds: 3", False),
        ("question: Which", "question: Truly, which", False),
        ("seeds: 2", "seeds: 2\nexecution: {threads_per_trial: 2}", False),
    ],
)
def test_the_plan_hash_covers_what_is_decided_before_running(
    plan_of: PlanOf, space_text: str, old: str, new: str, moves: bool
) -> None:
    before, after = plan_of(space_text), plan_of(space_text.replace(old, new))

    assert (before.plan_hash != after.plan_hash) is moves


def test_checks_and_plans_of_a_space_resolve_its_cells_once(
    load: Callable[..., Space], space_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved: list[str] = []

    def counting(space: Space, point: Point) -> Cell:
        resolved.append(point.name)
        return make_cell(space, point)

    make_cell = plan.cell_at
    monkeypatch.setattr(plan, "cell_at", counting)

    space = load(space_text)
    first, second = build_plan(space), build_plan(space)
    build_plan(load(space_text))

    assert first == second
    assert resolved == ["baseline", "encoder=conv"] * 2


def test_the_study_document_tells_readers_the_plan(load: Callable[..., Space], space_text: str) -> None:
    space = load(with_axis(space_text, HEADS) + "design: product\n")
    plan = build_plan(space)

    document = study_document(plan, space)

    assert document["axes"] == {"heads": [1, 2, 4, 8], "encoder": ["pixel_channel", "conv"]}
    assert document["primary"] == {"metric": "s_dir", "margin": 0.05, "alpha": 0.05}
    assert document["space_file_text"] == space.text
    conv = next(cell for cell in document["cells"] if cell["cell"] == "encoder=conv")
    assert [values["heads"] for values in conv["merged"]] == [2, 4, 8]
    assert [trial["seed"] for trial in conv["trials"]] == [0, 1]
    assert conv["num_parameters"] == plan.family.num_parameters(plan.cells[1].config) > 0
