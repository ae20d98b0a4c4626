"""What happens to one trial inside a worker process, whichever back end started it.

    run = TrialRun(task, settings)
    while (step := run.advance()).record is None: ...

Every way a trial can end by itself comes back as a record: done, or failed with its reason. The death of the process
does not, nor does a study's folder that cannot be written: both are the back end's business, and the trial goes on from
its last checkpoint. A worker that another one has superseded raises Superseded and has written nothing since.
"""

import importlib
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.execution.checkpoints import CheckpointStore, DamagedCheckpoint, Superseded
from orchestrator.execution.models import is_there, model_path, model_writer, publish, put_model, start_file
from orchestrator.execution.provenance import host, provenance
from orchestrator.execution.tasks import UNTOLD, Record, TrialTask, WorkerSettings
from orchestrator.ledger import Ledger, LedgerError
from orchestrator.ledger.copies import copy_at, working_copy_of
from orchestrator.ledger.files import writing
from orchestrator.ledger.index import PartKey
from orchestrator.ledger.study import log_file
from trainables.errors import UserError
from trainables.loading import to_be_kept
from trainables.trials import Untold, close

TRACEBACK_LINES = 12
log = logging.getLogger("asyrp_sweep.trial")


@dataclass(frozen=True)
class Step:
    """What one `advance` gives: the epoch's means, and the record once the trial has ended."""

    metrics: dict[str, float] = field(default_factory=dict)
    record: Record | None = None
    unwritable: str | None = None
    """Why what the trial has done could not be kept: the launch has to stop."""
    host: str = field(default_factory=host)
    """The machine that it was done on."""


class TrialRun:
    """One trial from its first epoch, or its checkpoint, to its record."""

    def __init__(self, task: TrialTask, settings: WorkerSettings) -> None:
        self._task = task
        self._settings = settings = settings.here()
        self._copy = working_copy_of(settings.study_folder)
        self._ledger_folder = settings.study_folder / "ledger"
        self._log = settings.study_folder / log_file(task.signature)
        self._checkpoints = CheckpointStore(settings.study_folder, task.signature, task.attempt)
        self._trial: Any = None  # A `trainables.family.TrialRun`.
        self._packages: tuple[str, ...] = ()
        self._started_at = datetime.now(UTC)
        self._began = 0.0
        """When the present piece of work began, on the clock that only goes on."""
        self._wall_seconds = 0.0
        """Wall time of the pieces of work before the present one."""
        self._train_seconds = 0.0
        self._notes: list[str] = []

    def advance(self) -> Step:
        """Train one epoch and keep its checkpoint; after the last one also evaluate and write the rows."""
        self._began = time.monotonic()
        with logging_to(self._log):
            try:
                step = self._advance()
            except Superseded:
                raise
            except LedgerError as error:
                log.error("stopped: %s", error)
                step = Step(unwritable=str(error))
            except Exception as error:
                step = Step(record=self._failed(error))
        if self._copy is not None:
            with suppress(LedgerError):  # Nothing depends on a log.
                self._copy.push([self._log])
        self._wall_seconds = self._wall_until_now()
        if step.record is not None:
            step.record["wall_seconds"] = self._wall_seconds
            close(self._trial)
            self._trial = None  # Lets go of the trial's memory before the next one starts.
            _empty_gpu_cache()
        return step

    def _advance(self) -> Step:
        if self._trial is None:
            self._trial = self._start()
        metrics: dict[str, float] = {}
        if not self._trial.is_done:
            began = time.monotonic()
            metrics = self._trial.step()
            self._train_seconds += time.monotonic() - began
            log.info("epoch %d: %s", self._trial.epoch, _readable(metrics))
            with writing(self._settings.study_folder):
                self._keep()
        return Step(metrics, self._finish() if self._trial.is_done else None)

    def _keep(self) -> None:
        """Write what the trial can be taken up from, and the model where a child asks for this epoch's."""
        trial = self._trial
        if trial.epoch in self._task.keep_epochs:  # Before the checkpoint: a resumed trial is past it.
            put_model(self._model_path(trial.epoch), trial.save_model, self._checkpoints.check)
        if not getattr(trial, "is_resumable", True):
            return
        account = {
            "started_at": self._started_at.isoformat(),
            "wall_seconds": self._wall_until_now(),
            "train_seconds": self._train_seconds,
            "notes": self._notes,
            "code": self._task.code,
        }
        self._checkpoints.save(trial.epoch, trial.save_checkpoint, account, trial.checkpoint_rows)

    def _start(self) -> Any:
        task, settings = self._task, self._settings
        if not settings.study_folder.is_dir():
            raise FileNotFoundError(
                f"{settings.study_folder} does not exist on this machine: --results must be a folder "
                "that every node of the cluster sees under the same path"
            )
        log.info("%s, seed %d, attempt %d, on %s", task.cell, task.seed, task.attempt, settings.device)
        with writing(settings.study_folder):
            self._checkpoints.claim()
        prepare_torch(settings)
        try:
            checkpoint = self._checkpoints.newest()
        except DamagedCheckpoint as damage:
            self._note(f"{damage}; the trial started afresh")
            checkpoint = None
        trial = self._new_trial()
        if checkpoint is None:
            return trial
        if checkpoint.extra.get("code", "") != task.code:
            self._note("started afresh: the checkpoint was written by other code")
            return trial
        kept = (epoch for epoch in task.keep_epochs if epoch <= checkpoint.epoch)
        if missing := [epoch for epoch in kept if not is_there(self._model_path(epoch))]:
            self._note(f"started afresh: a child needs the model of epoch {missing[0]}, which was not kept")
            return trial
        try:
            trial.load_checkpoint(checkpoint.folder, checkpoint.rows)
        except Exception as error:
            if _says_nothing_of_what_was_read(error):
                raise
            aside = self._checkpoints.set_aside(checkpoint.folder, f"{type(error).__name__}: {error}")
            self._note(f"{aside}; the trial started afresh")
            return self._new_trial()
        self._take_over(checkpoint.extra)
        self._note(f"resumed after epoch {trial.epoch}")
        return trial

    def _new_trial(self) -> Any:
        task, settings = self._task, self._settings
        family = settings.family.find()
        self._packages = family.packages
        config = family.with_seed(family.Config.model_validate_json(json.dumps(task.config)), task.seed)
        given: dict[str, Any] = {"cache_dir": settings.cache_dir, "device": settings.device}
        if self._copy is not None:
            self._copy.fetch_cache()
        if settings.prepares_itself:
            for stage in family.preparation([config], settings.cache_dir):
                for missing in stage:
                    family.run_preparation(missing, settings.cache_dir, settings.device)
        if (start := start_file(task, settings.study_folder)) is not None:
            given["start_from"] = start
        new = family.trial if settings.trial_class is None else import_class(settings.trial_class)
        return new(config, task.seed if task.draws is None else task.draws, **given)

    def _model_path(self, epoch: int | None = None) -> Path:
        return model_path(self._settings.study_folder, self._task.signature, epoch)

    def _finish(self) -> Record:
        result = self._trial.finish()
        task = self._task
        rows = {name: getattr(result, name) for name in ("curves", "evaluations", "samples")}
        with writing(self._settings.study_folder):
            model = self._model_path()
            models = {}
            if hasattr(self._trial, "save_model"):
                models[model] = model_writer(model, self._trial.save_model, self._checkpoints.check)
            self._checkpoints.check()
            Ledger(self._ledger_folder).write_rows(task.signature, task.attempt, models, **rows)
            for path in models:
                publish(path)
            self._checkpoints.check()
            if self._copy is not None:
                self._copy.push_rows(self._settings.study_folder.name, PartKey(task.signature, task.attempt))
                self._checkpoints.check()
        self._notes.extend(result.notes)
        log.info("done: %s", _readable(result.summary))
        metrics = {f"metric_{name}": float(value) for name, value in result.summary.items()}
        return self._record("done", None) | {"num_parameters": result.num_parameters} | metrics

    def _failed(self, error: Exception) -> Record:
        log.error("failed\n%s", traceback.format_exc())
        told = {UNTOLD: True} if isinstance(error, Untold) else {}
        return self._record("failed", failure_reason(error)) | told

    def _record(self, status: str, reason: str | None) -> Record:
        settings = self._settings
        return {
            **self._task.in_record(),
            "status": status,
            "reason": reason,
            "started_at": self._started_at,
            "finished_at": datetime.now(UTC),
            "train_seconds": self._train_seconds,
            "device": settings.device,
            "provenance": provenance(
                settings.git_commit,
                device_name(settings.device),
                settings.execution.threads_per_trial,
                self._packages,
                {"cpus": settings.execution.cpus_per_trial, "gpus": settings.execution.gpus_per_trial},
                float32_at(settings.device),
            ),
            "notes": list(self._notes),
        }

    def _note(self, text: str) -> None:
        log.warning("%s", text)
        self._notes.append(text)

    def _wall_until_now(self) -> float:
        return self._wall_seconds + time.monotonic() - self._began

    def _take_over(self, account: dict[str, Any]) -> None:
        """Go on counting where the checkpoint's worker was, as if it had never ended: loading counts once."""
        self._started_at = datetime.fromisoformat(account["started_at"])
        self._wall_seconds, self._train_seconds = account["wall_seconds"], account["train_seconds"]
        self._began = time.monotonic()
        self._notes = [*account.get("notes", ()), *self._notes]


def prepare_torch(settings: WorkerSettings) -> None:
    """Set threads and precision, check that the device asked for is there, and make a GPU repeat itself.

    Ray hides GPUs by an environment variable; a trial that was promised one and finds none would
    otherwise train on the CPU, unnoticed and a hundred times slower.
    """
    with to_be_kept():
        import torch

    torch.set_num_threads(settings.execution.threads_per_trial)
    _choose_precision()
    if settings.device != "cuda":
        return
    if not torch.cuda.is_available():
        raise RuntimeError(
            f"gpus_per_trial is {settings.execution.gpus_per_trial}, but torch finds no GPU on this machine "
            "(asyrp-sweep doctor shows why); set execution.gpus_per_trial to 0 to train on the CPU"
        )
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it torch refuses to promise
    torch.use_deterministic_algorithms(settings.execution.deterministic)
    # Filling memory costs time, and nothing here reads what it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set at run time


FLOAT32 = {
    "cpu": {"convolutions": "ieee", "products": "ieee"},
    "cuda": {"convolutions": "tf32", "products": "ieee"},
}
"""How float32 is computed, whatever torch's defaults are and the environment says (docs/design/012)."""


def float32_at(device: str) -> dict[str, str]:
    """How float32 is computed on a device, for the record: `ieee`, or `tf32` with three digits."""
    return FLOAT32["cpu" if device == "cpu" else "cuda"]


def _choose_precision() -> None:
    import torch

    backends: Any = torch.backends  # a static checker does not see what is in it
    for convolutions, products, device in (
        (backends.mkldnn.conv, backends.mkldnn.matmul, "cpu"),
        (backends.cudnn.conv, backends.cuda.matmul, "cuda"),
    ):
        convolutions.fp32_precision = FLOAT32[device]["convolutions"]
        products.fp32_precision = FLOAT32[device]["products"]


def run_preparation_task(task: Any, settings: WorkerSettings) -> None:
    """Compute one task of what trials share."""
    settings = settings.here()
    copy = copy_at(settings.cache_dir.parent)
    with nullcontext() if copy is None else copy.preparing():
        settings.family.find().run_preparation(task, settings.cache_dir, settings.device)


def import_class(path: str) -> Any:
    """The class at `module:Class`."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def failure_reason(error: Exception) -> str:
    """One line for the ledger: what kind of end it was, in the words a user would search for."""
    name = type(error).__name__
    if isinstance(error, UserError):
        return str(error)
    first_line = (str(error).strip() or repr(error)).splitlines()[0]
    if name == "OutOfMemoryError":  # torch's, recognised by name so that nothing here imports torch
        return f"out of GPU memory: {first_line}"
    _, torchs_word, refusal = first_line.partition("DefaultCPUAllocator: ")
    if isinstance(error, MemoryError) or torchs_word:
        return f"out of memory: {refusal or first_line}".rstrip(": ")
    return f"{name}: {first_line}"


def _says_nothing_of_what_was_read(error: Exception) -> bool:
    """Whether it is the disk or the memory that refused, and what was to be read may be as good as ever."""
    return isinstance(error, OSError) or failure_reason(error).startswith("out of ")


class _TrialLog(logging.FileHandler):
    """A log that ends where nothing can be written any more: neither the trial nor the terminal hears of it."""

    def handleError(self, record: logging.LogRecord) -> None:  # logging's own spelling
        """Go on without the line."""

    def close(self) -> None:
        """Close, perhaps without the last lines."""
        with suppress(OSError):
            super().close()


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Send the log, and Python's warnings, to a file; nothing at all when the folder cannot be written."""
    try:
        path.parent.mkdir(exist_ok=True)  # Never the study's own folder: its absence must be noticed.
        handler: logging.Handler = _TrialLog(path, encoding="utf-8")
    except OSError:
        handler = logging.NullHandler()
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime  # UTC as in the ledger: trials go from machine to machine.
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.addHandler(handler)
    log.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        handler.close()


def device_name(device: str) -> str:
    """`cpu`, or the GPU's name."""
    if device == "cpu":
        return "cpu"
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else device


def _empty_gpu_cache() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _readable(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in values.items())
