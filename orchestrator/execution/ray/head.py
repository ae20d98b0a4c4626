"""Whether a cluster's head still answers.

Without it, calls of Ray do not return, and after a minute Ray ends the process without a word.
"""

import socket
import threading
import time
from collections.abc import Callable

GONE_SECONDS = 15.0
"""A head that has not answered for so long is gone; a shorter silence may be the network's."""
_LOOK_SECONDS = 1.0


class HeadWatch:
    """Looks at the head from a thread of its own, and tells once when it is gone."""

    def __init__(self, address: str, tell: Callable[[str], None], patience: float = GONE_SECONDS) -> None:
        """`address` is HOST:PORT; `tell` is given what to say, in that thread."""
        self._address = address
        self._tell = tell
        self._patience = patience
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="head watch", daemon=True)

    def __enter__(self) -> "HeadWatch":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        if not self._answers():  # Ray reaches it in another way than this does.
            return
        heard_at = time.monotonic()
        while not self._over.wait(_LOOK_SECONDS):
            if self._answers():
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at >= self._patience:
                self._tell(
                    f"Ray's head at {self._address} has not answered for {self._patience:g} s, so there is no cluster "
                    "any more"
                )
                return

    def _answers(self) -> bool:
        host, _, port = self._address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_LOOK_SECONDS).close()
        except OSError:
            return False
        return True
