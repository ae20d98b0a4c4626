"""Every setting of a training: it trains, it resumes to the bit, and it does what it says."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from trainables.h_space.backbones.unet import FrozenDiffusion
from trainables.h_space.config import CellConfig, OptimizerConfig, TrainingConfig
from trainables.h_space.diffusion import asymmetric_step, predicted_x0
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.learning_rates import learning_rate_at
from trainables.h_space.losses import directional_loss
from trainables.h_space.optimizers import OPTIMIZERS
from trainables.h_space.prompts import AttributeTexts
from trainables.h_space.timesteps import training_timesteps
from trainables.h_space.trajectories import load_cached, preparation_tasks, run_preparation
from trainables.h_space.trial import Trial

SGD = {"kind": "sgd", "learning_rate": 0.5, "schedule": "constant"}
OPTIONS: dict[str, dict[str, Any]] = {
    "sgd with momentum": {"optimizer": {**SGD, "learning_rate": 0.1, "momentum": 0.9}},
    "adafactor": {"optimizer": {"kind": "adafactor", "learning_rate": 0.05}},
    "weight decay by steps": {"optimizer": {"weight_decay": 0.01, "schedule": "step", "step_epochs": 1}},
    "accumulation": {"batch_size": 1, "accumulation": 2},
    "one step a batch": {"steps_per": "batch", "optimizer": {"learning_rate": 2e-2}},
    "reference trajectory": {"trajectory": "reference"},
    "cached direction": {"direction": "cached"},
    "unedited reference": {"clip_reference": "unedited"},
    "bare prompts, plain loss": {"templates": "bare", "clip_loss": "plain"},
    "no prompt cosine": {"prompt_cosine": False, "lambda_recon": 0.5},
    "no reconstruction loss": {"lambda_recon": 0.0},
}


def with_training(config: CellConfig, **changes: Any) -> CellConfig:
    training = {**config.training.model_dump(), **changes}
    training["optimizer"] = {**config.training.optimizer.model_dump(), **changes.get("optimizer", {})}
    return config.model_copy(update={"training": TrainingConfig.model_validate(training)})


def lean(config: CellConfig) -> CellConfig:
    """Four images in two batches, two timesteps, and no pictures on the way."""
    evaluation = config.evaluation.model_copy(update={"num_preview_images": 0})
    smaller = config.model_copy(update={"evaluation": evaluation})
    return with_training(smaller, num_images=4, batch_size=2, t_edit=700)


def curves(trial: Trial) -> list[dict[str, Any]]:
    """The rows of the curves, before the evaluation that `finish` would do first."""
    return trial._progress.curves


@pytest.fixture(scope="module")
def cache(cache_dir: Path, tiny_config: CellConfig) -> Path:
    """The shared cache with the embeddings of P_t added."""
    for task in preparation_tasks(with_training(tiny_config, clip_reference="unedited"), cache_dir):
        run_preparation(task, cache_dir)
    return cache_dir


def weights(trial: Trial) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trial.editor.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", OPTIONS)
def test_it_trains_and_resumes_to_the_bit(
    name: str, tiny_config: CellConfig, cache: Path, tmp_path: Path
) -> None:
    config = with_training(lean(tiny_config), **OPTIONS[name])
    trial, resumed = (Trial(config, 0, cache_dir=cache) for _ in range(2))

    first = trial.step()
    trial.save_checkpoint(tmp_path)
    rows = list(trial.checkpoint_rows(0))
    last = trial.step()
    resumed.load_checkpoint(tmp_path, rows)
    resumed.step()

    assert last["loss_total"] < first["loss_total"]
    assert same(weights(resumed), weights(trial))


def test_accumulated_batches_act_as_one_large_batch(tiny_config: CellConfig, cache: Path) -> None:
    shared = with_training(lean(tiny_config), epochs=1, clip_loss="plain", optimizer=SGD)
    together = Trial(with_training(shared, batch_size=4), 0, cache_dir=cache)
    in_parts = Trial(with_training(shared, batch_size=3, accumulation=2), 0, cache_dir=cache)
    before = weights(together)

    together.step()
    in_parts.step()

    moved = max((value - before[name]).abs().max().item() for name, value in weights(together).items())
    for name, value in weights(together).items():
        torch.testing.assert_close(weights(in_parts)[name], value, atol=1e-3 * moved, rtol=0)


def test_one_step_a_batch_averages_over_timesteps(tiny_config: CellConfig, cache: Path) -> None:
    """Weights never move in between, so that steps by the timestep add up to as many times the mean's."""
    moved = {}
    for kind, rate in (("timestep", 1e-2), ("batch", 2e-2)):
        shared = {"epochs": 1, "batch_size": 4, "trajectory": "reference", "steps_per": kind}
        config = with_training(lean(tiny_config), **shared, optimizer={**SGD, "learning_rate": rate})
        trial = Trial(config, 0, cache_dir=cache)
        before = weights(trial)
        trial.step()
        moved[kind] = {name: value - before[name] for name, value in weights(trial).items()}

    for name, change in moved["batch"].items():
        largest = change.abs().max().item()
        torch.testing.assert_close(moved["timestep"][name], change, atol=0.05 * largest, rtol=0)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, [2, 4, 6]),
        ({"accumulation": 2}, [2, 2, 4]),
        ({"steps_per": "batch"}, [1, 2, 3]),
        ({"steps_per": "batch", "accumulation": 3}, [1, 1, 1]),
    ],
    ids=["published", "accumulated", "per batch", "both"],
)
def test_curves_count_the_optimizer_steps_that_were_taken(
    tiny_config: CellConfig,
    cache: Path,
    changes: dict[str, Any],
    steps: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = with_training(lean(tiny_config), num_images=3, batch_size=1, epochs=1, **changes)
    trial = Trial(config, 0, cache_dir=cache)
    taken = 0
    take = trial._optimizer.step

    def counted() -> None:
        nonlocal taken
        taken += 1
        take()

    monkeypatch.setattr(trial._optimizer, "step", counted)
    trial.step()

    assert [row["optimizer_step"] for row in curves(trial)] == steps
    assert steps[-1] == taken
    assert [row["image_steps"] for row in curves(trial)] == [2, 4, 6]
    assert [row["batch"] for row in curves(trial)] == [1, 2, 3]


@contextmanager
def counted_passes() -> Iterator[dict[str, int]]:
    """How many images went through the encoder, and through the decoder, of every diffusion model."""
    counts = {"encode": 0, "decode": 0}

    def counting(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: FrozenDiffusion, first: Any, *rest: Any) -> Any:
            counts[name] += len(first.h if name == "decode" else first)
            return original(self, first, *rest)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in counts:
            patch.setattr(FrozenDiffusion, name, counting(name, getattr(FrozenDiffusion, name)))
        yield counts


@pytest.mark.parametrize(
    ("changes", "decoder_passes"),
    [({}, 4), ({"direction": "cached"}, 3), ({"trajectory": "reference"}, 3)],
    ids=["published", "cached direction", "reference trajectory"],
)
def test_the_cheaper_trajectories_save_the_decoder_pass_without_gradient(
    tiny_config: CellConfig, cache: Path, changes: dict[str, Any], decoder_passes: int
) -> None:
    """3 timesteps take one encoder pass and one decoder pass with gradient each, and eps for the middle one only."""
    trial = Trial(with_training(lean(tiny_config), t_edit=500, **changes), 0, cache_dir=cache)

    with counted_passes() as passes:
        trial.step()

    assert passes == {"encode": 4 * 3, "decode": 4 * decoder_passes}


def test_a_reference_trajectory_takes_its_timesteps_in_another_order(
    tiny_config: CellConfig, cache: Path
) -> None:
    trial = Trial(with_training(tiny_config, trajectory="reference"), 0, cache_dir=cache)

    orders = [tuple(trial._timestep_order()) for _ in range(20)]

    assert len(set(orders)) > 3
    assert {tuple(sorted(order)) for order in orders} == {(0, 1, 2)}
    assert trial._batches() == Trial(tiny_config, 0, cache_dir=cache)._batches()  # a stream of its own


@torch.no_grad()
def test_the_unedited_reference_is_each_timestep_s_own(tiny_config: CellConfig, cache: Path) -> None:
    config = with_training(lean(tiny_config), clip_reference="unedited", trajectory="reference", batch_size=4)
    config = with_training(config, steps_per="batch")  # so that no weight moves before all timesteps are seen
    trial = Trial(config, 0, cache_dir=cache)
    domain, batch = load_domain("avatars"), load_cached(config, "train", cache).batch(range(4))
    assert batch.p_t is not None
    x_t, expected = batch.x_T, []
    for position, (t, t_prev) in enumerate(training_timesteps(6, 700, 999)):
        encoded, alpha_bar_t = domain.diffusion.encode(x_t, t), domain.diffusion.alpha_bar_at(t)
        eps = domain.diffusion.decode(encoded)
        eps_edit = domain.diffusion.decode(encoded, encoded.h + trial.editor(encoded.h, encoded.temb, t))
        edit, source = (
            domain.clip.image(picture)
            for picture in (predicted_x0(x_t, eps_edit, alpha_bar_t), batch.p_t[:, position])
        )
        direction = AttributeTexts.of(domain, config.edit).direction
        expected.append(directional_loss(edit, source, direction).mean().item())
        x_t = asymmetric_step(x_t, eps, eps, alpha_bar_t, domain.diffusion.alpha_bar_at(t_prev))

    with torch.enable_grad():
        trial.step()

    assert curves(trial)[0]["loss_direction_per_t"] == pytest.approx(expected, abs=1e-3)


# Optimizers


def test_adafactor_takes_the_published_steps() -> None:
    """Shazeer and Stern 2018, algorithm 4 with factored second moments, as written out here."""
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(4, 3, bias=False)
    start = torch.randn(3, 4, generator=generator)
    gradients = [1e-5 * torch.randn(3, 4, generator=generator) for _ in range(3)]
    with torch.no_grad():
        layer.weight.copy_(start)
    settings = OptimizerConfig(kind="adafactor", schedule="relative")
    optimizer = OPTIMIZERS[settings.kind].build(settings, layer)

    expected, rows, columns = start.clone(), torch.zeros(3, 1), torch.zeros(1, 4)
    for step, gradient in enumerate(gradients, start=1):
        layer.weight.grad = gradient.clone()
        optimizer.param_groups[0]["lr"] = learning_rate_at(settings, 0, step - 1, 3)
        optimizer.step()
        decay = 1 - step**-0.8
        rows = decay * rows + (1 - decay) * gradient.square().mean(1, keepdim=True)
        columns = decay * columns + (1 - decay) * gradient.square().mean(0, keepdim=True)
        update = gradient / (rows @ columns / rows.mean()).sqrt()
        update = update / max(1.0, update.square().mean().sqrt().item())
        relative = min(1e-6 * step, step**-0.5)
        expected = expected - relative * max(1e-3, expected.square().mean().sqrt().item()) * update

    torch.testing.assert_close(layer.weight - start, expected - start, atol=1e-9, rtol=1e-2)


def test_schedules_have_their_published_values() -> None:
    def rates(steps: list[tuple[int, int]], **settings: Any) -> list[float]:
        return [learning_rate_at(OptimizerConfig(learning_rate=2.0, **settings), *step, 8) for step in steps]

    ends = [(0, 0), (2, 4), (3, 8)]
    assert rates(ends, schedule="constant") == [2.0, 2.0, 2.0]
    assert rates(ends, schedule="cosine") == pytest.approx([2.0, 1.0, 0.0])
    assert rates(ends, schedule="step") == pytest.approx([2.0, 2.0, 0.2])
    assert rates(ends, schedule="step", step_epochs=1, step_factor=0.5) == [2.0, 0.5, 0.25]
    assert rates(ends, kind="adafactor", schedule="relative") == pytest.approx([1e-6, 5e-6, 9e-6])


def test_a_relative_step_without_adafactor_is_refused() -> None:
    with pytest.raises(ValueError, match="schedule relative is for kind adafactor alone; found kind sgd"):
        OptimizerConfig(kind="sgd", schedule="relative")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"optimizer": {"momentum": 0.9}}, {}),
        ({"optimizer": {"step_epochs": 5, "step_factor": 0.5}}, {}),
        ({"trajectory": "reference", "direction": "cached"}, {"trajectory": "reference"}),
        ({"lambda_recon": 0.0, "prompt_cosine": False}, {"lambda_recon": 0.0}),
        ({"prompt_cosine": False, "min_prompt_cosine": 0.5}, {"prompt_cosine": False}),
        ({"lambda_clip": 0.0, "clip_loss": "plain", "templates": "bare"}, {"lambda_clip": 0.0}),
        (
            {"optimizer": {"kind": "adafactor", "schedule": "relative", "learning_rate": 7.0}},
            {"optimizer": {"kind": "adafactor", "schedule": "relative"}},
        ),
    ],
)
def test_settings_without_effect_are_the_same_training(
    written: dict[str, Any], meant: dict[str, Any]
) -> None:
    given = TrainingConfig.model_validate(written)

    assert given != TrainingConfig.model_validate(meant)
    assert given.canonical() == TrainingConfig.model_validate(meant)


def test_settings_with_effect_stay() -> None:
    given = TrainingConfig.model_validate(
        {
            "direction": "cached",
            "clip_loss": "plain",
            "min_prompt_cosine": 0.3,
            "optimizer": {"kind": "sgd", "momentum": 0.9, "schedule": "step", "step_epochs": 2},
        }
    )

    assert given.canonical() == given
