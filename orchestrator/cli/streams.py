"""Standard output and error that survive a reader who leaves, a terminal without symbols and a full disk."""

import contextlib
import io
import os
import sys

from rich.console import Console

MIN_COLUMNS = 10
"""Narrower than any terminal."""


class PatientConsole(Console):
    """A console that falls silent when its reader has left (`| head`): what runs goes on, nothing is lost."""

    def on_broken_pipe(self) -> None:
        """Write no more, where Rich would end the program."""
        self.quiet = True
        discard_output()


def patient_console() -> Console:
    """The console of a command.

    Characters that the terminal's encoding lacks are written as escapes such as \\u03b5, never as an error. COLUMNS is
    left out where it tells of no terminal at all, as 0 does: tables would be empty.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="backslashreplace")
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) < MIN_COLUMNS:
        del os.environ["COLUMNS"]
    return PatientConsole(soft_wrap=False)


def settle_output() -> OSError | None:
    """Write what is still held back; where it cannot be written it is dropped, and the error returned."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        discard_output()
        return error
    return None


def discard_output() -> None:
    """Send what is still to be written to standard output nowhere: it cannot be written."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def complain(message: object) -> None:
    """Write a line to standard error, never to standard output."""
    if isinstance(sys.stderr, io.TextIOBase):
        with contextlib.suppress(OSError):
            print(message, file=sys.stderr, flush=True)
