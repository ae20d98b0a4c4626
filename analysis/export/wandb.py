"""Weights & Biases: an offline run for every trial, grouped by cell, to look at here or to upload with `wandb sync`."""

import io
import shutil
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.export._base import of_sink
from analysis.export._trials import ExportedTrial, Point, StudyTrials, file_names, plain_text
from analysis.frames import MISSING
from orchestrator.ledger import read_study
from trainables.errors import UserError

STEP = "step"
"""What curves are drawn along: `epoch/step` and `curves/step`."""
_LIVE = "live"


class RunsSink:
    """Folders `offline-run-<start>-<trial>`; trials that go on have theirs in `live/`."""

    def __init__(self, study_folder: Path, out: Path) -> None:
        self._out = out
        self._project = project_name(read_study(study_folder).name)
        self._live: dict[str, Any] = {}

    def __enter__(self) -> "RunsSink":
        self._out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._out / _LIVE, ignore_errors=True)  # of a launch that has ended
        return self

    def __exit__(self, *exc_info: object) -> None:
        while self._live:
            self._live.popitem()[1].finish()

    def epoch(self, trial: ExportedTrial, epoch: int, means: Mapping[str, float]) -> None:
        """A step of `epoch/<column>`."""
        if trial.signature not in self._live:
            self._live[trial.signature] = self._begun(trial, self._out / _LIVE)
        self._live[trial.signature].log(_row("epoch", epoch, means))

    def has(self, trial: ExportedTrial) -> bool:
        """Whether the run of this attempt is there."""
        return self._folder(trial).is_dir()

    def write(self, trial: ExportedTrial) -> None:
        """A run; nothing of a trial that never ran."""
        if trial.status == MISSING:
            return
        if trial.signature in self._live:
            self._live.pop(trial.signature).finish()
        made = self._out / f"new-{trial.signature}"
        shutil.rmtree(made, ignore_errors=True)  # of a launch that was killed
        run = self._begun(trial, made)
        for group, curves in (("epoch", trial.epoch_means()), ("curves", trial.curves())):
            for step, values in _by_step(curves):
                run.log(_row(group, step, values))
        for epoch, shown in _by_epoch(trial):
            run.log({"samples/step": epoch, **shown})
        run.summary.update({plain_text(name): value for name, value in trial.metrics.items()})
        run.finish(exit_code=0 if trial.status in ("done", "pruned") else 1)
        (written,) = (made / "wandb").glob(f"offline-run-*-{trial.signature}")
        for part in ("logs", "tmp"):  # of this program's work, not of the trial's
            shutil.rmtree(written / part, ignore_errors=True)
        for earlier in self._out.glob(f"offline-run-*-{trial.signature}"):
            shutil.rmtree(earlier)
        written.replace(self._folder(trial))
        shutil.rmtree(made)

    def finish(self, study: StudyTrials) -> None:
        """Nothing: W&B makes means and spreads of its groups itself."""
        shutil.rmtree(self._out / _LIVE, ignore_errors=True)

    def _folder(self, trial: ExportedTrial) -> Path:
        began = datetime.fromtimestamp(trial.time(0.0), UTC)
        return self._out / f"offline-run-{began:%Y%m%d_%H%M%S}-{trial.signature}"

    def _begun(self, trial: ExportedTrial, folder: Path) -> Any:
        """A run beside the others that are going on in this process. Raises UserError where W&B refuses."""
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "cell": trial.cell,
            "seed": trial.seed,
            "axes": dict(trial.axes),
            "status": trial.status,
            "reason": trial.reason,
            "signature": trial.signature,
            **{name: _plain(value) for name, value in trial.facts.items()},
        }
        try:
            run = wandb.init(
                project=self._project,
                dir=str(folder),
                id=trial.signature,
                name=plain_text(trial.name),
                group=plain_text(trial.cell),
                tags=[trial.status],
                config={**trial.config, "asyrp_sweep": about},
                mode="offline",
                reinit="create_new",
                settings=wandb.Settings(
                    silent=True, console="off", disable_git=True, disable_code=True,
                    x_disable_stats=True, x_disable_meta=True, x_save_requirements=False,
                ),
            )  # fmt: skip
        except wandb.errors.Error as error:
            raise UserError(f"wandb refused the run of {trial.name}: {error}") from error
        for group in ("epoch", "curves", "samples"):
            run.define_metric(f"{group}/*", step_metric=f"{group}/{STEP}")
        return run


def project_name(study: str) -> str:
    """The name of a study without what W&B allows in no project's."""
    (name,) = file_names([study]).values()
    return "".join("_" if letter in "#%" else letter for letter in name)


def _row(group: str, step: int, values: Mapping[str, float]) -> dict[str, float]:
    return {
        f"{group}/{STEP}": step,
        **{f"{group}/{plain_text(name)}": value for name, value in values.items()},
    }


def _by_step(curves: Iterable[tuple[str, list[Point]]]) -> list[tuple[int, dict[str, float]]]:
    """Curves row by row: (step, column -> value), by ascending steps."""
    rows: dict[int, dict[str, float]] = {}
    for name, points in curves:
        for point in points:
            rows.setdefault(point.step, {})[name] = point.value
    return sorted(rows.items())


def _by_epoch(trial: ExportedTrial) -> Iterator[tuple[int, dict[str, Any]]]:
    """The pictures of each epoch, as a list for every kind."""
    import wandb
    from PIL import Image

    epochs: dict[int, dict[str, list[Any]]] = {}
    kinds = file_names(picture.kind for picture in trial.pictures)
    for picture in trial.pictures:
        shown = wandb.Image(Image.open(io.BytesIO(picture.content)), caption=picture.name)
        epochs.setdefault(picture.epoch, {}).setdefault(f"samples/{kinds[picture.kind]}", []).append(shown)
    yield from sorted(epochs.items())


def _plain(value: Any) -> Any:
    """What JSON holds as it is, else text."""
    return value if isinstance(value, str | int | float | bool | list) else str(value)


TARGET = of_sink(
    "wandb",
    "offline runs of Weights & Biases, grouped by cell",
    RunsSink,
    "Upload with: wandb sync {place}/offline-run-*",
    packages=("wandb",),
    install='pip install "asyrp-sweep[wandb]"',
)
