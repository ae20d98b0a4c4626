"""The family of molecules: graph networks and transformers that predict a property of QM9's molecules."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainables.exchange import Asked, Coordinate, Finding, Metric, Work
from trainables.family import Family, paths_of
from trainables.molecules.config import MoleculesConfig
from trainables.molecules.elements import TARGETS
from trainables.molecules.metrics import METRICS
from trainables.molecules.models import MODELS
from trainables.molecules.models._base import num_parameters
from trainables.molecules.qm9 import SUBSET_SIZES
from trainables.registry import origin_of
from trainables.source_code import code_digest
from trainables.trials import TrialRun
from trainables.wording import look_up

ITEM_COLUMNS = ("truth", "prediction", "error")
SUMMARY_COLUMNS = ("composition_mae", "validation_mae", "chosen_learning_rate", "train_seconds")


class MoleculesFamily(Family):
    """Equivariant and other networks on QM9 (Satorras, Hoogeboom and Welling 2021)."""

    epochs_path = "training.epochs"
    work_unit = MappingProxyType(
        {"molecule_steps": "molecules that the training visits, for all learning rates"}
    )
    example = MappingProxyType(
        {
            "model": {"kind": "egnn", "width": 8, "depth": 1},
            "training": {"num_train": 20, "epochs": 2, "batch_size": 10},
            "evaluation": {"num_validation": 5, "num_test": 5},
        }
    )

    coordinates = (
        Coordinate(
            "target", "target", meaning="The property that is predicted.", is_text=True, setting="target"
        ),
    )
    packages = ("qm9pack",)

    def __init__(self) -> None:
        super().__init__(
            "molecules",
            MoleculesConfig,
            metrics=_metrics(MoleculesConfig().target),
            description="graph networks and transformers on the molecules of QM9",
        )

    def metrics_of(self, baseline: Mapping[str, Any]) -> Mapping[str, Metric]:
        """Metrics with the unit of the baseline's target."""
        target = baseline.get("target")
        return _metrics(target) if isinstance(target, str) and target in TARGETS else self.metrics

    def setting_paths(self) -> tuple[str, ...]:
        """Dotted paths of the settings of a cell, those of every model included."""
        of_models = {f"model.{path}" for model in MODELS.values() for path in paths_of(model)}
        of_cell = {path for path in paths_of(MoleculesConfig) if path not in ("model", "schema_version")}
        return tuple(sorted(of_cell | of_models))

    def settled(self, settings: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Without what only other models have."""
        model = settings.get("model")
        kind = look_up(settings, ("model", "kind")) or "egnn"
        if not isinstance(model, Mapping) or kind not in MODELS:
            return settings, ()
        known = {name for one in MODELS.values() for name in one.model_fields}
        foreign = [name for name in model if name in known and name not in MODELS[kind].model_fields]
        kept = {name: value for name, value in model.items() if name not in foreign}
        return {**settings, "model": kept}, tuple(f"model.{name}" for name in foreign)

    def canonical(self, config: Any) -> MoleculesConfig:
        """The configuration with what has no effect in its model at its default."""
        found: MoleculesConfig = config.canonical()
        return found

    def findings(self, settings: Mapping[str, Any], config: Any, asked: Asked) -> Iterator[Finding]:
        """More molecules than the package brings."""
        if (
            config is not None
            and config.data == "subset"
            and config.training.num_train > SUBSET_SIZES["train"]
        ):
            yield (
                ("training", "num_train"),
                f"expected at most {SUBSET_SIZES['train']}, all that the package brings; found "
                f"{config.training.num_train}; data: qm9 has 100,000 (pip install asyrp-sweep[molecules])",
            )

    def notes(self, config: Any) -> tuple[str, ...]:
        """Notes of the model."""
        return tuple(config.model.notes())

    def num_parameters(self, config: Any) -> int:
        """Weights of the model."""
        return num_parameters(config.model)

    def uses(self, config: Any) -> Iterable[tuple[str, str]]:
        """Its model."""
        return [("model", config.model.kind)]

    def identity(self, config: Any) -> dict[str, Any]:
        """The configuration and the molecules."""
        data = _subset_digest() if config.data == "subset" else _qm9_version()
        return {"family": self.name, "config": config.model_dump(mode="json", exclude={"init"}), "data": data}

    def code(self, config: Any) -> str:
        """Of the training and of the model that is trained."""
        kind = config.model.kind
        own = [f"trainables.molecules.models.{kind}"] if origin_of("model", kind) is None else []
        return code_digest(["trainables.molecules.trial", *own])

    def unlike(self, config: Any, parent: Any) -> str:
        """Weights fit only a model of the same settings."""
        from trainables.molecules.model_file import settings_apart

        return settings_apart(parent, config)

    def check_file(self, file: Path, config: Any) -> None:
        """The file holds a model with the cell's settings."""
        from trainables.molecules.model_file import model_to_start_from

        model_to_start_from(file, config)

    def trial(
        self, config: Any, seed: int, *, cache_dir: Path, device: str = "cpu", start_from: Path | None = None
    ) -> TrialRun:
        """Train with each learning rate, choose one, measure it."""
        from trainables.molecules.trial import MoleculesTrial

        return MoleculesTrial(config, seed, cache_dir=cache_dir, device=device, start_from=start_from)

    def kind(self, config: Any) -> tuple[str, ...]:
        """One model on one set of molecules."""
        digest = hashlib.sha256(config.model.model_dump_json().encode()).hexdigest()[:8]
        return (self.name, config.data, digest, config.model.kind)

    def work(self, config: Any) -> Work:
        """Molecules trained on, for every learning rate; molecules predicted."""
        predicted = len(config.training.learning_rates) * config.evaluation.num_validation
        trained = config.training.epochs * self.epoch_work(config)
        return Work(float(trained), float(predicted + 2 * config.evaluation.num_test))

    def epoch_work(self, config: Any) -> int:
        """Molecules of an epoch, for every learning rate."""
        return int(config.training.num_train) * len(config.training.learning_rates)

    def curve_columns(self) -> tuple[str, ...]:
        """Columns of the curve of the chosen learning rate."""
        return ("loss", "learning_rate")

    def measured_columns(self, configs: Iterable[Any]) -> tuple[Sequence[str], Sequence[str]]:
        """The metrics, beside truth and prediction of every molecule."""
        return (*METRICS, *ITEM_COLUMNS), (*METRICS, *SUMMARY_COLUMNS)


def _metrics(target: str) -> dict[str, Metric]:
    unit = TARGETS[target].unit
    return {
        name: Metric(name, info.label, info.unit.format(unit=unit), info.higher_is_better, info.description)
        for name, info in METRICS.items()
    }


@lru_cache(maxsize=1)
def _subset_digest() -> str:
    return hashlib.sha256((files("trainables.molecules.data") / "subset.parquet").read_bytes()).hexdigest()


@lru_cache(maxsize=1)
def _qm9_version() -> str:
    """Of the package that all of QM9 is read from; planning does without it."""
    try:
        return f"qm9pack {version('qm9pack')}"
    except PackageNotFoundError:
        return "qm9pack"


FAMILY = MoleculesFamily()
