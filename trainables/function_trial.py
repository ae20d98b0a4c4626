"""A user's train function as a trial: it runs in a thread that waits, at every report, for the worker's next step."""

import importlib
import inspect
import math
import random
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trainables.trials import Row, TrialFailed, TrialResult, Untold
from trainables.wording import did_you_mean

Train = Any
"""`(config, seed, report) -> metrics`, or `-> (metrics, rows)` with a row for every item measured, or
`-> (metrics, rows, samples)` with what `trainables.trials.sample` makes."""

MAX_CURVE_ROWS = 100_000
"""Most rows of one trial: a function that reports every batch of a long training would fill the memory."""


class _Stopped(BaseException):
    """Ends the train function of a trial that nobody waits for any more."""


class FunctionTrial:
    """One call of a train function. It cannot be taken up half-way: an interrupted trial starts again.

    Each `report(...)` ends an epoch for the worker, which may stop the trial there. Python's, NumPy's and torch's
    global random generators are seeded with the trial's seed before the call.
    """

    is_resumable = False

    def __init__(
        self,
        metrics: Sequence[str],
        train: Train,
        config: Any,
        seed: int,
        *,
        start_from: Path | None = None,
    ) -> None:
        """`metrics` are the names that the function has to return; `start_from` is the model of another trial."""
        self._further: dict[str, Any] = (
            {"start_from": start_from} if "start_from" in parameters_of(train) else {}
        )
        self._metrics, self._train, self._config, self._seed = metrics, train, config, seed
        self._curves: list[Row] = []
        self._result: Any = None
        self._error: BaseException | None = None
        self._turn = threading.Condition()
        self._is_functions_turn = self._is_over = self._is_stopped = False
        self._new_rows: list[Row] = []
        self._thread: threading.Thread | None = None

    @property
    def epoch(self) -> int:
        """The last epoch reported; reports without one count."""
        return int(self._curves[-1]["epoch"]) if self._curves else 0

    @property
    def is_done(self) -> bool:
        """Whether the function has returned."""
        return self._is_over

    def step(self) -> dict[str, float]:
        """Let the function go on until its next report or its end."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="train function", daemon=True)
            seed_everything(self._seed)
        with self._turn:
            self._new_rows = []
            self._is_functions_turn = True
            if not self._thread.is_alive():
                self._thread.start()
            else:
                self._turn.notify_all()
            self._turn.wait_for(lambda: not self._is_functions_turn)
        if self._error is not None:
            raise self._error
        last = self._new_rows[-1] if self._new_rows else {}
        numbers = {name: float(value) for name, value in last.items() if isinstance(value, int | float)}
        return {**numbers, "epoch": float(self.epoch)}

    def finish(self) -> TrialResult:
        """What the function returned, checked."""
        summary, rows, samples = _returned(self._result, self._metrics)
        losses = {
            name: value
            for name, value in (self._curves[-1] if self._curves else {}).items()
            if name not in summary and name != "epoch" and isinstance(value, float) and math.isfinite(value)
        }
        return TrialResult(
            curves=self._curves,
            evaluations=[{"epoch": max(self.epoch, 1), **row} for row in rows],
            samples=[{"epoch": max(self.epoch, 1), **row} for row in samples],
            summary={**losses, **summary},
        )

    def close(self) -> None:
        """End the function where it waits, for a trial that is not gone on with."""
        with self._turn:
            self._is_stopped = True
            self._turn.notify_all()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout=5)

    def save_checkpoint(self, folder: Path) -> None:
        """Nothing: a function cannot be taken up half-way."""

    def checkpoint_rows(self, after: int) -> Iterable[Row]:
        """Nothing either."""
        return ()

    def load_checkpoint(self, folder: Path, rows: Iterable[Row]) -> None:
        """Raises TrialFailed: there is nothing to go on from."""
        raise TrialFailed("a train function goes on from no checkpoint")

    # In the function's thread

    def _run(self) -> None:
        try:
            self._result = self._train(self._config, self._seed, self._report, **self._further)
        except _Stopped:
            pass
        except SystemExit as error:
            self._error = TrialFailed(f"the train function ended the program: sys.exit({error.code!r})")
        except BaseException as error:
            self._error = error
        with self._turn:
            self._is_over = True
            self._hand_over()

    def _report(self, /, **values: Any) -> None:
        """One row of the curves; numbers by their names, `epoch` counts from 1 (the next one where left out)."""
        row: Row = {"epoch": int(values.pop("epoch", self.epoch + 1))}
        for name, value in values.items():
            row[name] = _number(value, f"report({name}=...)")
        if len(self._curves) >= MAX_CURVE_ROWS:
            raise TrialFailed(
                f"more than {MAX_CURVE_ROWS:,} reports; report once an epoch, not at every step"
            )
        with self._turn:
            self._curves.append(row)
            self._new_rows.append(row)
            self._hand_over()
            self._turn.wait_for(lambda: self._is_functions_turn or self._is_stopped)
            if self._is_stopped:
                raise _Stopped

    def _hand_over(self) -> None:
        self._is_functions_turn = False
        self._turn.notify_all()


class FunctionTrialWithModel(FunctionTrial):
    """A function that leaves its model in the file that it is given as `model_file`."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._folder = TemporaryDirectory(prefix="asyrp-sweep-model-")
        self._further["model_file"] = Path(self._folder.name) / "model"

    def finish(self) -> TrialResult:
        """What the function returned, checked. Raises TrialFailed where it left no model."""
        if not self._further["model_file"].is_file():
            raise TrialFailed("the train function left no file at `model_file`")
        return super().finish()

    def save_model(self, path: Path) -> None:
        """Copy what the function has left so far. Raises TrialFailed where that is nothing."""
        if not self._further["model_file"].is_file():
            raise TrialFailed(f"the train function left no file at `model_file` up to epoch {self.epoch}")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._further["model_file"], path)

    def close(self) -> None:
        """End the function, and forget the file."""
        super().close()
        self._folder.cleanup()


def parameters_of(function: Any) -> Sequence[str]:
    """Names of a function's parameters; none where they cannot be known."""
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


def seed_everything(seed: int) -> None:
    """Seed Python's generator, and NumPy's and torch's where they are installed."""
    random.seed(seed)
    for name in ("numpy", "torch"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if name == "numpy":
            module.random.seed(seed % 2**32)
        else:
            module.manual_seed(seed)


def _returned(result: Any, metrics: Sequence[str]) -> tuple[dict[str, float], Sequence[Row], Sequence[Row]]:
    """(metrics, rows, samples) of what a train function returned. Raises TrialFailed for anything else."""
    rows: Any = ()
    samples: Any = ()
    if isinstance(result, tuple) and len(result) in (2, 3):
        result, rows, samples = (*result, ())[:3]
    if not isinstance(result, Mapping):
        found = "nothing" if result is None else type(result).__name__
        wanted = ", ".join(metrics) or "its metrics"
        raise TrialFailed(f"the train function returned {found}; expected a dict with {wanted}")
    summary = {str(name): _number(value, f"the metric {name}") for name, value in result.items()}
    if missing := [name for name in metrics if name not in summary]:
        raise Untold(
            f"the train function did not return {', '.join(missing)}, which the family declares; "
            f"it returned {', '.join(summary) or 'an empty dict'}{did_you_mean(missing[0], summary)}"
        )
    for name, value in summary.items():
        if not math.isfinite(value):
            raise TrialFailed(f"the metric {name} is {value}")
    return summary, [_item(row) for row in rows], [_sample(row) for row in samples]


def _sample(row: Any) -> Row:
    if not isinstance(row, Mapping) or not {"image_id", "media_type"} <= row.keys():
        raise TrialFailed("expected every sample to be what sample(item, content, media_type) gives")
    return dict(row)


def _item(row: Any) -> Row:
    """A row of one item: its id under `item`, numbers by their names."""
    if not isinstance(row, Mapping) or "item" not in row:
        raise TrialFailed("expected every row to be a dict with the item's id under `item`")
    numbers = {name: _number(value, f"{name} of an item") for name, value in row.items() if name != "item"}
    return {"image_id": str(row["item"]), **numbers}


def _number(value: Any, what: str) -> float:
    """A number; those of NumPy and torch count."""
    if isinstance(value, str):
        raise TrialFailed(f"{what} is text, {value!r}; expected a number")
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except OverflowError as error:
        raise TrialFailed(f"{what} is too large for a number of 64 bits") from error
    except (TypeError, ValueError) as error:
        raise TrialFailed(f"{what} is {type(value).__name__}; expected a number") from error
