"""Tasks, spaces and observers for the tests of launches."""

import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import object_server
import pytest
import torch
from object_server import Server

from orchestrator.execution.provenance import host
from orchestrator.execution.tasks import Record, TrialTask, WorkerSettings
from orchestrator.ledger import Ledger
from orchestrator.ledger.copies import SCRATCH
from orchestrator.plan.cells import Plan
from orchestrator.space.execution import ExecutionConfig
from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.config import CellConfig
from trainables.h_space.editor_file import save_editor

HERE = Path(__file__).parent
CONFIG: dict[str, Any] = {"domain": "avatars", "attribute": "smiling", "editor": {"kind": "pixel_channel"}}

SPACE = """
question: Does the learning rate matter?
baseline:
  domain: avatars
  attribute: smiling
  editor: {kind: conv}
  training: {epochs: 2, optimizer: {learning_rate: 0.001}}
axes:
  rate: {path: training.optimizer.learning_rate, values: [0.001, 0.01]}
seeds: 2
primary: {metric: loss_total, margin: 0.1}
"""


class RecordingObserver:
    """Keeps what a back end tells it."""

    def __init__(self) -> None:
        self.prepared: list[tuple[int, int]] = []
        self.started: list[str] = []
        self.epochs: list[tuple[str, int]] = []
        self.kept: list[Record] = []
        self.records: list[Record] = []
        self.lost: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self.notes: list[str] = []
        self.lost_machines: list[str] = []
        self.avoided_machines: list[list[str]] = []

    def on_prepared(self, num_done: int, num_tasks: int) -> None:
        self.prepared.append((num_done, num_tasks))

    def on_started(self, signature: str) -> None:
        self.started.append(signature)

    def on_epoch(self, signature: str, metrics: dict[str, float], host: str) -> None:
        self.epochs.append((signature, int(metrics["epoch"])))

    def keep(self, records: Sequence[Record]) -> None:
        self.kept.extend(records)

    def on_finished(self, record: Record) -> None:
        assert record in self.kept
        self.records.append(record)

    def on_lost(self, task: TrialTask, reason: str) -> None:
        self.lost[task.signature] = reason

    def on_skipped(self, task: TrialTask, reason: str) -> None:
        self.skipped[task.signature] = reason

    def on_machine_lost(self, name: str) -> None:
        self.lost_machines.append(name)

    def on_machines_avoided(self, machines: list[str]) -> None:
        self.avoided_machines.append(machines)

    def on_note(self, message: str) -> None:
        self.notes.append(message)

    @property
    def statuses(self) -> dict[str, str]:
        """Signature -> how the trial ended by itself."""
        return {record["signature"]: record["status"] for record in self.records}


class QuietDisplay:
    """Shows nothing and keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def showing(self, progress: Any) -> AbstractContextManager[object]:
        return nullcontext()

    def refresh(self) -> None:
        pass

    def ended(self, line: str) -> None:
        self.lines.append(line)

    def note(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture
def display() -> QuietDisplay:
    return QuietDisplay()


@pytest.fixture(scope="session")
def new_display() -> type[QuietDisplay]:
    """For fixtures of a module; tests take `display`."""
    return QuietDisplay


@pytest.fixture
def observer() -> RecordingObserver:
    return RecordingObserver()


@pytest.fixture(scope="module")
def new_observer() -> type[RecordingObserver]:
    """For fixtures of a module; tests take `observer`."""
    return RecordingObserver


def task_of(signature: str = "a", seed: int = 0, epochs: int = 2, parent: str | None = None) -> TrialTask:
    config = {**CONFIG, "training": {"epochs": epochs}}
    return TrialTask(signature, 1, f"cell-{signature}", seed, {"axis": signature}, config, parent, epochs)


def settings_in(folder: Path) -> Callable[..., WorkerSettings]:
    def make(trial: str = "FakeTrial", **execution: Any) -> WorkerSettings:
        for name in ("study", "cache"):
            (folder / name).mkdir(exist_ok=True)
        return WorkerSettings(
            folder / "study", folder / "cache", f"fake_trials:{trial}", ExecutionConfig(**execution)
        )

    return make


@pytest.fixture
def make_task() -> Callable[..., TrialTask]:
    return task_of


@pytest.fixture(scope="module")
def new_task() -> Callable[..., TrialTask]:
    """For fixtures of a module."""
    return task_of


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., WorkerSettings]:
    return settings_in(tmp_path)


@pytest.fixture(scope="module")
def new_settings(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., WorkerSettings]:
    """For fixtures of a module."""
    return settings_in(tmp_path_factory.mktemp("module"))


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    path = tmp_path / "rates.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="session")
def ray_cluster(ray_nodes: Any) -> str:
    """Address of a small Ray cluster that the tests share: starting one takes seconds."""
    return str(ray_nodes.address)


@pytest.fixture(scope="session")
def ray_nodes() -> Iterator[Any]:
    """The shared cluster itself: one node of two CPUs, to which a test may add others."""
    importlib.import_module("orchestrator.execution.ray.backend")  # sets what Ray reads when it is imported
    from ray.cluster_utils import Cluster

    resources = {
        "num_cpus": 2,
        "num_gpus": torch.cuda.device_count(),
    }  # GPUs are not looked for by themselves
    cluster = Cluster(initialize_head=True, head_node_args={**resources, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


def editor_weights(study_folder: Path, signature: str) -> list[int]:
    """What a fake trial left as its editor."""
    weights: list[int] = json.loads((study_folder / "editors" / f"{signature}.safetensors").read_text())
    return weights


@pytest.fixture
def weights() -> Callable[[Path, str], list[int]]:
    return editor_weights


WriteEditor = Callable[..., None]


@pytest.fixture
def write_editor() -> WriteEditor:
    """Write an editor of the tiny domain, of its own weights for every number."""

    def write(path: Path, number: int, channels: int = 64) -> None:
        config = CellConfig.model_validate(
            {"domain": "tiny", "attribute": "goblin", "editor": {"kind": "conv"}}
        )
        shape = BottleneckShape(channels, 4, 4, 256)
        editor = config.editor.build(shape, torch.Generator().manual_seed(number), (999, 500))
        save_editor(path, editor, config, shape, (999, 500), {})

    return write


@pytest.fixture
def write_done() -> Callable[..., None]:
    """Record the first trial of a plan as done in `study` of a results folder, here or on another machine."""

    def write(
        results: Path, plan: Plan, train_seconds: float, wall_seconds: float, at: str = "", cpu: str = ""
    ) -> None:
        trial = plan.trials[0]
        ledger = Ledger(results / "study" / "ledger")
        ledger.write_rows(trial.signature, 1, curves=[], evaluations=[], samples=[])
        ledger.commit(
            {
                "signature": trial.signature,
                "attempt": 1,
                "status": "done",
                "config": trial.config.model_dump(mode="json"),
                "provenance": {"host": at or host(), "device": "cpu", "hardware": {"cpu": cpu}},
                "device": "cpu",
                "train_seconds": train_seconds,
                "wall_seconds": wall_seconds,
            }
        )

    return write


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    """A real S3 server, for tests marked `needs_server`."""
    with object_server.served() as server:
        yield server


@pytest.fixture
def server(s3_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    """An empty bucket of the server, which this process knows; copies of it are in the test's own folder."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(SCRATCH, str(tmp_path / "this_machine"))
    s3_server.clear()
    return s3_server
