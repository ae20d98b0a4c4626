"""One trial: a command run to its end, its curve read on the way, its metrics afterwards."""

import base64
import json
import logging
import shlex
import shutil
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.command.config import CURVES_FILES, CommandConfig
from trainables.command.curves import EPOCH, Curves
from trainables.command.filling import environment_of, filled, filled_command, values_of
from trainables.command.folders import RunFolder, folder_key
from trainables.command.identity import identity
from trainables.command.process import (
    LOGGED_LINES,
    Ended,
    Launch,
    Running,
    how_it_ended,
    last_lines,
)
from trainables.command.reading import MetricMissing
from trainables.command.results import Results, files_matching, newest, read_results
from trainables.command.supervisor import KILL_SECONDS, pieces_of
from trainables.digests import file_digest
from trainables.errors import Unreadable
from trainables.names import visible
from trainables.trials import Row, TrialFailed, TrialResult, Untold, sample
from trainables.wording import shortened

POLL_SECONDS, LATER_POLL_SECONDS = 0.05, 0.25
"""Between two looks at the command, in its first second and later."""
LOOKING_PART = 20
"""One part of so many of a command's time goes into looking for its files: it may fill its folder with thousands."""
STEP_SECONDS = 1.0
"""How long a step takes at least: what a script logs faster than this is taken in together."""
OUTPUT_BYTES = 4 << 20
"""Most of the output that patterns are looked for in: all that is kept of it."""
QUOTED_CHARACTERS = 300
"""Most characters of a line that a message repeats."""
_STATE, _MODEL = "state.json", "model"
log = logging.getLogger("asyrp_sweep.trial")


class CommandTrial:
    """A command started with the values of a cell and a seed: `step()` until `is_done`, then `finish()`.

    A step lasts until there are new rows of the curve, or to the end. The command is stopped, with all that it has
    started, when this object goes or its process dies.
    """

    def __init__(
        self,
        config: CommandConfig,
        seed: int,
        *,
        cache_dir: Path,
        device: str = "cpu",
        start_from: Path | None = None,
    ) -> None:
        self.config = config
        self.seed = seed
        self._cache_dir = cache_dir
        self._device = device
        self._start_from = start_from
        self._curves = Curves()
        self._epoch = 0
        self._seconds_before = 0.0
        """That the command ran before it was interrupted."""
        self._seconds = 0.0
        self._run: _Run | None = None
        self._results: Results | None = None
        self._notes: list[str] = []
        self._look_again = 0.0
        """When the folder is searched for a log next, by the monotonic clock."""

    @property
    def is_resumable(self) -> bool:
        """Whether there is anything to go on from."""
        return self.config.resume or self.is_done

    @property
    def epoch(self) -> int:
        """The highest epoch that the curve has reached; 1 at least once the command has ended."""
        return max(self._epoch, self._curves.epoch, int(self.is_done))

    @property
    def is_done(self) -> bool:
        """Whether the command has ended and its results are read."""
        return self._results is not None

    def step(self) -> dict[str, float]:
        """Wait for news of the curve, or for the end of the command. Returns the last row.

        Raises TrialFailed where the command or what it writes is not as it should be.
        """
        if self._run is None:
            self._run = self._start()
        run = self._run
        try:
            ended = self._news(run)
            if ended is not None:
                self._end(run, ended)
        except Unreadable as error:
            kind = Untold if isinstance(error, MetricMissing) else TrialFailed
            raise self._failed(run, str(error), kind) from error
        if ended is None:
            run.place.mark("running", self._seconds_before + run.seconds)
        return {**self._last_row(), EPOCH: float(self.epoch)}

    def finish(self) -> TrialResult:
        """What the trial leaves; the folder of the command goes with this object."""
        assert self._results is not None, "step() until is_done"
        results = self._results
        if self._run is not None:
            self._run.is_over = True
        else:  # The worker that ran the command was killed just after its end.
            place = self._take_place()
            place.remove()
            place.release()
        return TrialResult(
            curves=self._curves.rows,
            evaluations=[{EPOCH: self.epoch, **row} for row in results.items],
            samples=[self._sample(row) for row in results.samples],
            summary={"train_seconds": self._seconds, **results.summary},
            num_parameters=results.num_parameters,
            notes=[visible(note) for note in (*self._notes, *self._curves.notes, *results.notes)],
        )

    def save_model(self, path: Path) -> None:
        """Write the file that `keep.model` names; without one, a JSON file that says what was run."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._results is not None and self._results.model is not None:
            shutil.copyfile(self._results.model, path)
            return
        what = {"seed": self.seed, "epoch": self.epoch, "config": self.config.model_dump(mode="json")}
        path.write_text(json.dumps(what, indent=1), encoding="utf-8")

    def save_checkpoint(self, folder: Path) -> None:
        """Write how far the command is; once it has ended, everything of it that is kept."""
        folder.mkdir(parents=True, exist_ok=True)
        state: dict[str, Any] = {EPOCH: self.epoch, "seconds": self._seconds, "notes": self._notes}
        if (results := self._results) is not None:
            samples = [
                {**row, "content": base64.b64encode(row["content"]).decode()} for row in results.samples
            ]
            state["results"] = {**vars(results), "samples": samples, "model": results.model is not None}
            if results.model is not None:
                shutil.copyfile(results.model, folder / _MODEL)
        (folder / _STATE).write_text(json.dumps(state), encoding="utf-8")

    def checkpoint_rows(self, after: int) -> Iterator[Row]:
        """What the curve has of epochs after one, a JSON-able row each."""
        return self._curves.checkpoint_rows(after)

    def load_checkpoint(self, folder: Path, rows: Iterable[Row]) -> None:
        """Go on from what `save_checkpoint` wrote: with the results, or with the script's own checkpoint.

        A script that cannot go on begins anew, and the trial with it.
        """
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        results = state.get("results")
        if results is None and not self.config.resume:
            return
        self._curves.take_up(rows)
        self._epoch, self._seconds, self._notes = state[EPOCH], state["seconds"], state["notes"]
        if results is not None:
            samples = [{**row, "content": base64.b64decode(row["content"])} for row in results["samples"]]
            model = folder / _MODEL if results["model"] else None
            self._results = Results(**{**results, "samples": samples, "model": model})

    def close(self) -> None:
        """Stop the command, with all that it has started."""
        if self._run is not None:
            self._run.close()

    def _start(self) -> "_Run":
        config = self.config
        place = self._take_place()
        before = place.prepare(keep=config.resume)
        if place.is_fallback:
            self._note(f"another process uses the usual folder of this trial; it runs in {place.root}")
        if before is not None:
            self._seconds_before = before
            file = self._curves_file(place.folder)
            if config.curves_pattern is None and file is not None:
                try:
                    self._curves.take_up_file(file)
                except Unreadable as error:
                    place.mark("failed", before)
                    place.release()
                    raise TrialFailed(f"{error}\nIts folder: {place.root}") from error
        else:
            self._curves, self._epoch, self._seconds_before = Curves(), 0, 0.0
        values = values_of(
            config,
            self.seed,
            place.folder,
            place.config_file,
            device=self._device,
            start_from=self._start_from,
        )
        place.config_file.write_text(json.dumps(values, indent=1), encoding="utf-8")
        limit = config.time_limit_seconds
        launch = Launch(
            command=filled_command(config, values),
            working_folder=Path(filled(config.working_folder, values)),
            environment=environment_of(config, values),
            log=place.log,
            shell=config.shell,
            time_limit_seconds=limit,
            seconds_before=self._seconds_before,
            grace_seconds=config.grace_seconds,
            lock=place.lock,
        )
        log.info("command: %s", shlex.join(launch.command))
        place.mark("running", self._seconds_before)
        run = _Run(place, launch)
        weakref.finalize(self, run.close)
        try:
            run.running = Running(launch)
        except (OSError, ValueError) as error:  # Arguments that are too long, or hold a NUL character.
            raise self._failed(run, f"the command could not be run: {error}") from error
        return run

    def _take_place(self) -> RunFolder:
        """The folder of this trial, waiting for what may be left of a command of an earlier worker."""
        start = self._start_from and file_digest(self._start_from)
        key = folder_key(self.seed, identity(self.config), start)
        return RunFolder.take(self._cache_dir, key, self.config.grace_seconds + KILL_SECONDS + 1)

    def _news(self, run: "_Run") -> Ended | None:
        """Wait until the command has ended or, after a while, there are new rows; how it ended, if it has."""
        assert run.running is not None
        began, num_new = time.monotonic(), 0
        while True:
            ended = run.running.wait(POLL_SECONDS if run.seconds < STEP_SECONDS else LATER_POLL_SECONDS)
            self._follow(run.place, is_over=ended is not None)
            num_new += self._curves.read(is_final=ended is not None)
            self._seconds = self._seconds_before + run.seconds
            if ended is not None or (num_new and time.monotonic() - began >= STEP_SECONDS):
                return ended

    def _end(self, run: "_Run", ended: Ended) -> None:
        """Read what a command has left that ended well. Raises Unreadable, TrialFailed."""
        self._seconds = self._seconds_before + ended.seconds
        if ended.start_error or ended.cause or ended.exit_code != 0:
            raise self._failed(run, how_it_ended(ended, run.launch))
        if ended.num_left:
            self._note(f"the command left processes running ({ended.num_left}), which were stopped")
        output = run.place.log.read_bytes()[-OUTPUT_BYTES:].decode(errors="replace")
        self._results = read_results(self.config, run.place.folder, output)
        run.place.mark("ended", self._seconds)

    def _failed(self, run: "_Run", reason: str, kind: type[TrialFailed] = TrialFailed) -> TrialFailed:
        """Stop the command; the exception to raise, with the end of the output."""
        run.stop()
        lines = last_lines(run.place.log)
        log.error("the end of the command's output:\n%s", "\n".join(last_lines(run.place.log, LOGGED_LINES)))
        quoted = (f"  {shortened(line, QUOTED_CHARACTERS)}" for line in lines)
        said = ["Its last lines:", *quoted] if lines else ["It printed nothing."]
        with suppress(OSError):  # The script may have removed the folder.
            run.place.mark("failed", self._seconds)
        run.close()
        return kind("\n".join([visible(reason), *said, f"Its folder: {run.place.root}"]))

    def _follow(self, place: RunFolder, *, is_over: bool) -> None:
        """Find what holds the curve: a file of the script, or its output."""
        if (pattern := self.config.curves_pattern) is not None:
            self._curves.follow(pieces_of(place.log)[0], pattern)
            if is_over:
                self._curves.go_on_in(place.log)
        elif is_over or time.monotonic() >= self._look_again:
            began = time.monotonic()
            file = self._curves_file(place.folder)
            self._look_again = began + LOOKING_PART * (time.monotonic() - began)
            if file is not None:
                self._curves.follow(file)

    def _curves_file(self, folder: Path) -> Path | None:
        """The file that the script logs to, once it is there."""
        asked = self.config.curves_file
        patterns = CURVES_FILES if asked is None else (asked,)
        found = (newest(files_matching(folder, pattern)) for pattern in patterns)
        return next((path for path in found if path is not None), None)

    def _sample(self, row: Row) -> Row:
        """A kept file as a row of the ledger: its name stands for its item."""
        return {EPOCH: self.epoch, **sample(row["name"], row["content"], row["media_type"])}

    def _last_row(self) -> dict[str, float]:
        return next(iter(self._curves.rows[-1:]), {})

    def _note(self, text: str) -> None:
        log.warning("%s", text)
        self._notes.append(text)


@dataclass
class _Run:
    """A command, and the folder it runs in."""

    place: RunFolder
    launch: Launch
    running: Running | None = None
    is_over: bool = False
    """Whether nothing of the folder is needed any more."""
    is_closed: bool = False
    _began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since the command started."""
        return time.monotonic() - self._began

    def stop(self) -> None:
        """Stop the command, if it still runs."""
        if self.running is not None:
            self.running.stop()

    def close(self) -> None:
        """Stop the command and give its folder back, once: it may be another worker's afterwards."""
        if self.is_closed:
            return
        self.is_closed = True
        self.stop()
        if self.is_over:
            self.place.remove()
        self.place.release()
