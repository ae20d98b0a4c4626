"""A trained model on disk: safetensors weights with all that is needed to predict with them."""

import json
import uuid
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from trainables.errors import UserError
from trainables.molecules.batches import Batch, batches_of
from trainables.molecules.composition import CompositionFit
from trainables.molecules.config import MoleculesConfig
from trainables.molecules.models import MoleculeNetwork
from trainables.molecules.molecules import Molecules

FORMAT, FORMAT_VERSION, HEADER = "asyrp-sweep molecule model", "1", "asyrp_sweep"
NUM_AT_ONCE = 100
"""Molecules of a batch when nothing is learned from it."""


class ModelFileError(UserError):
    """A file that holds no model of a molecule's property, or another one than is needed."""


class TrainedModel(NamedTuple):
    """A network, and what turns its answers into the target's unit."""

    config: MoleculesConfig
    network: MoleculeNetwork
    fit: CompositionFit
    length: float
    """Scale of the training molecules, in ångström."""
    seed: int
    epoch: int

    @torch.no_grad()
    def predict(self, molecules: Molecules, rotations: Tensor | None = None) -> NDArray[np.float64]:
        """Predictions in the target's unit, (M,), of the molecules as they are or each turned by its own matrix."""
        device = next(self.network.parameters()).device
        outputs = []
        for number, some in enumerate(batches_of(molecules, NUM_AT_ONCE)):
            batch = Batch.of(some, device)
            if rotations is not None:
                start = number * NUM_AT_ONCE
                batch = batch.rotated(rotations[start : start + len(some)])
            outputs.append(self.network(batch).double().cpu())
        return self.fit.denormalised(molecules, torch.cat(outputs).numpy())


def save_model(path: Path, model: TrainedModel) -> None:
    """Write a model; the file appears whole. Raises OSError when it cannot be written."""
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": model.config.model_dump_json(),
        "coefficients": model.fit.coefficients.tolist(),
        "scale": model.fit.scale,
        "length": model.length,
        "seed": model.seed,
        "epoch": model.epoch,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    weights = {name: value.detach().cpu().contiguous() for name, value in model.network.state_dict().items()}
    try:
        # As bytes first: safetensors' own writer reports a full disk by an exception of its own.
        temporary.write_bytes(save(weights, metadata={HEADER: json.dumps(header)}))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_model(path: Path) -> TrainedModel:
    """The model of a file, on the CPU. Raises ModelFileError, naming the file, where there is none."""
    try:
        with safe_open(path, framework="pt") as file:
            names: list[str] = file.keys()
            header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            weights = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelFileError(f"{path} cannot be read as safetensors: {error}") from error
    if (header.get("format"), header.get("format_version")) != (FORMAT, FORMAT_VERSION):
        raise ModelFileError(f"{path}: expected an {FORMAT} of version {FORMAT_VERSION}")
    try:
        config = MoleculesConfig.model_validate_json(header["config"])
        network = config.model.build(torch.Generator(), header["length"])
        network.load_state_dict(weights)
        fit = CompositionFit(np.array(header["coefficients"], dtype=np.float64), float(header["scale"]))
        return TrainedModel(config, network, fit, header["length"], header["seed"], header["epoch"])
    except (KeyError, TypeError, RuntimeError, ValidationError) as error:
        raise ModelFileError(f"{path}: its parts do not fit each other: {error}") from error


def model_to_start_from(path: Path, config: MoleculesConfig) -> TrainedModel:
    """The model of a file, where one of this configuration can go on from its weights.

    The target may be another one: what the network learned of molecules is kept, its composition fit is not.
    Raises ModelFileError when the file cannot be read or its model has other settings.
    """
    parent = load_model(path)
    if difference := settings_apart(parent.config, config):
        raise ModelFileError(f"cannot start from {path.name}: its model has {difference}")
    return parent


def settings_apart(theirs: MoleculesConfig, ours: MoleculesConfig) -> str:
    """In what two models differ, such as `width 16 instead of 32`; nothing where their weights have one meaning."""
    their_values, our_values = theirs.canonical().model.model_dump(), ours.canonical().model.model_dump()
    return "; ".join(
        f"{name} {their_values.get(name)} instead of {our_values.get(name)}"
        for name in dict.fromkeys([*our_values, *their_values])
        if their_values.get(name) != our_values.get(name)
    )


def origin(parent: TrainedModel, path: Path) -> str:
    """`started from the alpha model of seed 0 after epoch 2 (0123456789abcdef.safetensors)`."""
    of = f"{parent.config.target} model of seed {parent.seed} after epoch {parent.epoch}"
    return f"started from the {of} ({path.name})"
