"""One launch at a time on a study, or a shard of it, in an object store, which has no locks.

    <study>/lease.json                who holds it; replaced every `BEAT_SECONDS` as long as the launch lives
    <study>/.shards/2-of-4/lease.json the same of a shard, whose launch holds the study's only while it begins and ends

It is taken by creating it, or by replacing the very one that was read: when its launch has let go of it, is known to be
dead, or has not replaced it for `LIFETIME_SECONDS` by the store's own clock, so clocks of machines need not agree. A
holder that could not replace it for `SAFE_SECONDS` records nothing more; what is left of the lifetime is longer than
any request that is under way then.
"""

import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Event, Lock
from typing import Any

from orchestrator.ledger.errors import LedgerError
from orchestrator.ledger.objects import REQUEST_SECONDS, RETRY_SECONDS, Listed, Objects
from orchestrator.ledger.threads import beside

FILE_NAME = "lease.json"
BEAT_SECONDS = 20.0
SAFE_SECONDS = 60.0
LIFETIME_SECONDS = SAFE_SECONDS + REQUEST_SECONDS + RETRY_SECONDS
_TRIES = 3


class Lease:
    """Held by the driver of a launch; readers need none.

    Entering raises LedgerError when another launch holds it, or the store cannot be used or ignores conditions.
    """

    def __init__(self, objects: Objects, place: str, beat: Callable[[], object] = lambda: None) -> None:
        """`place` is a study, or a folder in one.

        `beat` is called with every renewal, in a thread; what it raises of a store ends nothing.
        """
        self._objects = objects
        self._key = f"{place}/{FILE_NAME}"
        self._beat = beat
        self._mark = uuid.uuid4().hex
        self._number = 0
        self._tag = ""
        self._renewed_at = 0.0
        self._is_lost = False
        self._lock = Lock()
        self._beating = beside(self._keep, "lease")

    def __enter__(self) -> "Lease":
        now = self._objects.probe()
        for _ in range(_TRIES):
            began = time.monotonic()
            if self._took(self._objects.create(self._key, self._content())):
                break
            seen, refusal = _state(self._objects, self._key, now)
            if seen is None:
                continue
            if refusal is not None:
                raise LedgerError(refusal)
            if self._took(self._objects.swap(self._key, self._content(), seen.tag)):
                break
        else:
            raise LedgerError(_refusal({}, LIFETIME_SECONDS))
        self._renewed_at = began
        self._beating.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._beating.__exit__(None, None, None)
        with suppress(LedgerError), self._lock:
            if not self._is_lost:
                self._objects.swap(self._key, self._content(is_over=True), self._tag)

    def check(self) -> None:
        """Raise LedgerError where another launch may have taken over: then nothing more may be recorded."""
        with self._lock:
            if not self._is_lost and time.monotonic() - self._renewed_at > SAFE_SECONDS:
                self._renew()
            if self._is_lost:
                raise LedgerError(
                    f"{self._objects.url}/{self._key}: another launch has taken this study over, since nothing was "
                    "heard of this one for too long"
                )

    def _keep(self, over: Event) -> None:
        while not over.wait(BEAT_SECONDS):
            with suppress(LedgerError), self._lock:
                if not self._is_lost:
                    self._renew()
            with suppress(LedgerError, OSError):
                self._beat()

    def _renew(self) -> None:
        self._number += 1
        began = time.monotonic()
        if self._took(self._objects.swap(self._key, self._content(), self._tag)):
            self._renewed_at = began
        else:
            self._is_lost = True

    def _took(self, tag: str | None) -> bool:
        """Whether the lease is ours. A request that was asked twice finds its own first answer in the way."""
        if tag is None:
            seen, holder = self._objects.look(self._key), _holder(self._objects, self._key)
            if seen is None or holder != json.loads(self._content()):
                return False
            tag = seen.tag
        self._tag = tag
        return True

    def _content(self, *, is_over: bool = False) -> bytes:
        holder = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "process_space": process_space(),
            "mark": self._mark,
            "number": self._number,
            "is_over": is_over,
        }
        return json.dumps(holder).encode()


def held_below(objects: Objects, place: str) -> Iterator[tuple[str, str]]:
    """(name, what to tell who would take it) of the folders in a place whose leases are held. Raises LedgerError."""
    keys = [key for key in objects.list(place) if key.count("/") > place.count("/") + 1]
    if not keys:
        return
    now = objects.probe()
    for key in keys:
        _, refusal = _state(objects, key, now)
        if refusal is not None:
            yield key.removeprefix(f"{place}/").removesuffix(f"/{FILE_NAME}"), refusal


def _state(objects: Objects, key: str, now: datetime) -> tuple[Listed | None, str | None]:
    """The object of a lease, None where there is none; what to tell who would take it, None where that may be."""
    seen, holder = objects.look(key), _holder(objects, key)
    if seen is None or holder is None:
        return None, None
    left = LIFETIME_SECONDS - (now - seen.modified_at).total_seconds()
    return seen, None if _is_over(holder) or left <= 0 else _refusal(holder, left)


def _holder(objects: Objects, key: str) -> dict[str, Any] | None:
    """Who holds the lease as the store has it; None where there is none."""
    try:
        content = json.loads(objects.get(key))
        return content if isinstance(content, dict) else {}
    except FileNotFoundError:
        return None
    except ValueError:
        return {}


def _is_over(holder: dict[str, Any]) -> bool:
    """Whether a launch has let go of the lease, or ran on this machine and is no more."""
    if holder.get("is_over"):
        return True
    here = (socket.gethostname(), process_space())
    if (holder.get("host"), holder.get("process_space")) != here or here[1] is None:
        return False
    try:
        os.kill(int(holder["process"]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, KeyError, ValueError):
        return False
    return False


def _refusal(holder: dict[str, Any], seconds: float) -> str:
    who = f"process {holder.get('process', '?')} on {holder.get('host', '?')}" if holder else "just starting"
    return (
        f"another launch is running this study ({who}); wait until it ends, or stop it and start again: nothing that "
        f"is done will be lost. If it was killed, its lease ends in {seconds:.0f} s"
    )


def process_space() -> str | None:
    """Which processes a number refers to: containers of one host name each count their own."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None
