"""Editors have the published sizes, refuse what does not fit, and say when a setting means nothing."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.editors import EDITORS, BlockSettings, EditorConfig, EditorSettings, num_parameters

PUBLISHED = BottleneckShape(512, 8, 8, 512)
SMALL = BottleneckShape(32, 4, 4, 16)
TIMESTEPS = (999, 800, 600)
T = 800


def settings(kind: str, **given: Any) -> EditorSettings:
    parsed: EditorSettings = TypeAdapter(EditorConfig).validate_python({"kind": kind, **given})
    return parsed


def inputs(shape: BottleneckShape, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    h = torch.randn(batch, *shape[:3], generator=generator)
    return h, torch.randn(batch, shape.temb_width, generator=generator)


@pytest.mark.parametrize(
    ("kind", "plain", "adaptive"),
    [
        ("conv", 788_992, 1_314_304),
        ("pixel", 6_570_496, 7_095_808),
        ("channel", 826_240, 1_351_552),
        ("pixel_channel", 7_133_056, 7_658_368),
        ("channel_pixel", 7_133_056, 7_658_368),
    ],
)
def test_editors_have_the_published_sizes_without_the_dead_weights(
    kind: str, plain: int, adaptive: int
) -> None:
    dead = 263_680

    assert num_parameters(settings(kind), PUBLISHED, TIMESTEPS) == plain
    assert num_parameters(settings(kind, temporal="multiply"), PUBLISHED, TIMESTEPS) == plain
    assert (
        num_parameters(settings(kind, temporal="adaptive_group_norm"), PUBLISHED, TIMESTEPS)
        == adaptive - dead
    )


def test_other_published_sizes() -> None:
    assert num_parameters(settings("midblock"), PUBLISHED, TIMESTEPS) == 15_746_560
    assert num_parameters(settings("pixel_channel", num_layers=2), PUBLISHED, TIMESTEPS) == 14_000_128
    assert num_parameters(settings("conv_prenorm"), PUBLISHED, TIMESTEPS) == 790_016
    heads = {
        num_parameters(settings("pixel_channel", num_heads=n), PUBLISHED, TIMESTEPS) for n in (1, 2, 4, 8)
    }
    assert heads == {7_133_056}
    assert num_parameters(settings("direct_shared"), PUBLISHED, TIMESTEPS) == 512 * 8 * 8
    assert num_parameters(settings("direct"), PUBLISHED, TIMESTEPS) == 3 * 512 * 8 * 8


@pytest.mark.parametrize("kind", ["channel", "channel_pixel", "pixel", "pixel_channel"])
def test_only_learned_positions_add_weights_to_an_encoder(kind: str) -> None:
    plain = num_parameters(settings(kind), PUBLISHED, TIMESTEPS)

    def more(**given: Any) -> int:
        return num_parameters(settings(kind, **given), PUBLISHED, TIMESTEPS) - plain

    assert more(positional="learned") == 2 * len(kind.split("_")) * 64 * 512  # as in- and as out-layer
    assert more(positional="sinusoidal") == more(norm_first=True) == more(dropout=0.1) == 0


@pytest.mark.parametrize(
    ("kind", "scale"),
    [("conv", 0.35), ("pixel", 1.0), ("channel", 1.0), ("pixel_channel", 1.0), ("midblock", 1.16)],
)
@torch.no_grad()
def test_a_fresh_editor_answers_at_the_published_scale(kind: str, scale: float) -> None:
    editor = settings(kind).build(PUBLISHED, torch.Generator().manual_seed(0), TIMESTEPS)

    assert editor(*inputs(PUBLISHED), T).std().item() == pytest.approx(scale, rel=0.05)


def test_head_counts_that_do_not_divide_name_both_numbers() -> None:
    three = settings("pixel_channel", num_heads=3)

    assert three.check(PUBLISHED) == [
        "num_heads 3 does not divide the width 512 of the pixel tokens",
        "num_heads 3 does not divide the width 64 of the channel tokens",
    ]
    with pytest.raises(ValueError, match="editor pixel_channel: num_heads 3 does not divide the width 512"):
        three.build(PUBLISHED, torch.Generator(), TIMESTEPS)
    assert settings("channel", num_heads=16).check(PUBLISHED) == []
    assert settings("midblock", num_heads=3).check(PUBLISHED) == [
        "num_heads 3 does not divide the 512 channels of the bottleneck"
    ]


def test_groups_that_do_not_divide_name_both_numbers() -> None:
    odd = BottleneckShape(48, 4, 4, 16)

    with pytest.raises(ValueError, match="num_groups 32 does not divide the 48 channels"):
        settings("conv").build(odd, torch.Generator(), TIMESTEPS)
    assert settings("conv", norm="instance").check(odd) == []
    assert settings("conv", norm="none", temporal="adaptive_group_norm").check(odd) != []


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "conv", "num_heads": 2},
        {"kind": "convolution"},
        {"temporal": "add"},
        {"kind": "pixel", "num_heads": 0},
        {"kind": "conv", "activation": "tanh"},
        {"kind": "conv", "dropout": 0.1},
        {"kind": "pixel", "dropout": 1.0},
        {"kind": "midblock", "norm": "group"},
        {"kind": "direct", "temporal": "add"},
    ],
)
def test_settings_a_kind_does_not_have_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(EditorConfig).validate_python(wrong)


def test_settings_without_effect_are_told_and_leave_the_canonical_form() -> None:
    adaptive = settings("conv", temporal="adaptive_group_norm", norm="instance")
    unnormed = settings("conv", norm="none", num_groups=8)

    assert adaptive.inactive() == ("norm",)
    assert adaptive.canonical() == settings("conv", temporal="adaptive_group_norm")
    assert unnormed.inactive() == ("num_groups",)
    assert unnormed.canonical() == settings("conv", norm="none")
    assert settings("conv_prenorm", temporal="adaptive_group_norm").inactive() == ()


@torch.no_grad()
def test_a_fresh_midblock_answers_with_much_of_h_itself() -> None:
    editor = settings("midblock").build(PUBLISHED, torch.Generator().manual_seed(0), TIMESTEPS)
    h, temb = inputs(PUBLISHED)

    both = torch.stack([h.flatten(), editor(h, temb, T).flatten()])

    assert torch.corrcoef(both)[0, 1].item() == pytest.approx(0.87, abs=0.02)


@torch.no_grad()
def test_instance_norm_removes_added_time_and_says_so() -> None:
    blind = settings("conv", norm="instance")
    editor = blind.build(SMALL, torch.Generator().manual_seed(0), TIMESTEPS)
    h, temb = inputs(SMALL)

    torch.testing.assert_close(editor(h, temb, T), editor(h, temb + 1, T), rtol=1e-4, atol=1e-5)
    assert "does not know the timestep" in blind.notes()[0]
    assert "only the sign" in settings("conv", norm="instance", temporal="multiply").notes()[0]
    assert settings("conv").notes() == []


@pytest.mark.parametrize("kind", [kind for kind in EDITORS if issubclass(EDITORS[kind], BlockSettings)])
@pytest.mark.parametrize("temporal", ["add", "multiply", "adaptive_group_norm", "adaptive_group_norm_silu"])
@torch.no_grad()
def test_editors_know_the_timestep_unless_told_not_to(kind: str, temporal: str) -> None:
    h, temb = inputs(SMALL)

    def answers_differ(chosen: str) -> bool:
        editor = settings(kind, temporal=chosen).build(SMALL, torch.Generator().manual_seed(0), TIMESTEPS)
        return not torch.equal(editor(h, temb, T), editor(h, temb + 1, T))

    assert answers_differ(temporal)
    assert not answers_differ("none")


@pytest.mark.parametrize("norm", ["group", "instance", "layer", "none"])
@pytest.mark.parametrize("activation", ["silu", "relu", "gelu", "swiglu"])
@torch.no_grad()
def test_every_norm_and_activation_keeps_the_shape(norm: str, activation: str) -> None:
    editor = settings("conv", norm=norm, activation=activation).build(
        SMALL, torch.Generator().manual_seed(0), TIMESTEPS
    )
    h, temb = inputs(SMALL)

    assert editor(h, temb, T).shape == h.shape


@torch.no_grad()
def test_pixel_attention_does_not_know_where_a_position_is() -> None:
    editor = settings("pixel").build(SMALL, torch.Generator().manual_seed(0), TIMESTEPS)
    h, temb = inputs(SMALL)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(2))

    def shuffle(h: torch.Tensor) -> torch.Tensor:
        return h.flatten(2)[..., order].reshape(h.shape)

    torch.testing.assert_close(editor(shuffle(h), temb, T), shuffle(editor(h, temb, T)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_final_norm_fixes_the_size_of_delta_h() -> None:
    h, temb = inputs(SMALL)

    def size(final_norm: bool) -> float:
        chosen = settings("pixel", final_norm=final_norm)
        editor = chosen.build(SMALL, torch.Generator().manual_seed(0), TIMESTEPS)
        editor.out_layer.pixel.encoder.layers[0].norm2.weight.mul_(10)
        return float(editor(h, temb, T).std())

    assert size(True) == pytest.approx(1, abs=0.01)
    assert size(False) == pytest.approx(10, abs=0.1)


@torch.no_grad()
def test_transformer_layers_start_as_published() -> None:
    editor = settings("pixel", num_layers=2).build(PUBLISHED, torch.Generator().manual_seed(0), TIMESTEPS)

    state = editor.state_dict()
    for layer in (0, 1):
        prefix = f"in_layer.pixel.encoder.layers.{layer}"
        bound = (6 / (512 + 2048)) ** 0.5  # Xavier-uniform
        assert state[f"{prefix}.linear1.weight"].abs().max().item() == pytest.approx(bound, rel=1e-3)
        assert not state[f"{prefix}.self_attn.in_proj_bias"].any()
        assert not state[f"{prefix}.self_attn.out_proj.bias"].any()
        assert state[f"{prefix}.linear1.bias"].abs().max().item() == pytest.approx(512**-0.5, rel=1e-2)
