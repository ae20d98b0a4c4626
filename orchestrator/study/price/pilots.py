"""Pilots: a few timed steps of a kind of trial, kept on disk so that they are timed once.

A pilot is kept by machine (of a cluster's by kind), code, device, number of threads and what its family says it
depends on: in the cache of a results folder, or in the user's cache folder where the results folder does not exist or
cannot be written.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

from rich.console import Console

import trainables
from orchestrator.execution.contract import JoinedCluster, MachineKind
from orchestrator.execution.provenance import host
from orchestrator.execution.worker import device_name
from orchestrator.ledger.durable import write_text_atomically
from orchestrator.plan.identity import canonical_text
from orchestrator.space.execution import ExecutionConfig
from orchestrator.study.price.pricing import device_of
from orchestrator.study.price.throughput import Kind, Measured, Throughput
from orchestrator.views.live import say
from trainables.digests import user_cache
from trainables.errors import UserError
from trainables.exchange import Timing
from trainables.family import Family
from trainables.registry import plugins_in_use
from trainables.settings import Settings

MAX_AGE_SECONDS = 30 * 24 * 3600.0
"""A pilot older than this is timed again: machines change, and a busy hour should not tell for ever."""

Announce = Callable[[str], AbstractContextManager[object]]
"""Says what is being done, for as long as the context is open."""


def silently(text: str) -> AbstractContextManager[object]:
    """Say nothing."""
    return nullcontext()


def announcing(console: Console) -> Announce:
    """A line that disappears on a terminal; in a pipe one that stays."""

    def announce(text: str) -> AbstractContextManager[object]:
        if console.is_terminal:
            return console.status(f"{text} ...")
        say(console, text)
        return nullcontext()

    return announce


class Pilots:
    """Pilots of this machine, or of a kind of a cluster's, read from disk where they are there, timed where not."""

    def __init__(
        self,
        family: Family,
        cache_dir: Path,
        execution: ExecutionConfig,
        announce: Announce = silently,
        on: tuple[JoinedCluster, MachineKind] | tuple[None, None] = (None, None),
    ) -> None:
        """`on` says on which machines of a cluster they are timed; nothing for here."""
        self._cluster: JoinedCluster | None = on[0]
        self.kind: MachineKind | None = on[1]
        self.throughput: Throughput = {}
        """What is known of trials there, finished ones and pilots; kept here for whoever asks for prices."""
        self._family = family
        self._folders = (cache_dir / "pilots", user_cache() / "pilots")
        self._device = device_of(execution)
        self._num_threads = execution.threads_per_trial
        self._announce = announce
        self.load_seconds = 0.0
        """The longest that models took to load."""
        self.kept: set[Kind] = set()
        """Kinds whose pilot was read from disk."""
        self.failures: dict[Kind, str] = {}
        """Why the others could not be timed."""

    def of(self, config: Settings, place: str = "1 of 1") -> list[Measured]:
        """A pilot's rounds as a trial of this configuration would go; none where this machine cannot tell.

        `place` says which of several pilots it is.
        """
        kind = self._family.kind(config)
        try:
            name = self._name(config)
            timing = self._read(name, config)
            if timing is not None:
                self.kept.add(kind)
            else:
                where = "" if self.kind is None else f" on {self.kind.name}"
                with self._announce(f"pilot {place}{where}: a few steps of {kind[-1]}, timed for the price"):
                    found: Mapping[str, Any] = (
                        self._family.pilot(config, self._device, self._num_threads)
                        if self._cluster is None or self.kind is None
                        else self._cluster.pilot(self.kind, config)
                    )
                self._keep(name, found)
                timing = self._family.timing(config, found)
        except UserError as error:
            self.failures[kind] = str(error)
            return []
        self.load_seconds = max(self.load_seconds, timing.load_seconds)
        return [
            Measured(one.train, one.other, timing.num_bytes, is_pilot=True, preparing=one.preparation)
            for one in timing.rounds
        ]

    def _name(self, config: Settings) -> str:
        """The file of a configuration's pilot. Raises UserError where what it reads cannot be read."""
        here = [host(), os.cpu_count(), device_name(self._device)] if self.kind is None else [self.kind.name]
        content: Mapping[str, Any] = {
            "machine": [*here, self._num_threads],
            "code": _code_digest(),
            "plugins": [plugin.digest for plugin in plugins_in_use()],
            **self._family.pilot_identity(config),
        }
        return f"{hashlib.sha256(canonical_text(content).encode()).hexdigest()[:24]}.json"

    def _read(self, name: str, config: Settings) -> Timing | None:
        """A pilot that is kept; None for none, one that is damaged or too old."""
        for folder in self._folders:
            try:
                content = json.loads((folder / name).read_text(encoding="utf-8"))
                if 0 <= time.time() - content.pop("measured_at") <= MAX_AGE_SECONDS:
                    return self._family.timing(config, content)
            except (OSError, ValueError, TypeError, KeyError, AttributeError):
                continue
        return None

    def _keep(self, name: str, found: Mapping[str, Any]) -> None:
        """Write it where that is possible: a price is worth no error."""
        content = json.dumps({**found, "measured_at": time.time()})
        results = self._folders[0].parent.parent
        for folder in self._folders[0 if results.is_dir() else 1 :]:
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                write_text_atomically(folder / name, content)
                return


@lru_cache(maxsize=1)
def _code_digest() -> str:
    """Digest of what is timed: the files of `trainables`, and torch."""
    import torch

    whole = hashlib.sha256(torch.__version__.encode())
    for path in sorted(Path(trainables.__file__).parent.rglob("*.py")):
        whole.update(path.read_bytes())
    return whole.hexdigest()
