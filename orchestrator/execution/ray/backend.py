"""Trials on Ray Tune.

Tune is the executor and no more. What has run is the ledger's business, checkpoints are ours, the
terminal is ours: Tune gets what is in `execution.ray.tune`, a new run name at every launch, and a temporary
folder that is removed after it.
"""

import gc
import importlib.util
import logging
import os
import secrets
import shutil
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from orchestrator.execution.contract import BackendError, Observer, PreparationFailed, RayOptions
from orchestrator.execution.ending import WARNING, Interrupted
from orchestrator.execution.interrupts import SignalWatch
from orchestrator.execution.machine import usable_cores
from orchestrator.execution.provenance import CODE
from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.ray.cluster import (
    LOCAL,
    OBJECT_STORE_BYTES,
    SHARED_MEMORY,
    Node,
    check_address,
    has_room,
    num_slots,
    room_asked_for,
    wanted_of,
    watching_head,
    why_not_connected,
)
from orchestrator.execution.ray.kinds import JoinedMachines
from orchestrator.execution.ray.machines import AskedRoom, Machines
from orchestrator.execution.ray.ready import (
    forget_authentication,
    ray,
    registry_remembered,
    request_resources,
    tune,
)
from orchestrator.execution.ray.scratch import ADVICE, MAX_LENGTH, launch_folder
from orchestrator.execution.ray.tune import (
    LeaveTune,
    ObserverCallback,
    QueueScheduler,
    QueueSearcher,
    TuneTrial,
    signature_of,
)
from orchestrator.execution.tasks import WorkerSettings
from orchestrator.execution.worker import prepare_torch, run_preparation_task
from trainables.paths import home
from trainables.wording import duration

POLL_SECONDS = 0.1
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
TOKEN_VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
WORKER_ENVIRONMENT = ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "RAY_CHDIR_TO_TRIAL_DIR")
"""What workers need, too; those of a running cluster were not started by this process."""


class RayBackend:
    """The contract of `Backend` on Ray."""

    def __init__(self, settings: WorkerSettings, options: RayOptions | None = None) -> None:
        self._settings = settings
        self._options = options or RayOptions()
        self._signals = SignalWatch(self._options.end)
        self._folder: Path | None = None
        self._stack = ExitStack()
        self._watch = ExitStack()
        self._is_joined = False
        """Whether Ray runs without this launch."""
        if settings.family.recipe is not None:
            _send_by_value(settings.family.recipe[1])

    def __enter__(self) -> "RayBackend":
        if ray.is_initialized():
            raise BackendError(
                "this process is already connected to Ray; call ray.shutdown() first, or use --inline"
            )
        address = self._options.address or os.environ.get("RAY_ADDRESS") or LOCAL
        self._is_joined = address != LOCAL
        check_address(address, ray.__version__)
        self._stack.callback(_forget_token, {name: os.environ.get(name) for name in TOKEN_VARIABLES})
        self._folder = self._stack.enter_context(launch_folder(MAX_LENGTH if address == LOCAL else None))
        try:
            self._connect(self._folder, address)
            head = ray.get_runtime_context().gcs_address
            self._watch.enter_context(watching_head(head, self._end_without_ray))
            self._signals.__enter__()
            self._find_room(self._patience if self._is_joined else 0.0)
            if self._is_joined and self._options.joined is not None:
                self._options.joined(JoinedMachines(self._settings, _all_nodes(), self._signals.check))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._watch.close()
        self._signals.__exit__()
        with _garbage_kept():
            ray.shutdown()
        self._stack.close()

    def _end_without_ray(self, why: str) -> None:
        try:
            self._options.gone(why)
        finally:
            os._exit(1)

    @property
    def _patience(self) -> float:
        """How many seconds to wait for room on a cluster."""
        asked = self._options.wait_seconds
        return self._settings.execution.wait_minutes * 60 if asked is None else asked

    def _find_room(self, patience: float) -> None:
        """Wait until a machine has room for a trial, at most so many seconds: those of a cluster may come later."""
        execution = self._settings.execution
        if has_room(execution, _nodes()):
            return
        began = time.monotonic()
        said = ""
        if patience > 0:
            # An autoscaler starts machines for it.
            request_resources(bundles=[wanted_of(execution)] * (self._options.concurrency or 1))
        try:
            while not has_room(execution, _nodes()):
                self._signals.check()
                lacking = room_asked_for(execution, _nodes())
                if (left := began + patience - time.monotonic()) <= 0:
                    raise BackendError(f"{lacking}. No trial was started.")
                if lacking != said:  # Also where machines have come that are still too small.
                    self._options.note(f"{lacking} yet; waiting for one, {duration(round(left))} at most")
                    said = lacking
                time.sleep(POLL_SECONDS)
        finally:
            if patience > 0:
                request_resources(bundles=[])  # It would ask for it for ever.

    def describe(self) -> str:
        """What was joined: version, nodes, CPUs, GPUs."""
        nodes = _nodes()
        cpus, gpus = (sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU"))
        return f"Ray {ray.__version__}, {len(nodes)} nodes, {cpus:g} CPUs, {gpus:g} GPUs"

    def prepare(self, tasks: Sequence[Any], observer: Observer) -> None:
        """Run the preparation tasks on all CPUs, or GPUs, of the cluster."""
        execution = self._settings.execution
        remote = ray.remote(_prepare).options(
            num_cpus=execution.cpus_per_trial, num_gpus=execution.gpus_per_trial
        )
        pending = [remote.remote(task, self._settings) for task in tasks]
        while pending:
            self._signals.check()
            finished, pending = ray.wait(pending, timeout=POLL_SECONDS)
            for reference in finished:
                try:
                    ray.get(reference)
                except ray.exceptions.RayError as error:
                    raise PreparationFailed.by(getattr(error, "cause", error), error) from error
                self._options.end.has_progressed = True
                observer.on_prepared(len(tasks) - len(pending), len(tasks))

    def run(self, queue: TrialQueue, observer: Observer) -> None:
        """Run the queue's trials on Tune until it is empty, or until a signal."""
        asked = self._options.concurrency
        room = AskedRoom(queue, wanted_of(self._settings.execution), (self._is_joined and asked) or 0)
        machines = Machines(_all_nodes, lambda offer: has_room(self._settings.execution, [offer]))
        callback = ObserverCallback(queue, observer, self._signals, machines, room)
        callback.report_skips()
        if queue.is_finished:
            return
        # Tune keeps this many trials ready, and starts no more at once.
        queue.limit = asked
        if asked is None or not self._is_joined:
            queue.num_slots = num_slots(self._settings.execution, _nodes(), queue.num_expected)
        else:
            queue.num_slots = min(asked, queue.num_expected)
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(queue.num_slots)
        with room, callback.settled(), registry_remembered(), suppress(LeaveTune):
            self._tuner(callback).fit()
        callback.guard.raise_first()
        callback.report_unaccounted()
        if not queue.is_finished:  # What is left does not fit into the time.
            raise Interrupted(WARNING)

    def _tuner(self, callback: ObserverCallback) -> tune.Tuner:
        assert self._folder is not None, "run() needs an entered back end"
        execution = self._settings.execution
        return tune.Tuner(
            tune.with_parameters(TuneTrial, settings=self._settings),
            param_space={"cpus": execution.cpus_per_trial, "gpus": execution.gpus_per_trial},
            tune_config=tune.TuneConfig(
                search_alg=QueueSearcher(callback),
                scheduler=QueueScheduler(callback),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=signature_of,
                trial_dirname_creator=signature_of,
            ),
            run_config=tune.RunConfig(
                # Constructing a Tuner on an existing name overwrites that run: a new one every time.
                name=f"launch-{uuid.uuid4().hex}",
                storage_path=str(self._folder / "tune"),
                verbose=0,
                callbacks=[callback],
                failure_config=tune.FailureConfig(max_failures=execution.max_retries),
                # By default Tune also asks a class trainable for a checkpoint at its end.
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        )

    def _connect(self, folder: Path, address: str) -> None:
        code = folder / "code"
        try:
            code.mkdir()
            _copy_code(code, self._options.extra_modules)
        except OSError as error:  # shutil's lists every file
            why = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror or error
            raise BackendError(f"{folder} cannot be written: {why}; {ADVICE}") from error
        environment = {name: os.environ[name] for name in WORKER_ENVIRONMENT}
        try:
            ray.init(
                address=address,
                runtime_env={"working_dir": str(code), "env_vars": environment},
                log_to_driver=False,
                logging_level=logging.ERROR,
                **(self._of_our_own(folder) if address == LOCAL else {}),
            )
        except Exception as error:  # Ray raises bare ones, too.
            raise BackendError(why_not_connected(address, error, ray.__version__)) from error
        logging.getLogger("ray").setLevel(logging.ERROR)

    def _of_our_own(self, folder: Path) -> dict[str, Any]:
        """Settings of a Ray that is started for this launch."""
        _bring_a_token()
        return {
            "num_cpus": self._options.num_cpus or usable_cores(),
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_temp_dir": str(folder),  # By default all users of the machine share one.
            # Ray looks into /dev/shm even where there is none.
            "_plasma_directory": None if os.access(SHARED_MEMORY, os.W_OK) else str(folder),
        }


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """Let no thread collect garbage while Ray shuts down.

    An `ObjectRef` that another thread frees (a live log, say) once Ray's worker is gone, but before Ray has forgotten
    it, ends the whole process with exit code 1 (seen with Ray 2.60, core_worker_process.cc).
    """
    is_collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_collected:
            gc.enable()


def _copy_code(folder: Path, extra_modules: Iterable[Path]) -> None:
    """Fill a folder with our packages as this process imports them, and with single modules, and nothing else.

    Ray puts the caller's working directory first on the workers' import path. A user whose own project has an
    `analysis/` folder would get that one instead of ours (seen with Ray 2.60); a runtime environment with this folder
    as its `working_dir` comes first instead, and every node of a cluster runs the same code.
    """
    for package in CODE:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(
                f"{package} is not importable: the installation of asyrp-sweep is incomplete"
            )
        found = next(iter(spec.submodule_search_locations))
        shutil.copytree(found, folder / package, ignore=_LEFT_OUT)
    for module in extra_modules:
        shutil.copy2(module, folder / module.name)


def _bring_a_token() -> None:
    """Keep Ray from writing one to ~/.ray, readable by everybody, and from failing where that cannot be written."""
    is_set = any(name in os.environ for name in TOKEN_VARIABLES)
    if not is_set and not os.access(home() / ".ray" / "auth_token", os.R_OK):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _forget_token(before: Mapping[str, str | None]) -> None:
    """Put the variables back: a cluster that this process joins next may know no token, or another."""
    if all(os.environ.get(name) == value for name, value in before.items()):
        return
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    forget_authentication()


def _send_by_value(function: Any) -> None:
    """Let a user's function travel with its whole module, which workers may not have."""
    module = sys.modules.get(function.__module__)
    if module is not None and module.__name__ != "__main__":
        ray.cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]  # Ray leaves it out


def _prepare(task: Any, settings: WorkerSettings) -> None:
    prepare_torch(settings)
    run_preparation_task(task, settings)


def _nodes() -> list[Node]:
    """What each living machine of the cluster offers."""
    return [node["Resources"] for node in _all_nodes() if node["Alive"]]


def _all_nodes() -> list[dict[str, Any]]:
    """What Ray says of each machine that there is or was."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # Ray leaves it unannotated.
    return nodes
