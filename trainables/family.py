"""A family: one kind of training code, and everything that the orchestrator asks of it.

A family gives its settings, a way to train one trial, and what it measures. All else has a default that works. The
short form is a function:

    from asyrp_sweep import Family, Settings

    class Config(Settings):
        width: int = 64
        learning_rate: float = 1e-3
        epochs: int = 5

    def train(config, seed, report):
        ...
        for epoch in range(config.epochs):
            report(epoch=epoch + 1, loss=...)   # a row of the curves, and the sign of life
        return {"accuracy": 0.93}

    FAMILY = Family("mine", Config, train, metrics={"accuracy": "higher is better"})

Where `Config` has `init: InitConfig | None = None`, a cell may start from another one's model: a train function with
the parameters `model_file` (a path, where it leaves its model) and `start_from` (such a file, or None) takes part.

A family with more to say derives from `Family` and overrides what it needs; `trainables.h_space.family` overrides
nearly everything. A configuration is always an instance of the family's own `Config`.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Self

from pydantic import BaseModel

from trainables.errors import UserError
from trainables.exchange import (
    Asked,
    Beyond,
    Coordinate,
    Finding,
    ImpossibleStart,
    Layer,
    Metric,
    PublishedSetting,
    Rates,
    SampleKind,
    Start,
    Timing,
    Winner,
    Work,
)
from trainables.function_trial import FunctionTrial, FunctionTrialWithModel, Train, parameters_of
from trainables.plugins import use
from trainables.registry import Plugin
from trainables.settings import Settings
from trainables.source_code import OWN_PACKAGE, code_digest, imported_by
from trainables.starts import start_of, with_absolute_start
from trainables.trials import TrialFailed, TrialRun, close
from trainables.wording import expected, fields_at, look_up
from trainables.yaml_tree import Loc


class Family:
    """One kind of trainable. Methods whose first argument is `config` get an instance of `Config`."""

    SpaceKeys: type[Settings] = Settings
    """Keys of a space's file that only this family knows, beside those of every space."""
    epochs_path = "epochs"
    """The setting that says how long a trial trains; a family without one trains for one epoch."""
    init_place: Loc = ("init", "from")
    example: Mapping[str, Any] = MappingProxyType({})
    """Settings of a trial that takes a second or two: what the tests of the contract run."""
    work_unit: Mapping[str, str] = MappingProxyType({})
    """Name and meaning of the unit that `work` counts training in, where a search may save it."""
    confounding: tuple[str, ...] = ()
    """Dotted settings that move every result: cells that differ in one are compared where nothing else differs."""
    published: Mapping[str, PublishedSetting] = MappingProxyType({})
    """Dotted path of a setting -> its published value: the methods text of a study names every departure."""
    sentences: tuple[str, ...] = ()
    """What the methods text says of how trials were made, with `{dotted.path}` where a setting's values stand."""
    coordinates: tuple[Coordinate, ...] = ()
    """Columns of evaluations and samples that say where in a trial a row is from; those that are numbers can be fixed
    and swept in figures and named by claims."""
    sample_kinds: tuple[SampleKind, ...] = ()
    """Meanings of the kinds of samples that have one beyond their name."""
    curve_labels: Mapping[str, str] = MappingProxyType({})
    """Column of the curves -> its label, where that is another than its name. A curve can be drawn along one that has a
    label and is not among `curve_columns`."""
    fairness: Mapping[str, str] = MappingProxyType({})
    """Metric -> its heading beside the costs of a cell: how much trials do, where more of it is no better."""
    packages: tuple[str, ...] = ()
    """Distributions whose versions are recorded with every trial, beside those that every family uses."""
    text_settings: tuple[Loc, ...] = ()
    """Settings without a default that must be there for the others to be checked."""

    def __init__(
        self,
        name: str,
        config: type[Settings],
        train: Train | None = None,
        *,
        metrics: Mapping[str, str | Metric] | None = None,
        coordinates: Sequence[Coordinate] = (),
        description: str = "",
    ) -> None:
        self.name = name
        self.Config: type[Settings] = config
        self.description = description
        self.coordinates = tuple(coordinates) or self.coordinates
        self._train = train
        self._metrics = {key: _metric(key, said) for key, said in (metrics or {}).items()}
        self.code_digest = ""
        """Digest of the file that the family was read from; empty for one of an installed package."""
        self.source: tuple[str, str] | None = None
        """Name and text of that file, which travel to the workers."""
        self.plugins: tuple[Plugin, ...] = ()
        """Those that a space names."""

    def with_plugins(self, plugins: Sequence[Plugin]) -> Self:
        """The family of a space with these plugins, which this process uses from now on.

        Raises UserError for two variants of one name.
        """
        found = self
        if tuple(plugins) != self.plugins:
            found = copy(self)
            found.plugins = tuple(plugins)
        found.activate()
        return found

    def activate(self) -> None:
        """Let this process find what the plugins of this space add, and no other's: it may have read one since."""
        use(self.plugins)

    # Names

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """What its trials can be judged by."""
        return self._metrics

    @property
    def curve_metrics(self) -> Mapping[str, Metric]:
        """Columns of the curves whose mean over the last epoch can be a primary metric."""
        return {}

    def metrics_of(self, baseline: Mapping[str, Any]) -> Mapping[str, Metric]:
        """What trials of a space are judged by; `baseline` are the merged settings of its baseline."""
        return self.metrics

    def has_setting(self, path: str) -> bool:
        """Whether a cell has a setting at a dotted path."""
        return path in self.setting_paths()

    def setting_paths(self) -> tuple[str, ...]:
        """Dotted paths of all settings of a cell that have a name of their own."""
        return tuple(sorted(path for path in paths_of(self.Config) if path != "schema_version"))

    # The schema of a space's file

    def fill_space_schema(self, properties: dict[str, Any], cell: dict[str, Any]) -> None:
        """Say what `SpaceKeys` leave open in the JSON Schema of a space; `cell` is that of a cell's settings."""

    def setting_schema(
        self, name: str, schema: dict[str, Any], defs: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """The JSON Schema of a setting or block with this name, where it is another one than its model gives."""
        return None

    # A cell's settings

    def tolerant(self) -> "Family":
        """The family as checks use it: what it reads and finds wrong is reported by `findings`, not raised."""
        return self

    def absolute(self, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
        """The settings with every relative path in them seen from a space's folder: workers change directory."""
        return with_absolute_start(settings, folder)

    def layers(self, space: Any, chosen: Mapping[str, Any]) -> Sequence[Layer]:
        """What lies below everything that a space writes of a cell, such as defaults; later ones win.

        `space` is the parsed file with `SpaceKeys`, `chosen` what the space and the command line say of the cell.
        """
        return ()

    def settled(self, settings: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The merged settings without those that have no meaning in this cell, and the names of what was dropped."""
        return settings, ()

    def unused(self, dropped: str, cells: Sequence[Mapping[str, Any]]) -> str:
        """Why a setting has no meaning in any of these cells, to follow `no cell uses it`."""
        return ""

    def renamed(self, content: dict[str, Any], given: Sequence[Any], folder: Path) -> tuple[Any, Any]:
        """A space's content and its command-line settings in the family's own names."""
        return content, given

    def canonical(self, config: Any) -> Any:
        """The configuration with what has no effect in it at its default, so that equal cells look equal."""
        return config

    def findings(self, settings: Mapping[str, Any], config: Any, asked: Asked) -> Iterator[Finding]:
        """What is wrong with a cell beyond the form of its settings; `config` is None where that is broken."""
        yield from ()

    def space_findings(self, space: Any, baseline: Mapping[str, Any]) -> Iterator[tuple[Loc, str]]:
        """What is wrong with this family's own keys of a space."""
        yield from ()

    def misfit(self, config: Any) -> str:
        """Why a sound configuration cannot be trained after all, or nothing."""
        return ""

    def unmeasured(self, metric: str, config: Any) -> str:
        """Why trials of a cell cannot tell a metric, or nothing."""
        return ""

    def notes(self, config: Any) -> tuple[str, ...]:
        """What a reader of a cell's results should be told."""
        return ()

    def remarks(self, configs: Sequence[Any]) -> Iterator[str]:
        """What `plan` should say of what these cells read."""
        yield from ()

    def num_parameters(self, config: Any) -> int | None:
        """Weights that a trial learns; None where only training tells."""
        return None

    def num_epochs(self, config: Any) -> int:
        """How many epochs a trial takes; 1 where no setting says it."""
        value: Any = config
        for part in self.epochs_path.split("."):
            value = getattr(value, part, 1)
        return int(value)

    def has_epochs(self, config: Any) -> bool:
        """Whether a setting says how many epochs a trial takes."""
        return look_up(config.model_dump(), tuple(self.epochs_path.split("."))) is not None

    def is_resumable(self, config: Any) -> bool:
        """Whether an interrupted trial goes on from its last epoch; else it begins anew."""
        return self._train is None

    # Identity

    def identity(self, config: Any) -> dict[str, Any]:
        """JSON-able content that decides a trial's numbers, its seed and its parent apart."""
        dumped = config.model_dump(mode="json", exclude={"init"})
        return {
            "family": self.name,
            "config": dumped,
            **({"code": self.code_digest} if self.code_digest else {}),
        }

    def code(self, config: Any) -> str:
        """Fingerprint of the source code that trains and measures a trial, beside what `identity` holds of it.

        That of the family's own module and all that it imports, unless a family says which modules a trial really uses.
        """
        train = [] if self._train is None else ["trainables.function_trial", self._train.__module__]
        imports = () if self.source is None else imported_by(self.source[1])
        used = [name for name in imports if name.partition(".")[0] == OWN_PACKAGE]
        return code_digest([type(self).__module__, *train, *used])

    def uses(self, config: Any) -> Iterable[tuple[str, str]]:
        """Kind and name of each variant that a trial's numbers need, such as `("editor", "conv")`.

        A plugin is part of the identity of the trials that use what it adds.
        """
        return ()

    # Warm starts

    def start(self, config: Any) -> Start | None:
        """What the cell's weights start from; None for random ones. A family whose Config has `init` offers it."""
        return start_of(config, self.init_place)

    def check_start(self, start: Start, config: Any) -> None:
        """Raise `ImpossibleStart` for a start that this family does not offer."""
        if self._train is not None and "start_from" not in parameters_of(self._train):
            raise ImpossibleStart(start.place, "the train function takes no `start_from`")
        if self._train is not None and start.file is None and "model_file" not in parameters_of(self._train):
            raise ImpossibleStart(start.place, "the train function takes no `model_file`: it leaves no model")

    def unlike(self, config: Any, parent: Any) -> str:
        """What the parent has that the cell does not start from, such as `another width: 3`; nothing where it fits."""
        return ""

    def check_file(self, file: Path, config: Any) -> None:
        """Raise UserError where a cell cannot start from the weights in a file."""

    # Running

    def trial(
        self, config: Any, seed: int, *, cache_dir: Path, device: str = "cpu", start_from: Path | None = None
    ) -> TrialRun:
        """A new trial. Raises UserError for what a user can put right."""
        if self._train is None:
            raise TrialFailed(f"family {self.name} has no train function and does not override `trial`")
        has_model = "model_file" in parameters_of(self._train)
        kind = FunctionTrialWithModel if has_model else FunctionTrial
        return kind(list(self.metrics), self._train, config, seed, start_from=start_from)

    def with_seed(self, config: Any, seed: int) -> Any:
        """The configuration as `trial` and preparation take it, where what trials read depends on their seed.

        Cells that are compared have the seed in common, also where one draws from another (a placebo).
        """
        return config

    def preparation(self, configs: Sequence[Any], cache_dir: Path) -> Iterator[Sequence[Any]]:
        """What trials of these configurations share and lack, stage after stage, each stage run in parallel.

        A stage is asked for once the one before it is on disk. Raises UserError where it cannot be known.
        """
        yield from ()

    def run_preparation(self, task: Any, cache_dir: Path, device: str) -> None:
        """Compute one task of a stage."""

    def shared(self, config: Any) -> str:
        """Equal for configurations that need the same preparation."""
        return ""

    def to_prepare(self, trials: Sequence[Any]) -> Sequence[Any]:
        """Trials of a search (each has a `config`) whose preparation serves all of them."""
        return list({self.shared(trial.config): trial for trial in reversed(trials)}.values())[::-1]

    # Price

    def kind(self, config: Any) -> tuple[str, ...]:
        """What trials must have in common to cost alike per unit of work; its last part names it for a reader."""
        digest = hashlib.sha256(config.model_dump_json(exclude={"seed", "init"}).encode()).hexdigest()[:8]
        return (self.name, self.code_digest, digest)

    def work(self, config: Any) -> Work:
        """Units of training, and of all else."""
        return Work(float(self.num_epochs(config)), 1.0)

    def epoch_work(self, config: Any) -> int:
        """Units of training in an epoch: what the control of a warm start is matched by."""
        return 1

    def preparation_work(self, configs: Sequence[Any], cache_dir: Path) -> Mapping[str, float]:
        """Units of what preparation lacks, by their name."""
        return {}

    def preparation_bytes(self, configs: Sequence[Any], cache_dir: Path) -> int:
        """Bytes that preparation will write, as far as that is known before."""
        return 0

    def pilot_identity(self, config: Any) -> dict[str, Any]:
        """What a pilot's result depends on, the machine apart. Raises UserError where that cannot be read."""
        return self.identity(config)

    def pilot(self, config: Any, device: str, num_threads: int) -> dict[str, Any]:
        """Time a little of a real trial; what was found, JSON-able. Raises UserError where that is impossible here."""
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(num_threads)
        try:
            with TemporaryDirectory(prefix="asyrp-sweep-pilot-") as folder:
                return self._timed(config, device, Path(folder))
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"the trial that was timed ended with {type(error).__name__}: {error}") from error
        finally:
            torch.set_num_threads(before)

    def _timed(self, config: Any, device: str, cache_dir: Path) -> dict[str, Any]:
        """Time the start, the first epoch and, where that was all of it, the measuring of a trial of seed 0."""
        for stage in self.preparation([config], cache_dir):
            for task in stage:
                self.run_preparation(task, cache_dir, device)
        times = [time.perf_counter()]
        trial = self.trial(config, 0, cache_dir=cache_dir, device=device)
        try:
            times.append(time.perf_counter())
            trial.step()
            times.append(time.perf_counter())
            if trial.is_done:
                trial.finish()
        finally:
            close(trial)
        start, epoch, end = times[1] - times[0], times[2] - times[1], time.perf_counter() - times[2]
        return {"train": epoch / max(self.epoch_work(config), 1), "other": start + end}

    def timing(self, config: Any, pilot: Mapping[str, Any]) -> Timing:
        """What a pilot of trials of this kind tells of this one. Raises ValueError for one that is no pilot."""
        try:
            rates = Rates(float(pilot["train"]), float(pilot["other"]))
        except (KeyError, TypeError) as error:
            raise ValueError(str(error)) from error
        return Timing([rates])

    # Search

    pruned_by = ""
    """The column of the curves by which a search may stop a trial, the lower the better."""
    search_settings: Mapping[str, Any] = MappingProxyType({})
    """Settings of all trials of a search, such as which data its choices may see; `retest` has others."""
    model_name = "model"
    """What a trial leaves, in a word."""
    model_use = ""
    """The command that uses a model, with `{}` for its file."""

    def retest(
        self, default: dict[str, Any], tuned: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any], Sequence[Mapping[str, Any]]]:
        """Settings of a search's default and of its winner, such that both measure the same; more figures."""
        return default, tuned, ()

    def winner(self, config: Any, beyond: Beyond) -> Winner:
        """The settings that a search found, for its file."""
        settings = config.model_dump(mode="json", exclude_none=True, exclude={"schema_version"})
        return Winner({"baseline": settings}, "Copy this block into a search space.")

    # Results

    def curve_columns(self) -> tuple[str, ...]:
        """Numbers of the curves that figures can draw, the usual one first; none where only training tells."""
        return ()

    def further_columns(self) -> Mapping[str, Mapping[str, Any]]:
        """Table -> columns beside the coordinates and those of `curve_columns` and `measured_columns`.

        Each with a value like those that it will have: a number, a text, or a list of numbers.
        """
        return {}

    def measured_columns(self, configs: Iterable[Any]) -> tuple[Sequence[str], Sequence[str]]:
        """Columns of the rows of an evaluation, and of a trial's summary, of these cells."""
        return (), tuple(self.metrics)


def _metric(name: str, said: str | Metric) -> Metric:
    if isinstance(said, Metric):
        return said
    rules: dict[str, bool] = {"higher is better": True, "lower is better": False}
    if said not in rules:
        raise UserError(f"metric {name}: {expected('higher is better or lower is better', said, rules)}")
    return Metric(name, name.replace("_", " "), higher_is_better=rules[said])


def paths_of(model: type[BaseModel]) -> Iterator[str]:
    """Dotted paths of the settings of a model, those of the blocks in it included."""
    for name, given in model.model_fields.items():
        block = given.annotation
        if isinstance(block, type) and issubclass(block, BaseModel) and fields_at(model, (name,), {}):
            yield from (f"{name}.{path}" for path in paths_of(block))
        else:
            yield name
