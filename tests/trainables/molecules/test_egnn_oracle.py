"""EGNN against outputs of the published code (vgsatorras/egnn at e9ca6c0), run once with random weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.molecules.batches import Batch
from trainables.molecules.models import MODELS
from trainables.molecules.models._base import atom_features, differences, seen
from trainables.molecules.models.egnn import CoordinateUpdate, Egnn, EgnnLayer

TOLERANCE = 1e-5
Arrays = dict[str, Any]


@pytest.fixture(scope="session")
def oracle(shared: Path) -> Arrays:
    with np.load(shared / "oracle" / "egnn.npz") as file:
        return dict(file)


def tensor(array: Any) -> Tensor:
    return torch.from_numpy(array).double() if array.dtype.kind == "f" else torch.from_numpy(array)


def weights(oracle: Arrays, case: str) -> dict[str, Tensor]:
    prefix = f"{case}/w/"
    return {name.removeprefix(prefix): tensor(oracle[name]) for name in oracle if name.startswith(prefix)}


def dense(oracle: Arrays, group: str, num_atoms: int) -> tuple[Tensor, Tensor]:
    """(is_pair, attributes of edges) of a list of edges; messages flow from col to row."""
    row, col = tensor(oracle[f"{group}/row"]), tensor(oracle[f"{group}/col"])
    is_pair = torch.zeros(1, num_atoms, num_atoms, dtype=torch.bool)
    is_pair[0, row, col] = True
    given = oracle.get(f"{group}/edge_attr")
    attributes = torch.zeros(1, num_atoms, num_atoms, 0 if given is None else given.shape[1]).double()
    if given is not None:
        attributes[0, row, col] = tensor(given)
    return is_pair, attributes


def squared_distances(x: Tensor) -> Tensor:
    return differences(x).square().sum(-1, keepdim=True)


CASES: list[tuple[str, CoordinateUpdate, dict[str, bool]]] = [
    ("plain", "mean", {}),
    ("attention", "mean", {"gate": True}),
    ("edge_attr", "mean", {"edges": True}),
    ("attention_edge_attr", "mean", {"gate": True, "edges": True}),
    ("normalize", "normalized", {}),
    ("tanh", "tanh", {}),
    ("sum", "sum", {}),
    ("no_residual", "mean", {"is_residual": False}),
    ("sparse", "mean", {"gate": True}),
]


@pytest.mark.parametrize(("case", "update", "options"), CASES)
@torch.no_grad()
def test_a_layer_gives_what_the_published_one_gives(
    oracle: Arrays, case: str, update: CoordinateUpdate, options: dict[str, bool]
) -> None:
    h, x = tensor(oracle["layer/h"])[None], tensor(oracle["layer/x"])[None]
    is_pair, attributes = dense(oracle, "layer/sparse" if case == "sparse" else "layer", 7)
    pairs = squared_distances(x)
    if options.get("edges"):
        pairs = torch.cat([pairs, attributes], dim=-1)
    layer = EgnnLayer(
        6,
        8,
        pairs.shape[-1],
        gate=options.get("gate", False),
        coordinate_update=update,
        is_residual=options.get("is_residual", True),
    ).double()
    layer.load_state_dict(weights(oracle, f"layer/{case}"))

    h_out, x_out = layer(h, x, pairs, is_pair)

    assert h_out[0].numpy() == pytest.approx(oracle[f"layer/{case}/h_out"], abs=TOLERANCE)
    assert x_out[0].numpy() == pytest.approx(oracle[f"layer/{case}/x_out"], abs=TOLERANCE)


@torch.no_grad()
def test_an_atom_without_neighbours_stays_where_it_is(oracle: Arrays) -> None:
    """The seventh atom of the sparse case has no edge: an empty sum is 0, not 0 / 0."""
    assert oracle["layer/sparse/x_out"][6] == pytest.approx(oracle["layer/x"][6])
    x = tensor(oracle["layer/x"])[None]
    is_pair, _ = dense(oracle, "layer/sparse", 7)
    layer = EgnnLayer(6, 8, 1, gate=True, coordinate_update="mean").double()
    layer.load_state_dict(weights(oracle, "layer/sparse"))

    _, x_out = layer(tensor(oracle["layer/h"])[None], x, squared_distances(x), is_pair)

    assert torch.equal(x_out[0, 6], x[0, 6])


@pytest.mark.parametrize("case", ["plain", "attention"])
@torch.no_grad()
def test_layers_one_after_the_other_give_what_the_published_network_gives(oracle: Arrays, case: str) -> None:
    """The squared distances are those of the moved positions, layer after layer."""
    known = weights(oracle, f"net/{case}")
    is_pair, attributes = dense(oracle, "net", 7)
    x = tensor(oracle["net/x"])[None]
    h = tensor(oracle["net/h"])[None] @ known["embedding_in.weight"].T + known["embedding_in.bias"]

    for number in range(4):
        prefix = f"gcl_{number}."
        layer = EgnnLayer(16, 16, 2, gate=case == "attention", coordinate_update="mean").double()
        layer.load_state_dict(
            {name.removeprefix(prefix): value for name, value in known.items() if name.startswith(prefix)}
        )
        h, x = layer(h, x, torch.cat([squared_distances(x), attributes], dim=-1), is_pair)
    h = h @ known["embedding_out.weight"].T + known["embedding_out.bias"]

    assert h[0].numpy() == pytest.approx(oracle[f"net/{case}/h_out"], abs=TOLERANCE)
    assert x[0].numpy() == pytest.approx(oracle[f"net/{case}/x_out"], abs=TOLERANCE)


def qm9_batch(oracle: Arrays, dtype: torch.dtype) -> Batch:
    return Batch(tensor(oracle["qm9/atomic_numbers"]), tensor(oracle["qm9/positions"]).to(dtype))


def qm9_model(oracle: Arrays, case: str) -> Egnn:
    """The model by its settings, as the package builds it, with the recorded weights."""
    settings = MODELS["egnn"].model_validate(
        {"width": 16, "depth": 3, "is_scaled": False, "gate": case != "plain"}
        | {"node_attributes": case == "node_attr"}
    )
    model = settings.build(torch.Generator(), length=3.0)
    assert isinstance(model, Egnn)
    renamed = {
        name.replace("gcl_", "layers.") if name.startswith("gcl_") else name: value
        for name, value in weights(oracle, f"qm9/{case}").items()
    }
    model.load_state_dict(
        {f"readout.{name}" if "_dec" in name else name: value for name, value in renamed.items()}
    )
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", ["plain", "attention", "node_attr"])
@torch.no_grad()
def test_the_model_for_qm9_gives_what_the_published_one_gives(
    oracle: Arrays, case: str, dtype: torch.dtype
) -> None:
    model, batch = qm9_model(oracle, case).to(dtype), qm9_batch(oracle, dtype)
    atoms = seen(batch)

    assert atoms.features.numpy() == pytest.approx(oracle["qm9/node_features"], abs=1e-6)
    assert atoms.has_atom.numpy().tolist() == oracle["qm9/atom_mask"].tolist()
    assert atoms.is_pair.numpy().tolist() == oracle["qm9/edge_mask"].tolist()
    last = model.encode(atoms)[0] * atoms.has_atom[..., None]
    assert last.numpy() == pytest.approx(oracle[f"qm9/{case}/h_2"], abs=TOLERANCE)
    assert model(batch).numpy() == pytest.approx(oracle[f"qm9/{case}/pred"], abs=TOLERANCE)


def test_the_published_size_has_the_published_number_of_parameters() -> None:
    settings = MODELS["egnn"].model_validate({"width": 128, "depth": 7, "is_scaled": False})

    assert sum(p.numel() for p in settings.build(torch.Generator()).parameters()) == 745_224


def test_features_are_one_hot_times_powers_of_the_atomic_number() -> None:
    features = atom_features(torch.tensor([[6, 0]]))[0]

    assert features[0].reshape(5, 3)[1].tolist() == pytest.approx([1, 6 / 9, 36 / 81])
    assert features.count_nonzero().item() == 3
