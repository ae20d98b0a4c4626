"""What every editor kind owes, with every value of each of its settings. A new kind or setting is covered by itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.backbones.unet import FrozenDiffusion
from trainables.h_space.config import CellConfig
from trainables.h_space.diffusion import generate, unedited_trajectory
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.editor_file import load_editor, save_editor
from trainables.h_space.editors import EDITORS, num_parameters
from trainables.h_space.editors._token_encoder import dropout_from
from trainables.h_space.prompts import AttributeTexts
from trainables.h_space.timesteps import Step, timestep_sequence, training_timesteps
from trainables.h_space.training import Objective, train_batches
from trainables.h_space.trajectories import CachedBatch

SHAPE = BottleneckShape(32, 2, 4, 16)
TIMESTEPS = (999, 499, 0)
T = 499
SMALL = {"num_groups": 8, "feedforward_width": 16}

Variant = tuple[str, dict[str, Any]]
"""A kind, and the setting in which it is not as it is by default."""


def other_values(name: str, annotation: Any, default: Any) -> list[Any]:
    """Values of a setting beside its default: all of a choice, another one of a number."""
    if isinstance(default, bool):
        return [not default]
    if isinstance(default, int):
        return [2 * SMALL.get(name, default)]
    if isinstance(default, float):
        return [0.25]
    return [value for value in get_args(annotation) if value != default]


def changes_of(kind: str) -> list[dict[str, Any]]:
    """Every setting of a kind at every other value, one at a time."""
    settings = {name: field for name, field in EDITORS[kind].model_fields.items() if name != "kind"}
    return [
        {name: value}
        for name, field in settings.items()
        for value in other_values(name, field.annotation, field.default)
    ]


def named(variant: Variant) -> str:
    kind, changed = variant
    return "-".join([kind, *(f"{name}={value}" for name, value in changed.items())])


DEFAULTS: list[Variant] = [(kind, {}) for kind in EDITORS]
CHANGED: list[Variant] = list(
    {
        (EDITORS[kind].network, *changed.items()): (kind, changed)
        for kind in EDITORS
        for changed in changes_of(kind)
    }.values()
)
"""Kinds whose networks are built by one function differ in nothing else, so one of them stands for all."""
VARIANTS = DEFAULTS + CHANGED
OF_ONE_OWNER = list({tuple(changed.items()): (kind, changed) for kind, changed in CHANGED}.values())
"""Each changed setting once, whoever has it."""

every_kind = pytest.mark.parametrize("kind", EDITORS)


def cell(variant: Variant) -> CellConfig:
    kind, changed = variant
    owned = {name: value for name, value in SMALL.items() if name in EDITORS[kind].model_fields}
    editor = {"kind": kind, **owned, **changed}
    return CellConfig.model_validate({"domain": "avatars", "attribute": "smiling", "editor": editor})


def build(config: CellConfig, shape: BottleneckShape = SHAPE, seed: int = 0) -> nn.Module:
    return config.editor.build(shape, torch.Generator().manual_seed(seed), TIMESTEPS)


@pytest.fixture(scope="module", params=VARIANTS, ids=named)
def variant(request: pytest.FixtureRequest) -> Variant:
    chosen: Variant = request.param
    return chosen


@pytest.fixture(scope="module")
def editor(variant: Variant) -> nn.Module:
    """Built once for all tests of a variant."""
    return build(cell(variant))


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 32, 2, 4, generator=generator), torch.randn(3, 16, generator=generator)


@torch.no_grad()
def test_it_keeps_shape_and_dtype_and_is_deterministic(editor: nn.Module) -> None:
    h, temb = inputs()

    delta_h = editor(h, temb, T)

    assert delta_h.shape == h.shape
    assert delta_h.dtype == h.dtype
    assert delta_h.isfinite().all()
    assert torch.equal(delta_h, editor(h, temb, T))


def test_its_weights_come_from_the_given_generator_alone(variant: Variant, editor: nn.Module) -> None:
    before = torch.get_rng_state()

    same, other = build(cell(variant)).state_dict(), build(cell(variant), seed=1).state_dict()

    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, same[name]) for name, value in editor.state_dict().items())
    assert any(not torch.equal(value, other[name]) for name, value in editor.state_dict().items())


def test_every_weight_it_counts_receives_a_gradient(variant: Variant, editor: nn.Module) -> None:
    config = cell(variant)
    h, temb = inputs()
    target = torch.randn(h.shape, generator=torch.Generator().manual_seed(2))

    for t in TIMESTEPS:
        (editor(h, temb, t) - target).square().mean().backward()

    dead = {name for name, p in editor.named_parameters() if p.grad is None or not p.grad.any()}
    told = {"temporal.proj.weight", "temporal.proj.bias"} if config.editor.notes() else set()
    assert dead <= told
    assert num_parameters(config.editor, SHAPE, TIMESTEPS) == sum(p.numel() for p in editor.parameters())


@torch.no_grad()
def test_it_survives_saving_and_loading(variant: Variant, editor: nn.Module, tmp_path: Path) -> None:
    config = cell(variant)

    save_editor(tmp_path / "editor.safetensors", editor, config, SHAPE, TIMESTEPS, {})
    settings, loaded, _ = load_editor(tmp_path / "editor.safetensors")

    assert settings == config.editor
    for t in TIMESTEPS:
        assert torch.equal(loaded(*inputs(), t), editor(*inputs(), t))


@torch.no_grad()
def test_a_setting_that_counts_makes_another_editor(variant: Variant, editor: nn.Module) -> None:
    kind, changed = variant
    config, plain = cell(variant), cell((kind, {}))
    counts_only_in_training = "dropout" in changed

    by_default = build(plain)
    sizes = [{name: value.shape for name, value in one.state_dict().items()} for one in (editor, by_default)]
    alike = sizes[0] == sizes[1] and torch.equal(editor(*inputs(), T), by_default(*inputs(), T))

    assert alike == (config.editor.canonical() == plain.editor.canonical() or counts_only_in_training)


@every_kind
def test_at_strength_zero_generation_is_plain_ddim(kind: str, tiny_diffusion: FrozenDiffusion) -> None:
    editor = build(cell((kind, {})), tiny_diffusion.shape)
    x_T, timesteps = (
        torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)),
        timestep_sequence(3, 999),
    )

    plain = generate(tiny_diffusion, x_T, timesteps)

    assert torch.equal(generate(tiny_diffusion, x_T, timesteps, editor, strength_scale=0.0), plain)
    assert not torch.equal(generate(tiny_diffusion, x_T, timesteps, editor), plain)


@every_kind
def test_a_shape_it_does_not_fit_is_told_before_building(kind: str) -> None:
    editor = cell((kind, {})).editor
    odd = BottleneckShape(channels=33, height=3, width=3, temb_width=16)

    assert editor.check(SHAPE) == []
    problems = editor.check(odd)
    if "num_groups" not in EDITORS[kind].model_fields:
        assert problems == []
        return
    assert any("num_groups 8" in problem and "33" in problem for problem in problems)
    with pytest.raises(ValueError, match=f"editor {kind}: num_groups 8"):
        editor.build(odd, torch.Generator(), TIMESTEPS)


@pytest.fixture(scope="module")
def losses_on_avatars() -> Callable[[CellConfig], list[float]]:
    """Trains an editor on one face at one timestep of the built-in domain; the loss before each of three steps."""
    domain = load_domain("avatars")
    steps: list[Step] = training_timesteps(4, 600, 999)[-1:]
    attribute = ATTRIBUTES["smiling"]
    batch = _batch_of_noise(domain.diffusion, domain.clip.image, steps)

    def train(config: CellConfig) -> list[float]:
        editor = build(config, domain.diffusion.shape)
        optimizer = torch.optim.AdamW(editor.parameters(), lr=5e-4)
        objective = Objective(AttributeTexts.of(domain, attribute).direction, 0.1, config.training)

        def step() -> None:
            optimizer.step()
            optimizer.zero_grad()

        with dropout_from(editor, torch.Generator().manual_seed(0)):
            return [
                train_batches(domain.diffusion, domain.embed, editor, objective, [batch], steps, step)[0][
                    0
                ].total
                for _ in range(3)
            ]

    return train


def _batch_of_noise(
    diffusion: FrozenDiffusion, embed: Callable[[Tensor], Tensor], steps: list[Step]
) -> CachedBatch:
    x_T = torch.randn((1, *diffusion.x_shape), generator=torch.Generator().manual_seed(0))
    (point,) = unedited_trajectory(diffusion, x_T, [t for t, _ in steps])
    with torch.no_grad():
        embedding = embed(point.p_t)
    return CachedBatch(point.p_t, x_T, point.p_t, embedding, point.p_t[:, None], point.eps)


@pytest.mark.parametrize("variant", DEFAULTS + OF_ONE_OWNER, ids=named)
def test_its_loss_falls_on_avatars(
    variant: Variant, losses_on_avatars: Callable[[CellConfig], list[float]]
) -> None:
    first, _, last = losses_on_avatars(cell(variant))

    assert last < first
