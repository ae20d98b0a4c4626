"""What an evaluation does around its metrics: strengths, step counts, boost noise, averaged Delta-h, whole sets."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from orchestrator.ledger import TABLES
from trainables.h_space.config import CellConfig, EvaluationConfig
from trainables.h_space.diffusion import generate, invert
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.evaluation import Evaluation
from trainables.h_space.family import FAMILY
from trainables.h_space.metrics import METRICS, SetMetric
from trainables.h_space.prompts import AttributeTexts
from trainables.h_space.timesteps import timestep_sequence
from trainables.h_space.trajectories import load_cached

Row = dict[str, Any]


def push(h: Tensor, temb: Tensor, t: int, scale: float = 0.3) -> Tensor:
    """An editor that depends on the image."""
    return scale * h.flip(1)


@pytest.fixture(scope="module")
def evaluate(tiny_config: CellConfig, cache_dir: Path) -> Any:
    """`evaluate(editor=..., seed=..., **settings)`: (rows, summary) of the tiny configuration with other settings."""
    domain = load_domain("avatars")
    texts = AttributeTexts.of(domain, tiny_config.edit)

    def run(editor: Any = push, seed: int = 0, **settings: Any) -> tuple[list[Row], dict[str, float]]:
        own = tiny_config.evaluation.model_dump() | {"num_images": 3, "num_preview_images": 0} | settings
        config = tiny_config.model_copy(update={"evaluation": EvaluationConfig.model_validate(own)})
        train, test = (load_cached(config, role, cache_dir) for role in ("train", "held_out"))
        evaluation = Evaluation(config, domain, test, texts, seed=seed, train_images=train)
        evaluations, _, summary = evaluation.run(editor, 1)
        return evaluations, summary

    return run


@pytest.fixture(scope="module")
def swept(evaluate: Any) -> tuple[list[Row], dict[str, float]]:
    """Negative and positive strengths at the trained and at another number of steps."""
    found: tuple[list[Row], dict[str, float]] = evaluate(
        strengths=[-1.0, 0.0, 1.0], more_sample_steps=[4], metrics=["segmentation_consistency"]
    )
    return found


def test_preview_strengths_are_shown_and_not_measured(tiny_config: CellConfig, cache_dir: Path) -> None:
    domain = load_domain("avatars")
    own = tiny_config.evaluation.model_dump() | {
        "num_images": 3,
        "num_preview_images": 2,
        "strengths": [0.0, 1.0],
    }
    shown = own | {"preview_strengths": [-0.5, 0.5]}
    runs = []
    for settings in (own, shown):
        config = tiny_config.model_copy(update={"evaluation": EvaluationConfig.model_validate(settings)})
        texts = AttributeTexts.of(domain, config.edit)
        runs.append(
            Evaluation(config, domain, load_cached(config, "held_out", cache_dir), texts).run(push, 1)
        )
    (rows, samples, summary), (more_rows, more_samples, more_summary) = runs

    assert (more_rows, more_summary) == (rows, summary)
    assert more_samples[: len(samples)] == samples
    new = more_samples[len(samples) :]
    assert [(row["kind"], row["strength"]) for row in new] == [("edit", -0.5)] * 2 + [("edit", 0.5)] * 2
    assert len({row["image"]["bytes"] for row in [*samples, *new] if row["kind"] == "edit"}) == 8


def of_images(rows: list[Row], strength: float, steps: int = 6) -> list[Row]:
    return [
        row
        for row in rows
        if row["image_id"] and (row["strength"], row["num_sample_steps"]) == (strength, steps)
    ]


def test_every_image_has_a_row_at_every_strength_and_step_count(swept: Any) -> None:
    rows, _ = swept

    for steps in (6, 4):
        for strength in (-1.0, 0.0, 1.0):
            assert len({row["image_id"] for row in of_images(rows, strength, steps)}) == 3
    assert all(row["l1_distance"] == 0 for steps in (6, 4) for row in of_images(rows, 0.0, steps))


def test_every_metric_is_under_the_names_that_it_declares(swept: Any) -> None:
    rows, summary = swept

    told = [metric for metric in METRICS.values() if metric.name in summary]
    assert set(summary) == {name for metric in told for name in metric.summary_columns}
    coordinates = {coordinate.name for coordinate in FAMILY.coordinates}
    known = coordinates | {*TABLES["evaluations"].names, *FAMILY.further_columns()["evaluations"]}
    found = {name for row in rows for name in row} - known
    assert found == {name for metric in told for name in metric.row_columns}


def test_a_negative_strength_edits_the_other_way(swept: Any) -> None:
    rows, _ = swept

    assert all(row["l1_distance"] > 0 for row in of_images(rows, -1.0))
    assert [row["s_dir_from_reconstruction"] for row in of_images(rows, -1.0)] != pytest.approx(
        [row["s_dir_from_reconstruction"] for row in of_images(rows, 1.0)], abs=1e-3
    )


def test_another_step_count_is_compared_with_its_own_reconstruction(
    swept: Any, tiny_config: CellConfig
) -> None:
    rows, _ = swept
    domain = load_domain("avatars")
    row = of_images(rows, 1.0, steps=4)[0]

    x_T = invert(domain.diffusion, domain.load_images([row["image_id"]]), timestep_sequence(6, 999))
    make = partial(generate, domain.diffusion, x_T, timestep_sequence(4, 999))
    edit = make(push, strength_scale=6 / 4, t_edit=tiny_config.training.lowest_t)

    assert row["l1_distance"] == pytest.approx(float((edit - make()).abs().mean()), abs=1e-4)


def test_sets_have_one_row_at_every_strength_and_step_count(swept: Any) -> None:
    rows, summary = swept
    names = [name for name, metric in METRICS.items() if isinstance(metric, SetMetric)]

    of_sets = {(row["strength"], row["num_sample_steps"]): row for row in rows if row["image_id"] is None}

    assert of_sets.keys() == {(strength, steps) for strength in (-1.0, 0.0, 1.0) for steps in (6, 4)}
    primary = of_sets[1.0, 6]
    assert {name: summary[name] for name in names} == {name: primary[name] for name in names}
    assert primary["num_images"] == 3
    assert primary["feature_extractor"].startswith("CLIP of avatars")
    for steps in (6, 4):
        assert of_sets[0.0, steps]["frechet_distance_from_reconstruction"] == pytest.approx(0, abs=1e-6)
        assert of_sets[0.0, steps]["frechet_distance"] > 1e-4


def test_subgroups_of_a_file_have_rows_of_their_own_and_label_the_images(
    swept: Any, evaluate: Any, tmp_path: Path
) -> None:
    ids = [row["image_id"] for row in of_images(swept[0], 1.0)]
    table = tmp_path / "teams.csv"
    table.write_text(f"image_id,team\n{ids[0]},red\n{ids[1]},blue\n{ids[2]},red\n")

    rows, summary = evaluate(strengths=[1.0], subgroups=["team", "kind"], subgroup_file=str(table))

    of_sets = {row["subgroup"]: row for row in rows if row["image_id"] is None}
    assert {name: row["num_images"] for name, row in of_sets.items()} == {
        None: 3,
        "team=red": 2,
        "kind=person": 3,
    }
    assert (
        summary["kernel_distance"]
        == of_sets[None]["kernel_distance"]
        == of_sets["kind=person"]["kernel_distance"]
        != of_sets["team=red"]["kernel_distance"]
    )
    assert [json.loads(row["labels"])["team"] for row in of_images(rows, 1.0)] == ["red", "blue", "red"]
    assert json.loads(of_images(rows, 1.0)[0]["labels"])["kind"] == "person"


def test_optional_metrics_are_measured_only_where_they_are_named(swept: Any, evaluate: Any) -> None:
    rows, summary = swept
    plain, _ = evaluate(strengths=[0.0], primary_strength=0.0)

    assert 0 < summary["segmentation_consistency"] <= 1
    assert "segmentation_consistency_from_reconstruction" not in rows[0]
    assert not any("segmentation_consistency" in row for row in plain)
    with pytest.raises(ValueError, match=r"evaluation\.metrics: beauty is no metric"):
        evaluate(metrics=["beauty"])


def test_shifts_along_every_attribute_are_recorded_with_each_image(swept: Any) -> None:
    rows, _ = swept

    shifts = json.loads(of_images(rows, 1.0)[0]["attribute_shifts"])

    assert {"smiling", "sad", "goblin", "tanned"} <= shifts.keys()
    other = [
        abs(value) for name, value in shifts.items() if name not in ("smiling", "sad", "angry", "surprised")
    ]
    assert of_images(rows, 1.0)[0]["leakage"] == pytest.approx(sum(other) / len(other), rel=1e-4)


def test_an_image_s_boost_noise_depends_on_nothing_but_the_seed_and_itself(evaluate: Any) -> None:
    several, _ = evaluate(t_boost=400)
    one, _ = evaluate(t_boost=400, num_images=1)
    other_seed, _ = evaluate(t_boost=400, num_images=1, seed=1)

    assert one[0]["l1_distance"] == several[0]["l1_distance"] == 0
    edited = [of_images(rows, 1.0)[0]["s_dir"] for rows in (several, one, other_seed)]
    assert edited[1] == pytest.approx(edited[0], abs=1e-4)
    assert edited[2] != pytest.approx(edited[0], abs=1e-3)


@pytest.mark.parametrize("delta_h", ["mean", "global"])
def test_an_averaged_delta_h_is_the_editor_s_own_where_that_is_constant(evaluate: Any, delta_h: str) -> None:
    def constant(h: Tensor, temb: Tensor, t: int) -> Tensor:
        return torch.full_like(h, 0.2)

    own, _ = evaluate(constant)
    averaged, _ = evaluate(constant, delta_h=delta_h)

    expected = [row["l1_distance"] for row in of_images(own, 1.0)]
    assert [row["l1_distance"] for row in of_images(averaged, 1.0)] == pytest.approx(expected, rel=1e-3)


def test_an_averaged_delta_h_is_no_longer_that_of_each_image(evaluate: Any) -> None:
    predicted, mean = (evaluate(delta_h=kind)[1]["l1_distance"] for kind in ("predicted", "mean"))

    assert mean != pytest.approx(predicted, rel=1e-3)


def test_one_image_has_no_set_metrics(evaluate: Any) -> None:
    rows, summary = evaluate(num_images=1, strengths=[0.0], primary_strength=0.0)

    assert len(rows) == 1
    assert "frechet_distance" not in summary


def test_a_step_count_is_named_once() -> None:
    with pytest.raises(ValueError, match="more_sample_steps names 20, which num_sample_steps is already"):
        EvaluationConfig(num_sample_steps=20, more_sample_steps=(20, 40))
