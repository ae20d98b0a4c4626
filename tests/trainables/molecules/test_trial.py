"""A trial from its first batch to its rows: seeds, choices, interruptions, and the traps of the published code."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.molecules.config import MoleculesConfig
from trainables.molecules.elements import TARGETS
from trainables.molecules.metrics import METRICS, PRIMARY
from trainables.molecules.model_file import ModelFileError, load_model
from trainables.molecules.molecules import MoleculeError, shipped_splits
from trainables.molecules.trial import MoleculesTrial, TrialFailed, TrialResult

SMALL = {
    "model": {"kind": "egnn", "width": 8, "depth": 2},
    "training": {"num_train": 70, "epochs": 3, "batch_size": 16},
    "evaluation": {"num_validation": 20, "num_test": 30},
}


def config_with(**changes: Any) -> MoleculesConfig:
    """The small configuration, blocks changed by their fields."""
    content: dict[str, Any] = json.loads(json.dumps(SMALL))
    for name, value in changes.items():
        content[name] = {**content.get(name, {}), **value} if isinstance(value, dict) else value
    return MoleculesConfig.model_validate(content)


def new_trial(
    tmp_path: Path, seed: int = 0, start_from: Path | None = None, **changes: Any
) -> MoleculesTrial:
    return MoleculesTrial(config_with(**changes), seed, cache_dir=tmp_path, start_from=start_from)


def trained(trial: MoleculesTrial) -> TrialResult:
    while not trial.is_done:
        trial.step()
    return trial.finish()


def weights(trial: MoleculesTrial, folder: Path) -> dict[str, Tensor]:
    path = folder / "model.safetensors"
    trial.save_model(path)
    return load_model(path).network.state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


MODELS: list[dict[str, Any]] = [
    {"kind": "egnn", "coordinate_update": "mean"},
    {"kind": "transformer", "width": 8},
    {"kind": "double_encoder_geometry", "depth": 2, "joint_depth": 1, "width": 8},
    {"kind": "double_encoder_bonds", "depth": 2, "joint_depth": 1, "width": 8},
]


def test_a_trial_leaves_curves_a_row_per_molecule_and_their_means(tmp_path: Path) -> None:
    trial = new_trial(tmp_path)
    means = [trial.step() for _ in range(3)]
    result = trial.finish()

    assert [mean["epoch"] for mean in means] == [1, 2, 3]
    assert [row["batch"] for row in result.curves] == [1, 2, 3, 4, 5] * 3
    assert [row["optimizer_step"] for row in result.curves] == list(range(1, 16))
    assert len({row["image_id"] for row in result.evaluations}) == 30
    assert {row["target"] for row in [*result.evaluations, *result.samples]} == {"alpha"}
    for name in METRICS:
        assert result.summary[name] == pytest.approx(np.mean([row[name] for row in result.evaluations]))
    for row in result.evaluations:
        assert row["error"] == row["prediction"] - row["truth"]
        assert row["mae"] == abs(row["error"])
    skill = 1 - result.summary["mae"] / result.summary["composition_mae"]
    assert result.summary[PRIMARY] == pytest.approx(skill)
    assert result.num_parameters == sum(value.numel() for value in weights(trial, tmp_path).values())


def test_skill_is_measured_against_the_fit_to_the_same_training_molecules(tmp_path: Path) -> None:
    small, large = (
        trained(new_trial(tmp_path, training={"num_train": count})).summary["composition_mae"]
        for count in (20, 200)
    )

    assert small > large


@pytest.mark.slow
def test_a_model_learns_more_than_the_counts_of_atoms(tmp_path: Path) -> None:
    """Half of what a small network can reach; one whose labels were shuffled would stay below 0."""
    result = trained(
        new_trial(
            tmp_path,
            model={"width": 16},
            training={"num_train": 300, "epochs": 12, "learning_rates": [3e-3]},
            evaluation={"num_test": 200},
        )
    )

    assert result.summary[PRIMARY] > 0.1


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["kind"])
def test_the_same_seed_gives_the_same_bits_and_another_one_other_weights(
    model: dict[str, Any], tmp_path: Path
) -> None:
    """The published QM9 code takes --seed and never uses it."""
    trials = [new_trial(tmp_path, seed, model=model, training={"epochs": 1}) for seed in (0, 0, 1)]
    one, again, other = trials
    results = [trained(trial) for trial in trials]

    assert same(weights(one, tmp_path), weights(again, tmp_path))
    assert results[0].evaluations == results[1].evaluations
    assert not same(weights(one, tmp_path), weights(other, tmp_path))
    ids = [[row["image_id"] for row in result.evaluations] for result in results]
    assert ids[0] == ids[2]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["kind"])
def test_an_interrupted_trial_goes_on_with_the_same_bits(model: dict[str, Any], tmp_path: Path) -> None:
    changes = {"model": model, "training": {"rotations": True}}
    whole, begun, resumed = (new_trial(tmp_path, **changes) for _ in range(3))
    expected = trained(whole)
    rows: list[dict[str, Any]] = []

    for _ in range(2):
        begun.step()
        rows += json.loads(json.dumps(list(begun.checkpoint_rows(begun.epoch - 1))))
    begun.save_checkpoint(tmp_path / "checkpoint")
    resumed.load_checkpoint(tmp_path / "checkpoint", rows)
    assert resumed.epoch == 2
    found = trained(resumed)

    assert same(weights(whole, tmp_path), weights(resumed, tmp_path))
    assert found.curves == expected.curves
    assert found.evaluations == expected.evaluations


def test_the_learning_rate_falls_once_to_zero(tmp_path: Path) -> None:
    """Not three times an epoch, up and down again, as in the published code."""
    rates = [row["learning_rate"] for row in trained(new_trial(tmp_path)).curves]

    assert rates == sorted(rates, reverse=True)
    assert rates[0] in config_with().training.learning_rates
    assert 0 < rates[-1] < 0.02 * rates[0]


def test_test_molecules_have_no_part_in_training_or_choice(tmp_path: Path) -> None:
    """The published code prints the test error of every epoch, and a reader can choose by it."""
    honest, poisoned = new_trial(tmp_path), new_trial(tmp_path)
    test = poisoned._molecules.test
    poisoned._molecules = poisoned._molecules._replace(test=replace(test, values=np.arange(30) * 1e6))

    results = [trained(trial) for trial in (honest, poisoned)]

    assert same(weights(honest, tmp_path), weights(poisoned, tmp_path))
    assert results[0].curves == results[1].curves
    for name in ("validation_mae", "chosen_learning_rate"):
        assert results[0].summary[name] == results[1].summary[name]
    assert results[0].summary["mae"] < results[1].summary["mae"]


def test_the_rate_with_the_lowest_validation_error_is_chosen(tmp_path: Path) -> None:
    alone = {
        rate: trained(new_trial(tmp_path, training={"learning_rates": [rate]})) for rate in (1e-5, 3e-3, 1e-3)
    }

    together = trained(new_trial(tmp_path, training={"learning_rates": list(alone)}))

    best = min(alone, key=lambda rate: alone[rate].summary["validation_mae"])
    assert best != 1e-5
    assert together.summary["chosen_learning_rate"] == best
    assert together.evaluations == alone[best].evaluations
    assert together.curves == alone[best].curves


def test_the_mean_loss_weighs_batches_by_their_size(tmp_path: Path) -> None:
    trial = new_trial(tmp_path, training={"learning_rates": [1e-3]})

    mean = trial.step()["loss"]

    rows = list(trial.checkpoint_rows(0))
    assert [row["num_molecules"] for row in rows] == [16, 16, 16, 16, 6]
    assert mean == pytest.approx(sum(row["losses"][0] * row["num_molecules"] for row in rows) / 70)


def test_rotations_leave_every_other_stream_alone(tmp_path: Path) -> None:
    """A model that is invariant learns the same with them, so pairs of cells differ in nothing else."""
    plain, turned = (
        trained(new_trial(tmp_path, training={"rotations": rotations})) for rotations in (False, True)
    )

    losses = [[row["loss"] for row in result.curves] for result in (plain, turned)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] != losses[1]


def test_turned_molecules_tell_models_of_differences_from_invariant_ones(tmp_path: Path) -> None:
    invariant, directional = (
        trained(new_trial(tmp_path, model={"geometry": geometry}))
        for geometry in ("squared_distance", "differences")
    )

    assert invariant.summary["rotation_change"] < 1e-3 * invariant.summary["mae"]
    assert invariant.summary["mae_rotated"] == pytest.approx(invariant.summary["mae"], rel=1e-4)
    assert directional.summary["rotation_change"] > 20 * invariant.summary["rotation_change"]
    assert directional.notes == ["geometry differences: predictions change when a molecule is turned"]


def test_a_rate_that_diverges_is_noted_and_never_chosen(tmp_path: Path) -> None:
    result = trained(new_trial(tmp_path, training={"learning_rates": [1e30, 1e-3]}))

    assert result.summary["chosen_learning_rate"] == 1e-3
    assert any(note.startswith("learning rate 1e+30 gave loss") for note in result.notes)


def test_a_trial_whose_every_rate_diverges_fails_with_the_reason(tmp_path: Path) -> None:
    trial = new_trial(tmp_path, training={"learning_rates": [1e30]})

    with pytest.raises(TrialFailed, match=r"learning rate 1e\+30 gave loss (nan|inf) at epoch 1, batch"):
        trained(trial)


def test_a_saved_model_predicts_as_the_trial_did(tmp_path: Path) -> None:
    trial = new_trial(tmp_path, target="u0")
    result = trained(trial)
    trial.save_model(tmp_path / "model.safetensors")

    model = load_model(tmp_path / "model.safetensors")

    predicted = model.predict(shipped_splits(TARGETS["u0"]).test.first(30))
    assert predicted.tolist() == [row["prediction"] for row in result.evaluations]
    assert model.config == trial.config
    trial.save_model(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_a_trial_starts_from_a_model_of_another_target(tmp_path: Path) -> None:
    parent = new_trial(tmp_path, seed=3, target="u0")
    trained(parent)
    parent.save_model(tmp_path / "parent.safetensors")

    child = new_trial(tmp_path, start_from=tmp_path / "parent.safetensors", training={"num_train": 40})

    assert child.epoch == 0
    assert same(weights(child, tmp_path), load_model(tmp_path / "parent.safetensors").network.state_dict())
    result = trained(child)
    assert result.notes == ["started from the u0 model of seed 3 after epoch 3 (parent.safetensors)"]
    assert (
        load_model(tmp_path / "model.safetensors").length
        == load_model(tmp_path / "parent.safetensors").length
    )


def test_a_model_with_other_settings_is_no_start(tmp_path: Path) -> None:
    parent = new_trial(tmp_path)
    parent.save_model(tmp_path / "parent.safetensors")

    with pytest.raises(
        ModelFileError, match=r"cannot start from parent.safetensors: its model has width 8 instead of 16"
    ):
        new_trial(tmp_path, start_from=tmp_path / "parent.safetensors", model={"width": 16})


def test_files_that_are_no_models_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(ModelFileError, match="cannot be read as safetensors"):
        load_model(path)
    new_trial(tmp_path).save_model(path)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"molecule model", b"molecule modem"))

    with pytest.raises(ModelFileError, match="expected an asyrp-sweep molecule model of version 1"):
        load_model(path)
    path.write_bytes(whole.replace(b'width\\\\\\":8', b'width\\\\\\":9'))
    with pytest.raises(ModelFileError, match="its parts do not fit each other"):
        load_model(path)


def test_more_molecules_than_there_are_is_told(tmp_path: Path) -> None:
    with pytest.raises(MoleculeError, match="num_train: expected at most 5000; found 6000"):
        new_trial(tmp_path, training={"num_train": 6000})
