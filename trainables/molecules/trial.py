"""One trial: train a model from one seed with each learning rate, choose one, measure it on unseen molecules."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.molecules.batches import Batch, length_scale, random_rotations
from trainables.molecules.composition import CompositionFit, mean_absolute_error
from trainables.molecules.config import MoleculesConfig
from trainables.molecules.elements import TARGETS
from trainables.molecules.metrics import of_each
from trainables.molecules.model_file import TrainedModel, model_to_start_from, origin, save_model
from trainables.molecules.models import MoleculeNetwork
from trainables.molecules.molecules import MoleculeSplits, shipped_splits, training_subset
from trainables.molecules.qm9 import full_splits
from trainables.randomness import generator_for
from trainables.training_state import load_state, rows_after, save_state
from trainables.trials import Row, TrialFailed, TrialResult, sample

BATCH_ORDER, ROTATIONS, TEST_ROTATIONS = "batch order", "rotations", "test rotations"
STREAMS = (BATCH_ORDER, ROTATIONS)
"""Purposes of the random streams that go on through a training."""

NUM_SAMPLES = 3
"""Molecules that a trial leaves to be looked at."""


@dataclass
class Progress:
    """How far a training is; everything of it goes into a checkpoint."""

    epoch: int = 0
    num_optimizer_steps: int = 0
    train_seconds: float = 0.0
    diverged: dict[str, str] = field(default_factory=dict)
    """Number of a learning rate in the configuration -> what became of its loss."""
    curves: list[Row] = field(default_factory=list)


class MoleculesTrial:
    """A cell trained from one seed: `step()` until `is_done`, then `finish()`.

    The learning rates are trained side by side, each its own model; all see the same batches. With `start_from` they
    start from the weights of that file in place of the seed's "init" stream. Raises UserError for molecules that are
    not there, and for a file that does not fit.
    """

    def __init__(
        self,
        config: MoleculesConfig,
        seed: int,
        *,
        cache_dir: Path,
        device: str = "cpu",
        start_from: Path | None = None,
    ) -> None:
        self.config, self.seed = config, seed
        target = TARGETS[config.target]
        splits = shipped_splits(target) if config.data == "subset" else full_splits(target, cache_dir)
        self._molecules = _chosen(splits, config, seed)
        self._fit = CompositionFit.of(self._molecules.train)
        self._wanted = torch.from_numpy(self._fit.normalised(self._molecules.train)).float().to(device)
        self._length, self._notes = length_scale(self._molecules.train), config.model.notes()
        parent = None if start_from is None else model_to_start_from(start_from, config)
        if parent is not None and start_from is not None:
            self._length = parent.length  # What the weights took as size 1.
            self._notes.append(origin(parent, start_from))
        self._networks = nn.ModuleList(self._network(parent) for _ in config.training.learning_rates).to(
            device
        )
        # One optimizer for all: Adam moves every weight by itself, and each group has its own rate.
        self._optimizer = torch.optim.Adam([{"params": list(net.parameters())} for net in self._networks])
        self._streams = {purpose: generator_for(seed, purpose) for purpose in STREAMS}
        self._progress = Progress()
        self._device = device

    @property
    def epoch(self) -> int:
        """Epochs trained so far."""
        return self._progress.epoch

    @property
    def is_done(self) -> bool:
        """Whether every epoch has been trained."""
        return self.epoch >= self.config.training.epochs

    def step(self) -> dict[str, float]:
        """Train one epoch with every learning rate. Returns the mean loss of the rate that has the lowest one.

        Raises TrialFailed when no rate has a finite loss.
        """
        started = time.perf_counter()
        rows = [self._train_batch(number, rows) for number, rows in enumerate(self._batches(), start=1)]
        self._progress.train_seconds += time.perf_counter() - started
        self._progress.curves += rows
        self._progress.epoch += 1
        losses = [[math.nan if loss is None else loss for loss in row["losses"]] for row in rows]
        means = np.average(losses, axis=0, weights=[row["num_molecules"] for row in rows])
        return {"epoch": float(self.epoch), "loss": float(np.nanmin(means))}

    def finish(self) -> TrialResult:
        """Choose the learning rate on the validation molecules, and measure its model on the test molecules."""
        errors = self._validation_errors()
        chosen = min(errors, key=errors.__getitem__)
        rates = self.config.training.learning_rates
        evaluations, means = self._measured(self._model(chosen))
        notes = [
            f"learning rate {rates[int(number)]:g} {what}" for number, what in self._progress.diverged.items()
        ]
        return TrialResult(
            curves=[self._curve_row(row, chosen) for row in self._progress.curves],
            evaluations=evaluations,
            samples=self._worst(evaluations),
            summary={
                **means,
                "composition_mae": self._composition_mae(),
                "validation_mae": errors[chosen],
                "chosen_learning_rate": rates[chosen],
                "train_seconds": self._progress.train_seconds,
            },
            num_parameters=sum(p.numel() for p in self._networks[chosen].parameters()),
            notes=[*self._notes, *notes],
        )

    def save_model(self, path: Path) -> None:
        """Write the model of the best learning rate so far, with its complete configuration, after any epoch."""
        errors = self._validation_errors()
        save_model(path, self._model(min(errors, key=errors.__getitem__)))

    def save_checkpoint(self, folder: Path) -> None:
        """Write what is needed, beside the rows of `checkpoint_rows`, to go on as if never interrupted."""
        progress = {name: value for name, value in vars(self._progress).items() if name != "curves"}
        save_state(folder, self._networks, self._optimizer, self._streams, progress, name="networks")

    def checkpoint_rows(self, after: int) -> Iterator[Row]:
        """What a checkpoint keeps of the epochs after one, a JSON-able row each."""
        yield from rows_after(after, self._progress.curves)

    def load_checkpoint(self, folder: Path, rows: Iterable[Row]) -> None:
        """Go on from a checkpoint of the same configuration and seed, and its `checkpoint_rows` of all epochs."""
        saved = load_state(folder, self._networks, self._optimizer, self._streams, name="networks")
        self._progress = Progress(**saved["progress"], curves=list(rows))

    def _network(self, parent: TrainedModel | None) -> MoleculeNetwork:
        network = self.config.model.build(generator_for(self.seed, "init"), self._length)
        if parent is not None:
            network.load_state_dict(parent.network.state_dict())
        return network

    def _model(self, number: int) -> TrainedModel:
        network = self._networks[number]
        assert isinstance(network, MoleculeNetwork)
        return TrainedModel(self.config, network, self._fit, self._length, self.seed, self.epoch)

    def _batches(self) -> Iterator[NDArray[np.int64]]:
        """Rows of each batch's molecules among the training molecules."""
        order = torch.randperm(len(self._molecules.train), generator=self._streams[BATCH_ORDER]).numpy()
        size = self.config.training.batch_size
        return (order[start : start + size] for start in range(0, len(order), size))

    def _train_batch(self, number: int, rows: NDArray[np.int64]) -> Row:
        """Train every model on the molecules at these rows; returns the batch's losses."""
        batch = Batch.of(self._molecules.train.at(rows), self._device)
        if self.config.training.rotations:
            batch = batch.rotated(random_rotations(len(rows), self._streams[ROTATIONS]))
        factor = self._schedule()
        for group, rate in zip(
            self._optimizer.param_groups, self.config.training.learning_rates, strict=True
        ):
            group["lr"] = rate * factor
        losses = {
            position: (network(batch) - self._wanted[torch.from_numpy(rows)]).abs().mean()
            for position, network in enumerate(self._networks)
            if str(position) not in self._progress.diverged
        }
        self._optimizer.zero_grad(set_to_none=True)
        # The models share no weight: the gradients of each are its own.
        torch.autograd.backward(self._finite(losses, number))
        self._optimizer.step()
        self._progress.num_optimizer_steps += 1
        return {
            "epoch": self.epoch + 1,
            "batch": number,
            "num_molecules": len(rows),
            "optimizer_step": self._progress.num_optimizer_steps,
            "schedule": factor,
            "losses": [
                losses[position].item() if position in losses else None
                for position in range(len(self._networks))
            ],
        }

    def _finite(self, losses: dict[int, Tensor], number: int) -> list[Tensor]:
        """The losses that can be learned from; the others are noted and taken out of `losses`.

        Raises TrialFailed when none is left.
        """
        for position in [position for position, loss in losses.items() if not loss.isfinite()]:
            value = losses.pop(position).item()
            self._progress.diverged[str(position)] = (
                f"gave loss {value} at epoch {self.epoch + 1}, batch {number}"
            )
        if not losses:
            raise TrialFailed(
                "; ".join(
                    f"learning rate {self.config.training.learning_rates[int(position)]:g} {what}"
                    for position, what in self._progress.diverged.items()
                )
            )
        return list(losses.values())

    def _schedule(self) -> float:
        """What the learning rates are multiplied by: from 1 to 0 along half a cosine, once, over all steps."""
        training = self.config.training
        in_all = training.epochs * math.ceil(len(self._molecules.train) / training.batch_size)
        return 0.5 * (1 + math.cos(math.pi * self._progress.num_optimizer_steps / in_all))

    def _validation_errors(self) -> dict[int, float]:
        """Mean absolute error on the validation molecules, by the position of the learning rate.

        Raises TrialFailed when none is finite.
        """
        molecules = self._molecules.validation
        errors = {
            position: mean_absolute_error(self._model(position).predict(molecules), molecules)
            for position in range(len(self._networks))
            if str(position) not in self._progress.diverged
        }
        finite = {position: error for position, error in errors.items() if math.isfinite(error)}
        if not finite:
            raise TrialFailed("no learning rate gives finite predictions for the validation molecules")
        return finite

    def _composition_mae(self) -> float:
        """Error of the composition fit on the test molecules, which the skill is measured against."""
        return mean_absolute_error(self._fit.predict(self._molecules.test), self._molecules.test)

    def _measured(self, model: TrainedModel) -> tuple[list[Row], dict[str, float]]:
        """A row per test molecule, and the means of the metrics."""
        molecules = self._molecules.test
        rotations = random_rotations(len(molecules), generator_for(self.seed, TEST_ROTATIONS))
        predicted, turned = model.predict(molecules), model.predict(molecules, rotations)
        if not np.isfinite([predicted, turned]).all():
            raise TrialFailed("the model gives predictions of test molecules that are not finite")
        metrics = of_each(molecules.values, predicted, turned, self._composition_mae())
        rows = [
            {
                "epoch": self.epoch,
                "image_id": str(molecules.ids[row]),
                "target": self.config.target,
                "truth": float(molecules.values[row]),
                "prediction": float(predicted[row]),
                "error": float(predicted[row] - molecules.values[row]),
                **{name: float(values[row]) for name, values in metrics.items()},
            }
            for row in range(len(molecules))
        ]
        return rows, {name: float(values.mean()) for name, values in metrics.items()}

    def _worst(self, rows: Sequence[Row]) -> list[Row]:
        """The test molecules that are predicted worst, to be looked at."""
        order = sorted(range(len(rows)), key=lambda row: -abs(rows[row]["error"]))
        molecules = self._molecules.test
        return [
            {"epoch": self.epoch, "target": self.config.target}
            | sample(
                rows[row]["image_id"],
                molecules.xyz(row, f"{rows[row]['truth']:.6g} predicted as {rows[row]['prediction']:.6g}"),
                "chemical/x-xyz",
                "worst predicted",
                truth=rows[row]["truth"],
                prediction=rows[row]["prediction"],
            )
            for row in order[:NUM_SAMPLES]
        ]

    def _curve_row(self, row: Row, chosen: int) -> Row:
        """A batch's row of the curves: that of the chosen learning rate."""
        rate = self.config.training.learning_rates[chosen] * row["schedule"]
        return {
            "epoch": row["epoch"],
            "batch": row["batch"],
            "optimizer_step": row["optimizer_step"],
            "loss": row["losses"][chosen],
            "learning_rate": rate,
        }


def _chosen(splits: MoleculeSplits, config: MoleculesConfig, seed: int) -> MoleculeSplits:
    """The molecules of one trial: those to train on are drawn by the seed, the others are the same for all."""
    evaluation = config.evaluation
    return MoleculeSplits(
        training_subset(splits.train, config.training.num_train, seed),
        splits.validation.first(evaluation.num_validation),
        splits.test.first(evaluation.num_test),
    )
