"""What encoders may have beyond the published ones: positions, pre-norm and dropout."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.config import CellConfig
from trainables.h_space.editors import EDITORS
from trainables.h_space.editors._token_encoder import dropout_from, sinusoids
from trainables.h_space.trial import Trial

SHAPE = BottleneckShape(32, 4, 4, 16)
T = 999


def build(kind: str, **given: Any) -> nn.Module:
    settings = EDITORS[kind].model_validate({"kind": kind, "feedforward_width": 16, **given})
    return settings.build(SHAPE, torch.Generator().manual_seed(0), (T,))


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 32, 4, 4, generator=generator), torch.randn(2, 16, generator=generator)


@pytest.mark.parametrize(("positional", "knows"), [("none", False), ("learned", True), ("sinusoidal", True)])
@pytest.mark.parametrize("kind", ["pixel", "channel"])
@torch.no_grad()
def test_attention_knows_where_a_token_stands_only_by_its_position(
    kind: str, positional: str, knows: bool
) -> None:
    encoder = build(kind, positional=positional).get_submodule("in_layer")
    h, _ = inputs()

    turned = encoder(h.flip(2, 3) if kind == "pixel" else h.flip(1))

    expected = encoder(h).flip(2, 3) if kind == "pixel" else encoder(h).flip(1)
    assert torch.allclose(turned, expected, atol=1e-5) == (not knows)


def test_sinusoids_are_those_of_the_paper() -> None:
    table = sinusoids(6, 5)

    assert table.shape == (6, 5)
    for n, column in [(0, 0), (3, 1), (5, 2), (4, 4)]:
        angle = torch.tensor(n / 10000 ** ((column - column % 2) / 5))
        expected = angle.sin() if column % 2 == 0 else angle.cos()
        assert table[n, column].item() == pytest.approx(expected.item(), abs=1e-6)


@torch.no_grad()
def test_pre_norm_leaves_the_residual_path_alone() -> None:
    h, _ = inputs()

    def with_silent_layers(norm_first: bool) -> Tensor:
        encoder = build("pixel", norm_first=norm_first, final_norm=False).get_submodule("in_layer")
        for name, parameter in encoder.named_parameters():
            if "out_proj" in name or "linear2" in name:
                parameter.zero_()
        answer: Tensor = encoder(5 * h)
        return answer

    torch.testing.assert_close(with_silent_layers(norm_first=True), 5 * h)
    assert with_silent_layers(norm_first=False).std().item() == pytest.approx(1, abs=0.05)


@torch.no_grad()
def test_dropout_acts_only_where_a_generator_is_given_and_draws_from_it_alone() -> None:
    plain, dropping = build("pixel_channel", num_heads=2), build("pixel_channel", num_heads=2, dropout=0.5)
    before = torch.get_rng_state()

    with dropout_from(dropping, torch.Generator().manual_seed(3)):
        first, second = dropping(*inputs(), T), dropping(*inputs(), T)
    with dropout_from(dropping, torch.Generator().manual_seed(3)):
        again = dropping(*inputs(), T)

    assert not torch.equal(first, second)
    assert torch.equal(first, again)
    assert torch.equal(dropping(*inputs(), T), plain(*inputs(), T))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("silenced", ["linear2", "self_attn.out_proj"])
@torch.no_grad()
def test_dropout_reaches_attention_and_feed_forward(silenced: str) -> None:
    editor = build("pixel", dropout=0.5, num_layers=1)
    for name, parameter in editor.named_parameters():
        if silenced in name:  # so that only the other one has anything to drop
            parameter.zero_()

    with dropout_from(editor, torch.Generator().manual_seed(3)):
        dropped = editor(*inputs(), T)

    assert not torch.allclose(dropped, editor(*inputs(), T))


def test_a_resumed_trial_drops_what_an_uninterrupted_one_drops(
    tiny_config: CellConfig, cache_dir: Path, tmp_path: Path
) -> None:
    editor = EDITORS["pixel"].model_validate({"kind": "pixel", "feedforward_width": 16, "dropout": 0.3})
    config = tiny_config.model_copy(update={"editor": editor})
    undisturbed, interrupted, resumed = (Trial(config, 0, cache_dir=cache_dir) for _ in range(3))

    interrupted.step()
    interrupted.save_checkpoint(tmp_path)
    resumed.load_checkpoint(tmp_path, interrupted.checkpoint_rows(0))
    resumed.step()
    for _ in range(2):
        undisturbed.step()

    weights, expected = resumed.editor.state_dict(), undisturbed.editor.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in weights.items())
