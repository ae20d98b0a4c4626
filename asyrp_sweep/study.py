"""A study as an object: plan it, run it, read it."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis import export
from analysis.contrasts import next_seeds
from analysis.frames import load_frames
from asyrp_sweep.results import Results
from orchestrator.cli.figure_checks import check_figures
from orchestrator.ledger.copies import results_folder
from orchestrator.ledger.study import STUDY_FILE
from orchestrator.plan.loading import load_space
from orchestrator.space.extending import sources_of
from orchestrator.study.launch import Study as Planned
from orchestrator.study.launch import open_study
from orchestrator.study.runner import RunOptions, run_until_decided
from orchestrator.views.live import make_display, say
from trainables.errors import UserError
from trainables.family import Family
from trainables.function_family import FunctionFamily
from trainables.yaml_tree import write_yaml


def open_space(
    space: str | Path | Mapping[str, Any],
    *,
    name: str = "study",
    results: str | Path = "results",
    settings: Mapping[str, Any] | None = None,
    domain: str | None = None,
    seeds: int | Sequence[int] | None = None,
    family: Family | None = None,
    reuse_changed_code: bool = False,
) -> "Study":
    """Plan a space and find what its results folder holds of it; nothing runs.

    `space` is a shipped name, the path of a YAML file, or the content of one; then `name` is the study's. `settings`
    are dotted settings over all that the space says. `family` is for a family that is no file and no installed one.
    `reuse_changed_code` counts trials that were made by other source code than today's.
    Raises ConfigError (a UserError) with everything that is wrong.
    """
    texts = [
        f"{path}={write_yaml({'v': value}, is_flow=True)[4:].strip()[:-1]}"
        for path, value in (settings or {}).items()
    ]
    given = None if seeds is None else str(seeds) if isinstance(seeds, int) else ",".join(map(str, seeds))
    source = sources_of(name, write_yaml(space), Path.cwd()) if isinstance(space, Mapping) else space
    loaded = load_space(
        source, settings=texts, domain=domain, seeds=given, extra_checks=[check_figures], family=family
    )
    return Study(open_study(loaded, results_folder(results), reuses_changed_code=reuse_changed_code))


class Study(Results):
    """A planned space and the results folder that holds what has run of it."""

    def __init__(self, planned: Planned) -> None:
        super().__init__(planned.folder)
        self._planned = planned

    @property
    def plan(self) -> pd.DataFrame:
        """A row for every trial: `cell`, `seed`, `signature`, and the value of every axis."""
        axes = {cell.name: dict(cell.axis_values) for cell in self._planned.plan.cells}
        rows = [
            {"cell": trial.cell, "seed": trial.seed, "signature": trial.signature, **axes[trial.cell]}
            for trial in self._planned.plan.trials
        ]
        return pd.DataFrame(rows)

    def run(
        self,
        *,
        inline: bool = False,
        address: str | None = None,
        cpus: int | None = None,
        quiet: bool = False,
        log_to: Sequence[str] = (),
    ) -> "Study":
        """Train every trial that is missing; on Ray, or `inline` one after another in this process.

        `log_to` names programs, `tensorboard` and `wandb`: what `export` would write for them is written as it comes,
        into folders of these names in `folder`.

        Trials that fail are in `failed`. Raises UserError where the launch cannot begin or what has run cannot be
        recorded, KeyboardInterrupt when it is interrupted: what has finished is kept, and the next `run` goes on.
        """
        console = Console(quiet=quiet)
        options = RunOptions(
            inline=inline, address=address, num_cpus=cpus, listeners=export.live_logs(log_to)
        )
        outcome = run_until_decided(
            self._planned,
            options,
            make_display(console),
            judge=lambda folder: next_seeds(load_frames(folder)),
            note=lambda line: say(console, line),
        )
        self.__dict__.pop("frames", None)
        self.__dict__.pop("judgement", None)
        if outcome.preparation_error is not None:
            raise UserError(outcome.preparation_error)
        if outcome.interrupted_by is not None:
            raise KeyboardInterrupt
        return self

    def save_yaml(self, path: str | Path) -> Path:
        """Write the space that `asyrp-sweep run` takes for the same study, and the file of its family where it has one.

        The file's name is the study's, so keep it for the same results folder to be found.
        """
        target, space = Path(path), self._planned.space
        target.write_text(space.text, encoding="utf-8")
        if isinstance(space.family, FunctionFamily):
            target.with_name(f"{space.family.name}_family.py").write_text(
                space.family.file_text(), encoding="utf-8"
            )
        return target

    # How it shows itself

    def __repr__(self) -> str:
        return super().__repr__() if self._has_begun() else self._no_results()

    def __rich__(self) -> Table | Text:
        return super().__rich__() if self._has_begun() else Text(self._no_results())

    def _repr_html_(self) -> str:
        return super()._repr_html_() if self._has_begun() else f"<p>{escape(self._no_results())}</p>"

    def _has_begun(self) -> bool:
        return (self.folder / STUDY_FILE).is_file()

    def _no_results(self) -> str:
        return f"<Study {self.name}: {len(self._planned.plan.trials)} trials planned, none has run>"
