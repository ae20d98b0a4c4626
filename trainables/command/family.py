"""The family of commands: any training script, whatever it is written in."""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from trainables.command.config import CommandConfig, MetricConfig
from trainables.command.curves import column_name
from trainables.command.filling import filled, problems, values_of, words_of
from trainables.command.identity import identity
from trainables.command.trial import CommandTrial
from trainables.errors import UserError
from trainables.exchange import Asked, Finding, ImpossibleStart, Metric, Start
from trainables.family import Family
from trainables.paths import absolute_path
from trainables.source_code import code_digest
from trainables.starts import with_absolute_start
from trainables.trials import close
from trainables.yaml_tree import Loc

_FREE = ("settings", "environment")
"""Blocks whose names the user chooses."""


_EXAMPLE = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
curve = folder / "curve.jsonl"
done = len(curve.read_text().splitlines()) if curve.exists() else 0
for epoch in range(done, int(sys.argv[2])):
    with curve.open("a") as file:
        print(json.dumps({"epoch": epoch + 1, "loss": 1 / (epoch + 1)}), file=file)
(folder / "metrics.json").write_text(json.dumps({"score": 0.5}))
"""
"""A script that goes on from what its folder holds."""


_NESTED = re.compile(r"[A-Za-z_]\w*(?:[/.]\w+)+", re.ASCII)
_NAMING = ("primary", "claims", "figures")
"""Blocks of a space that name metrics."""


class CommandFamily(Family):
    """Any command that trains something and leaves its metrics in a file, or prints them."""

    epochs_path = "settings.epochs"
    text_settings = (("command",),)
    example = MappingProxyType(
        {
            "command": "{python} -c {script} {folder} {epochs}",
            "settings": {"script": _EXAMPLE, "epochs": 2},
            "metrics": {"score": "higher is better"},
            "resume": True,
            "reads": ["config"],
        }
    )

    def __init__(self) -> None:
        super().__init__(
            "command", CommandConfig, description="any training script: a command line with {placeholders}"
        )

    def metrics_of(self, baseline: Mapping[str, Any]) -> Mapping[str, Metric]:
        """Those that the space declares under `baseline.metrics`."""
        declared = baseline.get("metrics")
        found = {}
        for name, said in (declared if isinstance(declared, Mapping) else {}).items():
            try:
                metric = MetricConfig.model_validate({"better": said} if isinstance(said, str) else said)
            except ValidationError:
                # The check of the settings says what is wrong; that the metric is named elsewhere is no mistake.
                metric = MetricConfig(better="higher is better")
            label = metric.label or name.replace("_", " ")
            found[name] = Metric(name, label, metric.unit, metric.better == "higher is better")
        return found

    def renamed(self, content: dict[str, Any], given: Sequence[Any], folder: Path) -> tuple[Any, Any]:
        """With metrics of nested names, `eval/loss` or `eval.loss`, under the names of their columns, `eval_loss`."""
        baseline = content.get("baseline")
        metrics = baseline.get("metrics") if isinstance(baseline, Mapping) else None
        if not isinstance(baseline, Mapping) or not isinstance(metrics, Mapping):
            return content, given
        columns = {name: column_name(name) for name in metrics if _NESTED.fullmatch(str(name))}
        if not columns or len({*metrics, *columns.values()}) < len(metrics) + len(columns):
            return content, given  # none, or two of one column, which the check of names tells
        declared = {columns.get(name, name): _told_as(name, metrics[name], columns) for name in metrics}
        judged = {block: _with_columns(content[block], columns) for block in _NAMING if block in content}
        return {**content, **judged, "baseline": {**baseline, "metrics": declared}}, given

    def has_setting(self, path: str) -> bool:
        """Whatever the command's settings and its environment may be called."""
        block, _, name = path.partition(".")
        return super().has_setting(path) or (block in _FREE and name.isidentifier())

    def absolute(self, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
        """With the folder that relative paths start from: the space's own where nothing else is said."""
        settings, base = with_absolute_start(settings, folder), settings.get("base_folder") or "."
        if not isinstance(base, str):
            return settings
        return {**settings, "base_folder": os.path.normpath(absolute_path(base, folder))}

    def findings(self, settings: Mapping[str, Any], config: Any, asked: Asked) -> Iterator[Finding]:
        """Placeholders that nothing fills, settings that reach nothing, programs and folders that are not there."""
        if config is None:
            return
        found = [*problems(config)]
        yield from found or _absent(config)

    def num_epochs(self, config: Any) -> int:
        """The script's setting `epochs`, where it has one."""
        epochs = config.settings.get("epochs", 1)
        return epochs if isinstance(epochs, int) and epochs > 0 else 1

    def is_resumable(self, config: Any) -> bool:
        """Where the script says that it resumes."""
        return bool(config.resume)

    def identity(self, config: Any) -> dict[str, Any]:
        """What is run and read, and the content of the files that the command names."""
        try:
            return {"family": self.name, **identity(config)}
        except OSError as error:
            raise UserError(f"{error.filename} cannot be read: {error.strerror}") from error

    def code(self, config: Any) -> str:
        """Of what starts the command and reads what it leaves."""
        return code_digest(["trainables.command.trial"])

    def start(self, config: Any) -> Start | None:
        """What `init` asks for; a control needs a number of epochs."""
        start = super().start(config)
        return start and replace(start, control=start.control and "epochs" in config.settings)

    def check_start(self, start: Start, config: Any) -> None:
        """A script leaves one model, at its end."""
        if start.epoch is not None:
            place = (*self.init_place[:-1], "epoch")
            raise ImpossibleStart(place, "a command leaves its model at its end alone; leave it out")

    def unlike(self, config: Any, parent: Any) -> str:
        """A parent that keeps no model leaves nothing to start from."""
        return "" if parent.keep.model is not None else "no keep.model: it leaves nothing to start from"

    def trial(
        self, config: Any, seed: int, *, cache_dir: Path, device: str = "cpu", start_from: Path | None = None
    ) -> CommandTrial:
        """The command, not yet started."""
        return CommandTrial(config, seed, cache_dir=cache_dir, device=device, start_from=start_from)

    def kind(self, config: Any) -> tuple[str, ...]:
        """One command is one kind, whatever its settings: a pilot for every cell could take as long as the study."""
        same = [config.command, config.sources, config.reads, sorted(config.environment)]
        digest = hashlib.sha256(json.dumps(same).encode()).hexdigest()[:8]
        return (self.name, digest, _shown(config)[:40])

    def pilot(self, config: Any, device: str, num_threads: int) -> dict[str, Any]:
        """Time the first epochs of the command. Raises UserError where it does not say how many it has."""
        if "epochs" not in config.settings:
            raise UserError("a command without a setting epochs is timed by its first finished trial")
        with TemporaryDirectory(prefix="asyrp-sweep-pilot-") as folder:
            trial = self.trial(config, 0, cache_dir=Path(folder), device=device)
            began = time.perf_counter()
            reached = [(0, 0.0)]
            try:
                while not trial.is_done and len(reached) < 3:
                    trial.step()
                    reached.append((trial.epoch, time.perf_counter() - began))
            finally:
                close(trial)
        (before, earlier), (after, later) = reached[-2:]
        per_epoch = (later - earlier) / max(after - before, 1)
        return {"train": per_epoch, "other": max(later - after * per_epoch, 0.0)}

    def measured_columns(self, configs: Iterable[Any]) -> tuple[Sequence[str], Sequence[str]]:
        """The metrics; of rows per item only where there are such rows."""
        configs = list(configs)
        of_trials = dict.fromkeys(name for config in configs for name in config.metrics)
        of_items = dict.fromkeys(name for config in configs if config.items_file for name in config.metrics)
        return tuple(of_items), tuple(of_trials)


def _told_as(name: str, said: Any, columns: Mapping[str, str]) -> Any:
    """What is said of a metric, with the name that the script and the reader know it by."""
    if name not in columns or not isinstance(said, str | Mapping):
        return said
    return {"key": name, "label": name, **({"better": said} if isinstance(said, str) else said)}


def _with_columns(content: Any, columns: Mapping[str, str]) -> Any:
    """A block of a space with the columns in place of the metrics' names."""
    if isinstance(content, Mapping):
        return {key: _with_columns(value, columns) for key, value in content.items()}
    if isinstance(content, list):
        return [_with_columns(value, columns) for value in content]
    return columns.get(content, content) if isinstance(content, str) else content


def _shown(config: CommandConfig) -> str:
    """A command as lists name it: its program and what that runs."""
    if config.shell:
        return words_of(config)[0]
    program, *arguments = words_of(config)
    count = 2 if arguments[:1] == ["-m"] else 1  # The word after -m names a module of Python.
    return " ".join([PurePath(program).name, *arguments[:count]])


def _absent(config: CommandConfig) -> Iterator[tuple[Loc, str]]:
    """Folders and programs that are not on this machine."""
    values = values_of(config, 0, Path("/"), Path("/"))
    base = Path(config.base_folder)
    if not base.is_dir():
        yield ("base_folder",), f"{base} is no folder"
        return
    program = "" if config.shell else filled(words_of(config)[0], values)
    if program and "{folder}" not in config.working_folder:
        folder = Path(filled(config.working_folder, values))
        if not folder.is_dir():
            yield ("working_folder",), f"{folder} is no folder"
        elif shutil.which(program if "/" not in program else str(folder / program)) is None:
            hint = "; {python} is the Python that runs asyrp-sweep" if program.startswith("python") else ""
            yield ("command",), f"the program {program} cannot be found, or is not executable{hint}"
    for pattern in config.sources:
        if not any(base.glob(pattern)):
            yield ("sources",), f"no file in {base} matches {pattern}"


FAMILY = CommandFamily()
