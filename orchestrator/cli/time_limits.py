"""`--time-limit`: the end of a launch that is known beforehand, and what is said when it has come."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from orchestrator.cli.option_values import Cost
from orchestrator.cli.reporting import stopped
from orchestrator.execution.ending import WARNING, Interrupted, LaunchEnd, TimeLimit
from orchestrator.space.config import wrong_input
from orchestrator.study.observing import Outcome
from orchestrator.views.live import say
from trainables.errors import UserError
from trainables.wording import duration

OPTION = "--time-limit"


def launch_end(given: Cost | None) -> LaunchEnd:
    """The end that a user gives, else that of the scheduler's allocation, else none."""
    if given is None:
        return LaunchEnd(TimeLimit.of_allocation(os.environ))
    return LaunchEnd(TimeLimit(f"{OPTION} {given.text}", given.seconds))


def check_limit(end: LaunchEnd) -> None:
    """Raise ConfigError where a trial takes longer to its first checkpoint than the whole launch may, by the price."""
    if end.limit is None:
        return
    cells = [*end.expected.items(), ("a trial", end.expected_of_others)]
    cell, seconds = max(cells, key=lambda cell: cell[1])
    if seconds > end.limit.usable:
        message = (
            f"{cell} takes about {duration(seconds)} to its first checkpoint, and {duration(end.limit.usable)} of this "
            "time are for trials; give more"
        )
        raise wrong_input(end.limit.said, message)


def until_end(end: LaunchEnd, console: Console, command_line: str, work: Callable[[], int]) -> int:
    """Do the work of a command, as far as its end allows; its exit code."""
    with end.watching():
        try:
            with _unwound_by_term():
                return work()
        except Interrupted as interrupt:
            return tell_end(Outcome(interrupted_by=interrupt.signal_number), end, console, command_line)


@contextmanager
def _unwound_by_term() -> Iterator[None]:
    """SIGTERM raises Interrupted, as Ctrl-C raises, where no back end watches for it: leases are let go of."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


def tell_end(outcome: Outcome, end: LaunchEnd, console: Console, command_line: str) -> int:
    """Say why a launch stopped, what is left and which command goes on; its exit code.

    Raises UserError where its time was too short for anything, so that going on would end the same way.
    """
    if outcome.interrupted_by == WARNING:
        if end.limit is not None and end.is_by_limit and not end.has_progressed:
            raise UserError(
                f"{end.limit.said}: over before any trial had reached a checkpoint; give more time"
            )
        say(console, f"The launch ended because {end.why}.")
    if outcome.num_left:
        say(console, f"{outcome.num_left} trials are left, {outcome.num_begun} of them begun.")
    say(console, stopped(command_line))
    return outcome.exit_code
