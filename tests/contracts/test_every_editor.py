"""What every editor kind owes, however it merges time and norms. A new kind is covered by itself."""

from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

from trainables.backbones.shapes import BottleneckShape
from trainables.backbones.unet import FrozenDiffusion
from trainables.config import CellConfig
from trainables.diffusion import alpha_bars, generate, timestep_sequence
from trainables.editor_file import load_editor, save_editor
from trainables.editors import EDITORS, num_parameters

SHAPE = BottleneckShape(32, 2, 4, 16)
TEMPORALS = ("add", "multiply", "adaptive_group_norm", "adaptive_group_norm_silu", "none")
NORMS = ("group", "instance", "layer", "none")
VARIANTS = [{"temporal": temporal, "norm": "group"} for temporal in TEMPORALS] + [
    {"temporal": "add", "norm": norm, "activation": "swiglu"} for norm in NORMS if norm != "instance"
]

every_kind = pytest.mark.parametrize("kind", EDITORS)
every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: "-".join(v.values()))


def cell(kind: str, variant: dict[str, str] | None = None) -> CellConfig:
    small = {"num_groups": 8, "feedforward_width": 16}
    owned = {name: value for name, value in small.items() if name in EDITORS[kind].model_fields}
    editor = {"kind": kind, **owned, **(variant or {})}
    return CellConfig.model_validate({"domain": "avatars", "attribute": "smiling", "editor": editor})


def build(config: CellConfig, shape: BottleneckShape = SHAPE, seed: int = 0) -> nn.Module:
    return config.editor.build(shape, torch.Generator().manual_seed(seed))


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 32, 2, 4, generator=generator), torch.randn(3, 16, generator=generator)


@every_kind
@every_variant
@torch.no_grad()
def test_it_keeps_shape_and_dtype_and_is_deterministic(kind: str, variant: dict[str, str]) -> None:
    editor = build(cell(kind, variant))
    h, temb = inputs()

    delta_h = editor(h, temb)

    assert delta_h.shape == h.shape
    assert delta_h.dtype == h.dtype
    assert delta_h.isfinite().all()
    assert torch.equal(delta_h, editor(h, temb))


@every_kind
@every_variant
def test_its_weights_come_from_the_given_generator_alone(kind: str, variant: dict[str, str]) -> None:
    config = cell(kind, variant)
    before = torch.get_rng_state()

    first, same, other = build(config), build(config), build(config, seed=1)

    assert torch.equal(torch.get_rng_state(), before)
    pairs = [(value, same.state_dict()[name]) for name, value in first.state_dict().items()]
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    assert any(not torch.equal(value, other.state_dict()[name]) for name, value in first.state_dict().items())


@every_kind
@every_variant
def test_every_weight_it_counts_receives_a_gradient(kind: str, variant: dict[str, str]) -> None:
    config = cell(kind, variant)
    editor = build(config)
    h, temb = inputs()
    target = torch.randn(h.shape, generator=torch.Generator().manual_seed(2))

    (editor(h, temb) - target).square().mean().backward()

    dead = [name for name, p in editor.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []
    assert num_parameters(config.editor, SHAPE) == sum(p.numel() for p in editor.parameters())


@every_kind
@every_variant
@torch.no_grad()
def test_it_survives_saving_and_loading(kind: str, variant: dict[str, str], tmp_path: Path) -> None:
    config = cell(kind, variant)
    editor = build(config)

    save_editor(tmp_path / "editor.safetensors", editor, config, SHAPE, {})
    settings, loaded, _ = load_editor(tmp_path / "editor.safetensors")

    assert settings == config.editor
    assert torch.equal(loaded(*inputs()), editor(*inputs()))


@every_kind
def test_at_strength_zero_generation_is_plain_ddim(kind: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DModel(
            sample_size=8,
            block_out_channels=(8, 32),
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            norm_num_groups=4,
        )
    model = FrozenDiffusion(unet, alpha_bars())
    editor = build(cell(kind), model.shape)
    x_T, timesteps = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)), timestep_sequence(3)

    plain = generate(model, x_T, timesteps)

    assert torch.equal(generate(model, x_T, timesteps, editor, strength_scale=0.0), plain)
    assert not torch.equal(generate(model, x_T, timesteps, editor), plain)


@every_kind
def test_a_shape_it_does_not_fit_is_told_before_building(kind: str) -> None:
    editor = cell(kind).editor
    odd = BottleneckShape(channels=33, height=3, width=3, temb_width=16)

    assert editor.check(SHAPE) == []
    problems = editor.check(odd)
    assert any("num_groups 8" in problem and "33" in problem for problem in problems)
    with pytest.raises(ValueError, match=f"editor {kind}: num_groups 8"):
        editor.build(odd, torch.Generator())
