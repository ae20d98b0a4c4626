"""One trial on the real built-in domain, made small."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.h_space.config import CellConfig
from trainables.h_space.trial import Trial, TrialFailed


def trained(config: CellConfig, cache_dir: Path, seed: int = 0) -> Trial:
    trial = Trial(config, seed, cache_dir=cache_dir)
    while not trial.is_done:
        trial.step()
    return trial


def weights(trial: Trial) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trial.editor.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def without_clock(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "train_seconds"} for row in rows]


def test_the_same_seed_gives_the_same_bytes(tiny_config: CellConfig, cache_dir: Path, tmp_path: Path) -> None:
    first, second = trained(tiny_config, cache_dir), trained(tiny_config, cache_dir)

    first.save_model(tmp_path / "first.safetensors")
    second.save_model(tmp_path / "second.safetensors")

    assert (tmp_path / "first.safetensors").read_bytes() == (tmp_path / "second.safetensors").read_bytes()
    assert first.finish().samples == second.finish().samples


def test_another_seed_gives_other_weights(tiny_config: CellConfig, cache_dir: Path) -> None:
    assert not same(weights(trained(tiny_config, cache_dir, 0)), weights(trained(tiny_config, cache_dir, 1)))


def test_a_resumed_trial_equals_an_uninterrupted_one(
    tiny_config: CellConfig, cache_dir: Path, tmp_path: Path
) -> None:
    interrupted = Trial(tiny_config, 0, cache_dir=cache_dir)
    interrupted.step()
    interrupted.save_checkpoint(tmp_path)
    resumed = Trial(tiny_config, 0, cache_dir=cache_dir)
    resumed.load_checkpoint(tmp_path, json.loads(json.dumps(list(interrupted.checkpoint_rows(0)))))
    resumed.step()

    undisturbed = trained(tiny_config, cache_dir)

    assert same(weights(resumed), weights(undisturbed))
    after, expected = resumed.finish(), undisturbed.finish()
    assert after.curves == expected.curves
    assert after.samples == expected.samples
    assert after.evaluations == expected.evaluations


def test_a_checkpoint_holds_no_pickle(tiny_config: CellConfig, cache_dir: Path, tmp_path: Path) -> None:
    Trial(tiny_config, 0, cache_dir=cache_dir).save_checkpoint(tmp_path)

    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json"}


def test_training_lowers_the_directional_loss(tiny_config: CellConfig, cache_dir: Path) -> None:
    longer = tiny_config.model_copy(
        update={"training": tiny_config.training.model_copy(update={"epochs": 6})}
    )
    trial = Trial(longer, 0, cache_dir=cache_dir)

    losses = [trial.step()["loss_direction"] for _ in range(6)]

    assert losses[-1] < losses[0] - 0.05


def test_strength_zero_is_the_reconstruction(tiny_config: CellConfig, cache_dir: Path) -> None:
    result = trained(tiny_config, cache_dir).finish()

    untouched = [row for row in result.evaluations if row["image_id"] and row["strength"] == 0.0]

    assert len(untouched) == tiny_config.evaluation.num_images
    assert all(row["l1_distance"] == 0 and row["counterfactual_gain"] == 0 for row in untouched)


def test_the_gain_of_a_trial_is_the_ratio_of_mean_distances(tiny_config: CellConfig, cache_dir: Path) -> None:
    result = trained(tiny_config, cache_dir).finish()

    rows = [row for row in result.evaluations if row["image_id"] and row["strength"] == 1.0]
    before = [row["counterfactual_gain_weight"] for row in rows]
    after = [row["counterfactual_gain_weight"] * (1 - row["counterfactual_gain"]) for row in rows]

    assert result.summary["counterfactual_gain"] == pytest.approx(1 - sum(after) / sum(before))


def test_pictures_are_kept_after_every_epoch(tiny_config: CellConfig, cache_dir: Path) -> None:
    result = trained(tiny_config, cache_dir).finish()

    edits = {(row["epoch"], row["strength"]) for row in result.samples if row["kind"] == "edit"}

    assert edits == {(1, 1.0), (2, 0.0), (2, 1.0)}
    assert {row["kind"] for row in result.samples} == {"original", "reconstruction", "counterfactual", "edit"}
    assert all(row["image"]["bytes"].startswith(b"\x89PNG") for row in result.samples)


def test_curves_count_optimizer_steps_and_image_steps(tiny_config: CellConfig, cache_dir: Path) -> None:
    curves = trained(tiny_config, cache_dir).finish().curves

    num_timesteps = len(curves[0]["timesteps"])
    assert [row["optimizer_step"] for row in curves] == [num_timesteps * n for n in (1, 2, 3, 4)]
    assert [row["image_steps"] for row in curves] == [3 * num_timesteps * n for n in (1, 2, 3, 4)]
    assert all(len(row["loss_direction_per_t"]) == num_timesteps for row in curves)


def test_a_loss_that_is_not_finite_fails_the_trial(tiny_config: CellConfig, cache_dir: Path) -> None:
    trial = Trial(tiny_config, 0, cache_dir=cache_dir)
    with torch.no_grad():
        next(trial.editor.parameters()).fill_(float("nan"))

    with pytest.raises(TrialFailed, match=r"loss is nan at epoch 1, batch 1, t = 999"):
        trial.step()


def test_a_trial_without_preparation_names_the_image(tiny_config: CellConfig, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="image avatar-0 has not been prepared"):
        Trial(tiny_config, 0, cache_dir=tmp_path)


def test_the_data_order_is_the_same_whatever_the_editor(tiny_config: CellConfig, cache_dir: Path) -> None:
    other = tiny_config.model_copy(
        update={
            "editor": CellConfig.model_validate(
                {
                    "domain": "avatars",
                    "attribute": "smiling",
                    "editor": {"kind": "pixel_channel", "num_heads": 1},
                }
            ).editor
        }
    )

    orders = [list(Trial(config, 3, cache_dir=cache_dir)._batches()) for config in (tiny_config, other)]

    assert orders[0] == orders[1]
