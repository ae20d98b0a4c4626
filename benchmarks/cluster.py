"""How many trials a second a launch can record, whatever runs them.

    python benchmarks/cluster.py                                  # 1, 8, 64 and 512 workers, on a folder
    python benchmarks/cluster.py --store                          # and in an S3 server on loopback (needs moto, flask)
    python benchmarks/cluster.py --workers 8 64 --rounds 5

Workers are threads that do nothing for a second for each trial; the launch around them is the whole one but for Ray:
lock, queue, record synced to disk, or put into the store as well, checkpoint forgotten, progress. Rows are written
before the clock starts, as in a cluster other machines write them. Commits a second count from the first start to the
last end; requests and bytes are those of the launch, rows among them. What a worker's trial itself costs, and Tune's
loop, is in `orchestration_overhead.py`.
"""

import argparse
import queue as queues
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from orchestration_overhead import SPACE
from scale import Watch

from orchestrator.execution.contract import Observer
from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.recording import Recording
from orchestrator.execution.tasks import Record, TrialTask
from orchestrator.ledger import Ledger
from orchestrator.ledger.copies import SCRATCH, results_folder
from orchestrator.plan.loading import load_space
from orchestrator.study import runner
from orchestrator.study.launch import Study, open_study

SHARED = ("signature", "attempt", "cell", "seed", "axis_values", "config", "parent", "code")


class Workers:
    """A back end of threads that wait for a second."""

    def __init__(self, study: Study, num_workers: int) -> None:
        self._ledger_folder = study.ledger_folder
        self._num_workers = num_workers
        self.began = 0.0

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def prepare(self, tasks: Sequence[Any], observer: Observer) -> None:
        """Nothing."""

    def run(self, queue: TrialQueue, observer: Observer) -> None:
        """Hand out trials, a worker each, and tell the observer of their ends."""
        ledger = Ledger(self._ledger_folder)
        for task in queue.tasks.values():
            ledger.write_rows(task.signature, task.attempt, curves=[], evaluations=[], samples=[])
        todo: queues.SimpleQueue[TrialTask | None] = queues.SimpleQueue()
        ended: queues.SimpleQueue[TrialTask] = queues.SimpleQueue()

        def work() -> None:
            while (task := todo.get()) is not None:
                time.sleep(1)
                ended.put(task)

        threads = [threading.Thread(target=work) for _ in range(self._num_workers)]
        for thread in threads:
            thread.start()
        self.began = time.perf_counter()
        try:
            with Recording(observer.keep) as recording:
                while not queue.is_finished:
                    self._hand_out(queue, observer, todo)
                    with suppress(queues.Empty):
                        task = ended.get(timeout=0.01)
                        observer.on_epoch(task.signature, {"epoch": 1.0, "loss_total": 0.0}, "here")
                        queue.mark_recording(task.signature)
                        recording.put(record_of(task))
                    for record in recording.kept():
                        observer.on_finished(record)
                        queue.mark_ended(record)
        finally:
            for _ in threads:
                todo.put(None)
            for thread in threads:
                thread.join()

    def _hand_out(
        self, queue: TrialQueue, observer: Observer, todo: "queues.SimpleQueue[TrialTask | None]"
    ) -> None:
        while queue.count("running") < self._num_workers and (task := queue.take()) is not None:
            observer.on_started(task.signature)
            todo.put(task)


def record_of(task: TrialTask) -> Record:
    """How a trial ended that did nothing."""
    now = datetime.now(UTC)
    return {
        **{name: getattr(task, name) for name in SHARED},
        **{"status": "done", "reason": None, "started_at": now, "finished_at": now, "notes": []},
        **{"wall_seconds": 1.0, "train_seconds": 1.0, "metric_loss_total": 0.0},
    }


def launch(place: str | Path, folder: Path, num_workers: int, rounds: int) -> tuple[Workers, Watch]:
    """A launch of as many trials as give every worker so many."""
    space = folder / f"workers_{num_workers}.yaml"
    num_trials = max(5, num_workers * rounds)
    space.write_text(SPACE.format(seeds=num_trials))
    study = open_study(load_space(space), results_folder(place))
    workers, watch = Workers(study, num_workers), Watch()
    with patch.object(runner.Launch, "_backend", lambda _: workers):
        options = runner.RunOptions(inline=True, trial_class="orchestration_overhead:NoopTrial")
        outcome = runner.run_missing(study, options, watch)
    num_done = len(Ledger(study.ledger_folder).records())
    assert outcome.num_run == num_done == num_trials, f"{num_done} of {num_trials} are on record"
    return workers, watch


@contextmanager
def counted(requests: Counter[str]) -> Iterator[None]:
    """An S3 server on loopback; its requests and the bytes of its writes are counted by verb."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "orchestrator"))
    from object_server import served

    def count(verb: str, path: str, headers: dict[str, str]) -> None:
        requests[verb] += 1
        requests["bytes"] += int(headers.get("content-length") or headers.get("Content-Length") or 0)

    with served() as server, patch.dict("os.environ", server.environment):
        server.clear()
        server.answer = count
        yield


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64, 512])
    parser.add_argument("--rounds", type=int, default=3, help="trials of each worker (default 3)")
    parser.add_argument("--store", action="store_true", help="in an S3 server on loopback too")
    options = parser.parse_args()
    print(
        f"{'':8}{'workers':>8}{'trials':>8}{'a second':>10}{'CPU ms':>8}{'MB more':>9}  requests, bytes put a trial"
    )
    for kind in ("folder", "store") if options.store else ("folder",):
        requests: Counter[str] = Counter()
        with (
            tempfile.TemporaryDirectory() as name,
            counted(requests) if kind == "store" else nullcontext(),
            patch.dict("os.environ", {SCRATCH: f"{name}/scratch"}),
        ):
            for num_workers in options.workers:
                requests.clear()
                place = "s3://bucket/results" if kind == "store" else Path(name) / "results"
                workers, watch = launch(place, Path(name), num_workers, options.rounds)
                num_trials = len(watch.moments)
                rate = num_trials / (watch.moments[-1] - workers.began)
                cpu = 1000 * (watch.cpu[-1] - watch.cpu[0]) / (num_trials - 1)
                more = (watch.memory[-1] - watch.memory[0]) / 1e6
                asked = ", ".join(
                    f"{verb} {count / num_trials:.1f}" for verb, count in sorted(requests.items())
                )
                print(
                    f"{kind:8}{num_workers:8}{num_trials:8}{rate:10.1f}{cpu:8.1f}{more:9.1f}  {asked}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
