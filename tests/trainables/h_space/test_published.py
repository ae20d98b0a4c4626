"""The published settings that the methods text compares with are those of method.md."""

from typing import Any

import pytest

from trainables.family import paths_of
from trainables.h_space.config import CellConfig, OptimizerConfig, TrainingConfig
from trainables.h_space.published import PUBLISHED, SENTENCES

FACTS = {
    # section 4: plain DDIM inversion, one pass a step
    "training.inversion_refinements": 0,
    # section 7: losses as coded
    "training.templates": "domain",  # the mean over 79 prompt templates, not the bare texts
    "training.clip_reference": "original",  # "the CLIP reference is the REAL image (not the unedited P_t)"
    "training.clip_loss": "log",  # -ln((2 - L_dir)/2)
    "training.lambda_clip": 0.8,
    "training.lambda_recon": 3.0,
    "training.recon_in": "x",  # L_1 is of P_t itself
    "training.prompt_cosine": True,  # l1_w c L_1
    "training.min_prompt_cosine": None,  # c as it is
    # section 8: training loop
    "training.trajectory": "edited",  # step 1 goes on from the detached x' of the step before
    "training.direction": "recomputed",
    "training.steps_per": "timestep",
    "training.accumulation": 1,
    "training.optimizer.weight_decay": 0.0,
    "training.optimizer.momentum": 0.0,  # "sgd (no momentum)"
    "training.optimizer.schedule": "step",
    "training.optimizer.step_epochs": 3,
    "training.optimizer.step_factor": 0.1,
    # common settings of the ablations
    "training.batch_size": 9,
    "training.num_train_steps": 40,
    "evaluation.num_sample_steps": 40,
    "evaluation.delta_h": "predicted",
    "evaluation.t_boost": 193,
    **{f"precision.{part}": "float32" for part in ("unet", "clip", "decoder", "metrics")},  # no autocast
    "precision.unet_below": None,
    "init": None,
}
TOLD = {"num_images", "epochs", "t_edit"}
"""Amounts of the training that its sentence tells: they differ among the published runs."""
DIFFERS = {"optimizer.kind", "optimizer.learning_rate"}


def test_every_published_value_is_the_one_of_the_method() -> None:
    assert {path: setting.value for path, setting in PUBLISHED.items()} == FACTS


def test_every_setting_of_the_training_is_compared_or_told() -> None:
    training = {path for path in paths_of(TrainingConfig) if path != "optimizer"}
    training |= {f"optimizer.{name}" for name in OptimizerConfig.model_fields}
    compared = {path.removeprefix("training.") for path in PUBLISHED if path.startswith("training.")}

    assert compared | TOLD | DIFFERS == training
    for name in TOLD | DIFFERS:
        assert any(f"{{training.{name}}}" in sentence for sentence in SENTENCES)


@pytest.mark.parametrize("path", [*PUBLISHED, *(path for s in PUBLISHED.values() for path, _ in s.unless)])
def test_what_is_compared_is_a_setting(path: str) -> None:
    model: Any = CellConfig
    for name in path.split("."):
        field = model.model_fields[name]
        model = field.annotation
