"""The losses against recorded values of the published code, and the faults they must not have."""

import json
import math
from pathlib import Path

import pytest
import torch

from trainables.h_space.losses import (
    clip_loss,
    directional_loss,
    guarded_cosine,
    image_direction,
    reconstruction_loss,
    text_direction,
)

ORACLE = Path(__file__).parents[4] / "shared" / "data" / "oracle" / "directional_loss.json"


@pytest.mark.skipif(not ORACLE.is_file(), reason=f"{ORACLE} is not here")
def test_directional_loss_agrees_with_the_published_code() -> None:
    recorded = json.loads(ORACLE.read_text())
    source, target, reference, edit = (
        torch.tensor(recorded[name]) for name in ("text_source", "text_target", "image_ref", "image_edit")
    )

    l_direction = directional_loss(edit, reference, text_direction(target, source))

    assert l_direction.shape == (1,)
    assert l_direction.item() == pytest.approx(recorded["directional_loss"], rel=1e-5)
    assert clip_loss(l_direction.mean(), "log").item() == pytest.approx(recorded["clip_loss"], rel=1e-5)


def test_directional_loss_of_a_known_pair_is_one_minus_their_cosine() -> None:
    reference = torch.tensor([[1.0, 0.0, 0.0]])
    edit = torch.tensor([[0.0, 1.0, 0.0]])  # moves along (-1, 1, 0)

    along = torch.tensor([-1.0, 1.0, 0.0])
    across = torch.tensor([0.0, 0.0, 1.0])
    diagonal = torch.tensor([0.0, 1.0, 0.0])

    assert directional_loss(edit, reference, along).item() == pytest.approx(0, abs=1e-6)
    assert directional_loss(edit, reference, -along).item() == pytest.approx(2)
    assert directional_loss(edit, reference, across).item() == pytest.approx(1)
    assert directional_loss(edit, reference, diagonal).item() == pytest.approx(1 - math.sqrt(0.5))


def test_every_image_is_compared_with_its_own_original() -> None:
    edit, reference = torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(0))
    text = torch.ones(16)

    together = directional_loss(edit, reference, text)

    alone = [directional_loss(edit[i : i + 1], reference[i : i + 1], text).item() for i in range(4)]
    assert together.tolist() == pytest.approx(alone)
    assert not torch.allclose(together, directional_loss(edit, reference[-1:].expand(4, -1), text))


def test_the_text_direction_does_not_depend_on_the_length_of_embeddings() -> None:
    target, source = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0))

    direction = text_direction(target, source)

    torch.testing.assert_close(text_direction(5 * target, source), direction)
    assert direction.norm().item() == pytest.approx(1)


def test_an_unmoved_image_has_no_direction_and_a_finite_gradient() -> None:
    reference = torch.randn(1, 8, generator=torch.Generator().manual_seed(0))
    edit = reference.clone().requires_grad_()

    loss = directional_loss(edit, reference, torch.ones(8)).sum()
    loss.backward()

    assert not image_direction(edit, reference).any()
    assert loss.item() == 1
    assert edit.grad is not None
    assert edit.grad.isfinite().all()


def test_the_log_wrap_is_finite_even_for_an_opposite_direction() -> None:
    l_direction = torch.tensor([0.0, 1.0, 2.0])

    assert clip_loss(l_direction, "plain") is l_direction
    wrapped = clip_loss(l_direction, "log")
    assert wrapped[:2].tolist() == pytest.approx([0.0, math.log(2)])
    assert wrapped.isfinite().all()


def test_reconstruction_loss_is_the_mean_absolute_difference() -> None:
    assert reconstruction_loss(torch.tensor([[1.0, -3.0]]), torch.tensor([[0.0, 0.0]])).item() == 2


def test_a_low_prompt_cosine_is_raised_and_said_to_be() -> None:
    assert guarded_cosine(-0.2, 0.1) == (0.1, True)
    assert guarded_cosine(0.7, 0.1) == (0.7, False)
