"""What every model answers alike: turned, moved, mirrored, renumbered, padded, or beside other molecules."""

import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from trainables.molecules.batches import Batch, length_scale, random_rotations
from trainables.molecules.elements import TARGETS
from trainables.molecules.models import MODELS, ModelSettings, MoleculeNetwork
from trainables.molecules.models._attention import masked_softmax
from trainables.molecules.models._base import distances, num_parameters, seen
from trainables.molecules.models.double_encoder_bonds import find_bonds
from trainables.molecules.models.egnn import Egnn
from trainables.molecules.molecules import Molecules, shipped_splits

INVARIANT: dict[str, dict[str, Any]] = {
    "egnn": {"kind": "egnn"},
    "egnn_as_published": {"kind": "egnn", "is_scaled": False},
    "egnn_radial": {"kind": "egnn", "geometry": "radial_basis", "readout": "mean"},
    "egnn_without_geometry": {"kind": "egnn", "geometry": "none", "gate": False},
    "egnn_coordinates": {"kind": "egnn", "coordinate_update": "mean"},
    "egnn_normalized": {"kind": "egnn", "coordinate_update": "normalized", "node_attributes": True},
    "transformer": {"kind": "transformer"},
    "transformer_squared": {"kind": "transformer", "geometry": "squared_distance"},
    "geometry_sum": {"kind": "double_encoder_geometry"},
    "geometry_concatenation": {"kind": "double_encoder_geometry", "fusion": "concatenation"},
    "geometry_cross_attention": {"kind": "double_encoder_geometry", "fusion": "cross_attention"},
    "bonds": {"kind": "double_encoder_bonds"},
}
DIRECTIONAL: dict[str, dict[str, Any]] = {
    "egnn_differences": {"kind": "egnn", "geometry": "differences"},
    "transformer_differences": {"kind": "transformer", "geometry": "differences"},
}
ALL = INVARIANT | DIRECTIONAL
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-9}
"""In standard deviations of the predictions."""
OF_SUMS = 10
"""How many times as much rounding two encoders show: sums over atoms that are large beside what they differ by."""

Change = Callable[[Batch], Batch]


def settings_of(content: dict[str, Any]) -> ModelSettings:
    return MODELS[content["kind"]].model_validate(content)


@pytest.fixture(scope="module")
def molecules() -> Molecules:
    return some_molecules()


@cache
def some_molecules() -> Molecules:
    return shipped_splits(TARGETS["alpha"]).validation.first(32)


def built(name: str, *, is_trained: bool = False) -> MoleculeNetwork:
    """A model with a step of the positions of full size, for the initial one of 0.001 would hide a broken one."""
    model = settings_of(ALL[name]).build(torch.Generator().manual_seed(0), length_scale(some_molecules()))
    with_large_steps(model)
    if is_trained:
        model.load_state_dict(trained_weights(name))
    return model


def with_large_steps(model: MoleculeNetwork) -> None:
    for name, weight in model.named_parameters():
        if name.endswith("coord_mlp.2.weight"):
            torch.nn.init.normal_(weight, std=0.02, generator=torch.Generator().manual_seed(1))


@cache
def trained_weights(name: str) -> dict[str, Tensor]:
    model, molecules = built(name), some_molecules()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    wanted = torch.from_numpy((molecules.values - molecules.values.mean()) / molecules.values.std()).float()
    for _ in range(10):
        optimizer.zero_grad()
        (model(Batch.of(molecules)) - wanted).abs().mean().backward()
        optimizer.step()
    return model.state_dict()


def in_type(dtype: torch.dtype) -> Batch:
    batch = Batch.of(some_molecules())
    return batch._replace(positions=batch.positions.to(dtype))


def tolerance(name: str, dtype: torch.dtype) -> float:
    return TOLERANCES[dtype] * (OF_SUMS if ALL[name]["kind"] == "double_encoder_geometry" else 1)


def turned(batch: Batch) -> Batch:
    return batch.rotated(random_rotations(len(batch.positions), torch.Generator().manual_seed(2)))


def mirrored(batch: Batch) -> Batch:
    return batch._replace(positions=-batch.positions)


def moved(batch: Batch) -> Batch:
    return batch._replace(positions=batch.positions + torch.tensor([3.0, -2.0, 1.0]))


def far_away(batch: Batch) -> Batch:
    return batch._replace(positions=batch.positions + torch.tensor([100.0, 0.0, 0.0]))


def renumbered(batch: Batch) -> Batch:
    order = torch.randperm(batch.atomic_numbers.shape[1], generator=torch.Generator().manual_seed(3))
    return Batch(batch.atomic_numbers[:, order], batch.positions[:, order])


def padded(batch: Batch) -> Batch:
    return Batch(
        torch.nn.functional.pad(batch.atomic_numbers, (0, 6)),
        torch.nn.functional.pad(batch.positions, (0, 0, 0, 6)),
    )


def padded_with_garbage(batch: Batch) -> Batch:
    longer = padded(batch)
    garbage = torch.randn(longer.positions.shape, generator=torch.Generator().manual_seed(4)) * 50
    return longer._replace(positions=torch.where(longer.has_atom[..., None], longer.positions, garbage))


def padded_with_nothing_finite(batch: Batch) -> Batch:
    longer = padded(batch)
    return longer._replace(positions=longer.positions.masked_fill(~longer.has_atom[..., None], torch.nan))


UNTURNED = [moved, renumbered, padded, padded_with_garbage, padded_with_nothing_finite]


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest difference, in standard deviations of the predictions."""
    return float((found - expected).abs().max() / expected.std())


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("is_trained", [False, True], ids=["untrained", "trained"])
@pytest.mark.parametrize("change", [turned, mirrored, *UNTURNED])
@pytest.mark.parametrize("name", INVARIANT)
def test_a_prediction_does_not_change_with(
    name: str, change: Change, is_trained: bool, dtype: torch.dtype
) -> None:
    model, batch = built(name, is_trained=is_trained).to(dtype), in_type(dtype)

    with torch.no_grad():
        assert relative(model(change(batch)), model(batch)) < tolerance(name, dtype)


@pytest.mark.parametrize("name", INVARIANT)
@torch.no_grad()
def test_a_molecule_far_from_the_origin_loses_few_digits(name: str) -> None:
    model, batch = built(name), in_type(torch.float32)

    assert relative(model(far_away(batch)), model(batch)) < 3 * tolerance(name, torch.float32)


@pytest.mark.parametrize("change", [turned, mirrored])
@pytest.mark.parametrize("name", DIRECTIONAL)
@torch.no_grad()
def test_models_of_differences_are_not_invariant(name: str, change: Change, molecules: Molecules) -> None:
    model, batch = built(name), Batch.of(molecules)

    assert relative(model(change(batch)), model(batch)) > 5e-3


@pytest.mark.parametrize("change", UNTURNED)
@pytest.mark.parametrize("name", DIRECTIONAL)
@torch.no_grad()
def test_models_of_differences_do_not_change_with(name: str, change: Change, molecules: Molecules) -> None:
    model, batch = built(name), Batch.of(molecules)

    assert relative(model(change(batch)), model(batch)) < TOLERANCES[torch.float32]


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_a_molecule_is_predicted_alike_beside_any_others(name: str, molecules: Molecules) -> None:
    model = built(name)

    together = model(Batch.of(molecules))
    alone = torch.cat([model(Batch.of(molecules.at(np.array([row])))) for row in range(len(molecules))])

    assert relative(alone, together) < tolerance(name, torch.float32)


@pytest.mark.parametrize("name", [name for name in ALL if name != "egnn_without_geometry"])
@torch.no_grad()
def test_a_prediction_depends_on_the_geometry(name: str, molecules: Molecules) -> None:
    """Else invariance would be cheap. The trap of the published double encoder: its second encoder has no effect."""
    model, batch = built(name), Batch.of(molecules)
    stretched = batch._replace(positions=batch.positions * 1.1)

    assert relative(model(stretched), model(batch)) > 1e-3


@torch.no_grad()
def test_without_geometry_a_prediction_does_not_depend_on_it(molecules: Molecules) -> None:
    model, batch = built("egnn_without_geometry"), Batch.of(molecules)

    assert torch.equal(model(batch._replace(positions=batch.positions * 1.1)), model(batch))


@pytest.mark.parametrize("update", ["mean", "sum", "normalized", "tanh"])
@torch.no_grad()
def test_positions_turn_and_move_with_the_molecule(update: str, molecules: Molecules) -> None:
    """x'(R x + t) = R x'(x) + t, with a step that is far from 0."""
    settings = settings_of({"kind": "egnn", "coordinate_update": update})
    model = settings.build(torch.Generator().manual_seed(0), length_scale(molecules)).double()
    assert isinstance(model, Egnn)
    with_large_steps(model)
    batch = in_type(torch.float64)
    rotations = random_rotations(len(molecules), torch.Generator().manual_seed(2))

    x = model.encode(seen(batch))[1]
    x_turned = model.encode(seen(moved(batch.rotated(rotations))))[1]

    assert (x - seen(batch).positions).abs().max() > 0.01
    assert (x_turned - x @ rotations.mT).abs().max() < 1e-9


@pytest.mark.parametrize("name", ALL)
def test_a_lone_atom_and_a_pair_give_finite_numbers_and_gradients(name: str) -> None:
    model = built(name)
    positions = torch.tensor([[[0.0, 0, 0], [9, 9, 9]], [[0, 0, 0], [0, 0, 20]]], requires_grad=True)

    predictions = model(Batch(torch.tensor([[6, 0], [1, 9]]), positions))
    predictions.sum().backward()

    assert predictions.isfinite().all()
    gradients = [positions.grad, *(weight.grad for weight in model.parameters())]
    assert (positions.grad is None) == (name == "egnn_without_geometry")
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", ALL)
def test_every_weight_learns(name: str, molecules: Molecules) -> None:
    """No part is counted as capacity that the prediction does not depend on, such as a last step of the positions."""
    model = built(name)

    model(Batch.of(molecules)).square().sum().backward()

    without = [
        name
        for name, weight in model.named_parameters()
        if weight.grad is None or not weight.grad.abs().max() > 0
    ]
    assert without == []


@pytest.mark.parametrize("name", ALL)
def test_weights_come_from_the_generator_alone(name: str) -> None:
    torch.manual_seed(5)
    one = settings_of(ALL[name]).build(torch.Generator().manual_seed(0)).state_dict()
    torch.manual_seed(6)
    same = settings_of(ALL[name]).build(torch.Generator().manual_seed(0)).state_dict()
    other = settings_of(ALL[name]).build(torch.Generator().manual_seed(1)).state_dict()

    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)
    assert sum(value.numel() for value in one.values()) == num_parameters(settings_of(ALL[name]))


@torch.no_grad()
def test_positions_given_are_left_as_they_are(molecules: Molecules) -> None:
    """The published QM9 layer moves the caller's own."""
    batch = Batch.of(molecules)
    before = batch.positions.clone()

    built("egnn_coordinates")(batch)

    assert torch.equal(batch.positions, before)


def test_inputs_of_all_geometries_are_of_one_size(molecules: Molecules) -> None:
    atoms, length = seen(Batch.of(molecules)), length_scale(molecules)
    apart = atoms.positions[:, :, None] - atoms.positions[:, None, :]
    of_pairs = apart[atoms.is_pair] / length

    assert of_pairs.square().mean() == pytest.approx(1, rel=1e-4)
    assert of_pairs.square().sum(-1).mean() == pytest.approx(3, rel=1e-4)


def test_the_root_of_a_distance_has_a_gradient_at_nothing() -> None:
    squared = torch.zeros(3, requires_grad=True)

    distances(squared).sum().backward()

    assert squared.grad is not None
    assert squared.grad.isfinite().all()


def test_who_may_attend_to_nothing_gets_nothing() -> None:
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    may_attend = torch.tensor([[True, False, True], [False, False, False]])

    weights = masked_softmax(logits, may_attend)
    weights.square().sum().backward()

    assert weights[0, 1] == 0
    assert weights[0].sum().item() == pytest.approx(1)
    assert weights[1].tolist() == [0, 0, 0]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_bonds_by_distance_are_those_of_chemistry() -> None:
    """As many as in each molecule's SMILES: a tree of its atoms, and one more for each ring that is closed."""
    table = pq.read_table(Path(str(files("trainables.molecules.data") / "subset.parquet")))
    atoms = seen(Batch.of(Molecules.of(table, TARGETS["alpha"])))
    without_charges = [re.sub(r"\[.*?\]", "X", text) for text in table["smiles"].to_pylist()]
    rings = torch.tensor([len(re.findall(r"\d", text)) // 2 for text in without_charges])

    bonds = find_bonds(atoms)

    assert (bonds.is_bond.sum(1) != atoms.has_atom.sum(1) - 1 + rings).sum() == 2
    count = bonds.has_end.sum(-1)
    assert (count[atoms.atomic_numbers == 1] == 1).all()
    assert (count[atoms.atomic_numbers == 6] > 4).sum() <= 2


def test_bonds_of_methane() -> None:
    corner = 1.09 / 3**0.5
    positions = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * corner
    atoms = seen(Batch(torch.tensor([[6, 1, 1, 1, 1]]), positions[None]))

    bonds = find_bonds(atoms)

    assert bonds.is_bond.tolist() == [[True] * 4]
    assert bonds.has_end[0].int().tolist() == [[1, 1, 1, 1], *torch.eye(4).int().tolist()]
    assert torch.allclose(bonds.features[0, :, :15], atoms.features[0, 0] + atoms.features[0, 1])


def test_distances_between_unbonded_atoms_are_hidden_from_bond_tokens() -> None:
    """Turning one end of a molecule about a bond leaves all its bonds as they are."""
    ethane_like = torch.tensor([[6, 6, 1, 1]])
    flat = torch.tensor([[[0.0, 0, 0], [1.5, 0, 0], [-0.5, 1.0, 0], [2.0, 1.0, 0]]])
    twisted = torch.tensor([[[0.0, 0, 0], [1.5, 0, 0], [-0.5, 1.0, 0], [2.0, 0, 1.0]]])

    flat_bonds, twisted_bonds = (find_bonds(seen(Batch(ethane_like, x))) for x in (flat, twisted))

    assert torch.allclose(flat_bonds.features, twisted_bonds.features, atol=1e-5)
    assert torch.equal(flat_bonds.has_end, twisted_bonds.has_end)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"kind": "transformer", "width": 30}, "num_heads 4 does not divide width 30"),
        ({"kind": "double_encoder_bonds", "depth": 2}, "joint_depth 2 must be less than depth 2"),
    ],
)
def test_settings_that_do_not_fit_are_named(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings_of(content)


def test_rotations_are_rotations_and_reach_everywhere() -> None:
    rotations = random_rotations(2000, torch.Generator().manual_seed(0))

    assert torch.allclose(rotations @ rotations.mT, torch.eye(3).double(), atol=1e-12)
    assert torch.allclose(torch.linalg.det(rotations), torch.ones(2000).double())
    assert rotations.mean(0).abs().max() < 0.05
