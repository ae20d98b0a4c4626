"""Importing and building what a process keeps to its end, without looking for garbage among it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def to_be_kept() -> Iterator[None]:
    """Within, Python looks for no garbage, and what was made there it never looks through.

    Importing torch and loading a domain makes a million objects, none of them garbage: a third of a worker's start went
    into looking through them. What was garbage before is let go of first, for it would stay.
    """
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
