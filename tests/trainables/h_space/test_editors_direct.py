"""Delta-h as the parameter itself, and any editor's mean as such a Delta-h."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.backbones.unet import FrozenDiffusion
from trainables.h_space.config import CellConfig
from trainables.h_space.diffusion import asymmetric_step
from trainables.h_space.editor_file import load_editor, save_editor
from trainables.h_space.editors import EDITORS
from trainables.h_space.mean_delta_h import global_mean_editor, mean_editor
from trainables.h_space.timesteps import training_timesteps

SHAPE = BottleneckShape(8, 2, 2, 16)
TIMESTEPS = (999, 750, 500)


def build(kind: str, shape: BottleneckShape = SHAPE, **given: Any) -> nn.Module:
    settings = EDITORS[kind].model_validate({"kind": kind, **given})
    return settings.build(shape, torch.Generator().manual_seed(0), TIMESTEPS)


def inputs(shape: BottleneckShape = SHAPE) -> tuple[Tensor, Tensor]:
    return torch.zeros(3, *shape[:3]), torch.zeros(3, shape.temb_width)


def faces(count: int) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("t", "nearest"), [(999, 999), (880, 999), (875, 999), (870, 750), (500, 500), (3, 500)]
)
@torch.no_grad()
def test_another_timestep_is_edited_as_the_nearest_trained_one(t: int, nearest: int) -> None:
    editor = build("direct")

    assert torch.equal(editor(*inputs(), t), editor(*inputs(), nearest))
    others = set(TIMESTEPS) - {nearest}
    assert all(not torch.equal(editor(*inputs(), t), editor(*inputs(), other)) for other in others)


@torch.no_grad()
def test_the_shared_one_answers_alike_at_every_timestep() -> None:
    editor = build("direct_shared")

    assert torch.equal(editor(*inputs(), 999), editor(*inputs(), 3))


def test_it_starts_small_or_from_nothing() -> None:
    (value,) = build("direct_shared", BottleneckShape(64, 8, 8, 16)).parameters()
    (nothing,) = build("direct_shared", initial_std=0.0).parameters()

    assert value.std().item() == pytest.approx(0.01, rel=0.05)
    assert not nothing.any()


def test_a_step_at_one_timestep_leaves_the_others_alone() -> None:
    editor = build("direct")
    optimizer = torch.optim.AdamW(editor.parameters(), lr=0.1)

    def step(t: int) -> None:
        editor(*inputs(), t).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    step(999)
    before = {name: value.clone() for name, value in editor.state_dict().items()}
    step(500)

    moved = [name for name, value in editor.state_dict().items() if not torch.equal(value, before[name])]
    assert moved == ["delta_h.500"]


def test_a_file_of_one_brings_its_timesteps_back(tmp_path: Path) -> None:
    config = CellConfig.model_validate(
        {"domain": "avatars", "attribute": "smiling", "editor": {"kind": "direct"}}
    )
    editor = build("direct")
    save_editor(tmp_path / "a.safetensors", editor, config, SHAPE, TIMESTEPS, {})

    loaded = load_editor(tmp_path / "a.safetensors").editor

    assert torch.equal(loaded(*inputs(), 700), editor(*inputs(), 700))


@torch.no_grad()
def test_the_mean_of_a_direct_editor_is_that_editor(tiny_diffusion: FrozenDiffusion) -> None:
    steps = training_timesteps(5, 400, 999)
    timesteps = tuple(t for t, _ in steps)
    editor = EDITORS["direct"].model_validate({"kind": "direct", "initial_std": 0.2})
    direct = editor.build(tiny_diffusion.shape, torch.Generator().manual_seed(0), timesteps)

    mean = mean_editor(tiny_diffusion, direct, faces(4).split(2), steps)

    assert mean.state_dict().keys() == direct.state_dict().keys()
    for name, value in mean.state_dict().items():
        torch.testing.assert_close(value, direct.state_dict()[name])


@torch.no_grad()
def test_the_mean_is_over_images_on_the_edited_trajectory(tiny_diffusion: FrozenDiffusion) -> None:
    steps = training_timesteps(5, 400, 999)
    editor = build("conv", tiny_diffusion.shape, num_groups=4)

    mean = mean_editor(tiny_diffusion, editor, faces(3).split(2), steps)
    overall = global_mean_editor(tiny_diffusion, editor, faces(3).split(2), steps)

    x_t, seen = faces(3), []
    for t, t_prev in steps:
        encoded = tiny_diffusion.encode(x_t, t)
        delta_h = editor(encoded.h, encoded.temb, t)
        eps, eps_edit = tiny_diffusion.decode(encoded), tiny_diffusion.decode(encoded, encoded.h + delta_h)
        x_t = asymmetric_step(
            x_t, eps, eps_edit, tiny_diffusion.alpha_bar_at(t), tiny_diffusion.alpha_bar_at(t_prev)
        )
        seen.append(delta_h.mean(dim=0))
        torch.testing.assert_close(mean(encoded.h[:1], encoded.temb[:1], t)[0], seen[-1])
    assert len(seen) == 3
    torch.testing.assert_close(
        overall(encoded.h[:1], encoded.temb[:1], 3)[0], torch.stack(seen).mean(dim=0), rtol=1e-4, atol=1e-5
    )


def test_a_mean_over_no_image_is_refused(tiny_diffusion: FrozenDiffusion) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        mean_editor(
            tiny_diffusion,
            build("conv", tiny_diffusion.shape, num_groups=4),
            [],
            training_timesteps(5, 400, 999),
        )
