"""Mistakes of the published code in training, each impossible here; every test fails if its mistake comes back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from orchestrator.ledger import Ledger
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import open_study
from orchestrator.study.runner import RunOptions, run_missing
from trainables.h_space.config import CellConfig
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.prompts import AttributeTexts
from trainables.h_space.timesteps import training_timesteps
from trainables.h_space.training import Objective, train_batches
from trainables.h_space.trajectories import load_cached, preparation_tasks, run_preparation
from trainables.h_space.trial import Trial
from trainables.randomness import generator_for

NewTrial = Callable[[CellConfig], Trial]

TRAINING = {"num_images": 4, "batch_size": 4, "epochs": 1, "num_train_steps": 5, "t_edit": 500}
EVALUATION = {"num_images": 2, "strengths": [1.0], "num_sample_steps": 5, "num_preview_images": 1}


def cell(attribute: str = "smiling", **training: Any) -> CellConfig:
    return CellConfig.model_validate(
        {
            "domain": "avatars",
            "attribute": attribute,
            "editor": {"kind": "conv"},
            "training": {**TRAINING, **training},
            "evaluation": EVALUATION,
        }
    )


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trajectory cache that the tests share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def new_trial(cache_dir: Path) -> NewTrial:
    """A trial of seed 0 of a cell, everything it needs prepared."""

    def make(config: CellConfig) -> Trial:
        for task in preparation_tasks(config, cache_dir):
            run_preparation(task, cache_dir)
        return Trial(config, 0, cache_dir=cache_dir)

    return make


def test_every_image_is_compared_with_its_own_original(new_trial: NewTrial, cache_dir: Path) -> None:
    """Reference: with a batch above 1 the last image's embedding served for all of them."""
    config = cell(clip_loss="plain")
    domain = load_domain("avatars")
    new_trial(config)
    images = load_cached(config, "train", cache_dir)
    timesteps = training_timesteps(config.training.num_train_steps, config.training.lowest_t, 999)[:1]
    objective = Objective(AttributeTexts.of(domain, config.edit).direction, 0.3, config.training)
    editor = config.editor.build(domain.diffusion.shape, generator_for(0, "init"), (999,))

    def direction_losses(batches: list[list[int]]) -> list[float]:
        read = [images.batch(rows) for rows in batches]
        found = train_batches(
            domain.diffusion, domain.embed, editor, objective, read, timesteps, editor.zero_grad
        )
        return [losses[0].direction for losses in found]

    alone = direction_losses([[0], [1], [2], [3]])
    (together,) = direction_losses([[0, 1, 2, 3]])

    assert max(alone) - min(alone) > 0.01
    assert together == pytest.approx(sum(alone) / 4, abs=1e-5)


def test_no_attribute_trains_towards_the_texts_of_an_earlier_one(new_trial: NewTrial) -> None:
    """Reference: the text direction was computed once and kept when the loss went on to another attribute."""

    def towards(attribute: str) -> Tensor:
        clip, edit = load_domain("avatars").clip, cell(attribute).edit
        templates = load_domain("avatars").templates
        target, source = (
            clip.text([template.format(text) for template in templates])
            for text in (edit.target, edit.source)
        )
        return functional.normalize((target - source).mean(dim=0), dim=0)

    trials = [new_trial(cell(attribute)) for attribute in ("sad", "smiling", "sad")]
    losses = [trial.step()["loss_direction"] for trial in trials]

    for trial, attribute in zip(trials, ("sad", "smiling", "sad"), strict=True):
        torch.testing.assert_close(trial._objective.text_direction, towards(attribute))
    assert losses[0] == losses[2]
    assert abs(losses[1] - losses[0]) > 1e-3


def test_a_curve_of_the_directional_loss_holds_the_directional_loss(new_trial: NewTrial) -> None:
    """Reference: curves captioned "directional CLIP loss" showed CLIP and L1 terms, weighted, summed over timesteps."""
    weighted = {"lambda_clip": 5.0, "lambda_recon": 4.0, "optimizer": {"learning_rate": 1e-9}}
    plain, heavy = (
        new_trial(cell(**changes)) for changes in ({"optimizer": {"learning_rate": 1e-9}}, weighted)
    )
    longer = new_trial(cell(t_edit=200, optimizer={"learning_rate": 1e-9}))

    rows = []
    for trial in (plain, heavy, longer):
        trial.step()
        rows.append(trial._progress.curves[0])

    for row in rows:
        per_t = row["loss_direction_per_t"]
        assert row["loss_direction"] == pytest.approx(sum(per_t) / len(per_t))  # a mean, not a sum
        assert all(0 <= loss <= 2 for loss in per_t)
        assert len(per_t) == len(row["timesteps"])
    assert rows[1]["loss_direction"] == pytest.approx(rows[0]["loss_direction"], abs=1e-4)  # no weights in it
    assert rows[1]["loss_recon"] == pytest.approx(rows[0]["loss_recon"], abs=1e-4)
    assert rows[1]["loss_total"] > 2 * rows[0]["loss_total"]
    assert rows[2]["loss_direction_per_t"][:2] == pytest.approx(rows[0]["loss_direction_per_t"][:2], abs=1e-4)


SPACE = """
question: Does it train again?
baseline:
  domain: avatars
  attribute: smiling
  editor: {kind: conv}
  training: {num_images: 2, batch_size: 2, epochs: 1, num_train_steps: 3, t_edit: 900, optimizer: {learning_rate: RATE}}
  evaluation: {num_images: 1, strengths: [1.0], num_sample_steps: 3, num_preview_images: 0}
seeds: 1
primary: {metric: loss_total, margin: 0.1}
"""


class SilentDisplay:
    """Shows nothing."""

    def showing(self, progress: Any) -> Any:
        return self

    def __enter__(self) -> "SilentDisplay":
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def refresh(self) -> None:
        pass

    def ended(self, line: str) -> None:
        pass

    def note(self, message: str) -> None:
        pass


def test_a_study_of_the_same_name_trains_what_its_settings_ask_for(tmp_path: Path) -> None:
    """Reference: where the run name had a checkpoint, the epoch was skipped, whatever the settings had become."""

    def launch(rate: str) -> tuple[int, str, bytes]:
        (tmp_path / "same_name.yaml").write_text(SPACE.replace("RATE", rate))
        study = open_study(load_space(tmp_path / "same_name.yaml"), tmp_path / "results")
        outcome = run_missing(study, RunOptions(inline=True), SilentDisplay())
        signature = study.plan.trials[0].signature
        return (
            outcome.num_run,
            signature,
            (study.folder / "editors" / f"{signature}.safetensors").read_bytes(),
        )

    first = launch("0.001")
    changed = launch("0.01")
    again = launch("0.001")

    assert (first[0], changed[0], again[0]) == (1, 1, 0)
    assert first[1] != changed[1]
    assert first[2] != changed[2]
    assert again[1:] == first[1:]
    records = Ledger(tmp_path / "results" / "same_name" / "ledger").records()
    assert sorted(record["signature"] for record in records) == sorted([first[1], changed[1]])


def test_metrics_are_taken_with_the_prompts_of_the_trial_s_own_attribute(
    new_trial: NewTrial, cache_dir: Path
) -> None:
    """Reference: editors trained on one attribute were measured along the texts of another."""
    domain = load_domain("avatars")
    weights = None
    found = {}
    for name, config in {
        "smiling": cell("smiling"),
        "bare": cell("smiling", templates="bare"),
        "sad": cell("sad"),
    }.items():
        trial = new_trial(config)
        trial.step()
        weights = weights or {key: value.clone() for key, value in trial.editor.state_dict().items()}
        trial.editor.load_state_dict(weights)  # one editor for all, so that only the texts can differ
        result = trial.finish()
        found[name] = [row["s_dir"] for row in result.evaluations if row["image_id"]]

        images = load_cached(config, "held_out", cache_dir).batch([0, 1])
        edits = trial._evaluation.edit(trial.editor, [0, 1], 1.0)
        with torch.no_grad():
            moved = domain.clip.image(edits) - images.embedding
        expected = functional.cosine_similarity(moved, AttributeTexts.of(domain, config.edit).direction[None])
        assert found[name] == pytest.approx(expected.tolist(), abs=1e-4)

    assert found["bare"] == found["smiling"]  # what is trained towards moves no metric
    assert found["sad"] != pytest.approx(found["smiling"], abs=1e-2)
