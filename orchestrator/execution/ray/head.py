"""Whether a cluster's head still answers.

Without it, calls of Ray do not return, and after a minute Ray ends the process without a word.
"""

import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Event

from orchestrator.ledger.threads import beside

GONE_SECONDS = 15.0
"""A head that has not answered for so long is gone; a shorter silence may be the network's."""
_LOOK_SECONDS = 1.0


def watching_head(
    address: str, tell: Callable[[str], None], patience: float = GONE_SECONDS
) -> AbstractContextManager[None]:
    """Look at the head from a thread, and tell once, there, when it is gone. `address` is HOST:PORT."""

    def watch(over: Event) -> None:
        if not _answers(address):  # Ray reaches it in another way than this does.
            return
        heard_at = time.monotonic()
        while not over.wait(_LOOK_SECONDS):
            if _answers(address):
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at >= patience:
                tell(
                    f"Ray's head at {address} has not answered for {patience:g} s, so there is no cluster any more"
                )
                return

    return beside(watch, "head watch")


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_LOOK_SECONDS).close()
    except OSError:
        return False
    return True
