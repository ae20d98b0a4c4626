"""Pilots: a few timed steps of a kind of trial, kept on disk so that they are timed once.

A pilot is kept by machine, code, domain, device, number of threads and kind of cell: beside the trajectories of a
results folder, or in the user's cache folder where the results folder does not exist or cannot be written.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

import trainables
from orchestrator.execution.provenance import host
from orchestrator.ledger.durable import write_atomically
from orchestrator.plan.identity import canonical_text
from orchestrator.space.execution import ExecutionConfig
from orchestrator.study.price.throughput import Kind, Measured, PreparationRates, kind_of
from orchestrator.views.live import say
from trainables.digests import user_cache
from trainables.errors import UserError
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import domain_summary

if TYPE_CHECKING:
    from trainables.h_space.pilot import Pilot

BYTES_OF_A_WEIGHT = 4
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
    """Pilots of this machine, read from disk where they are there and timed where they are not."""

    def __init__(self, cache_dir: Path, execution: ExecutionConfig, announce: Announce = silently) -> None:
        self._folders = (cache_dir / "pilots", user_cache() / "pilots")
        self._device = "cuda" if execution.gpus_per_trial > 0 else "cpu"
        self._num_threads = execution.threads_per_trial
        self._announce = announce
        self.load_seconds = 0.0
        """The longest that a domain's models took to load."""
        self.kept: set[Kind] = set()
        """Kinds whose pilot was read from disk."""
        self.failures: dict[Kind, str] = {}
        """Why the others could not be timed."""

    def of(self, config: CellConfig, place: str = "1 of 1") -> list[Measured]:
        """A pilot's rounds as a trial of this configuration would go; none where this machine cannot tell.

        `place` says which of several pilots it is.
        """
        kind = kind_of(config)
        try:
            name = _name(config, self._device, self._num_threads)
            found = self._read(name)
            if found is not None:
                self.kept.add(kind)
            else:
                text = f"pilot {place}: a few steps of {config.editor.kind}, timed for the price"
                with self._announce(text):
                    found = self._timed(config)
                self._keep(name, found)
        except PilotError as error:
            self.failures[kind] = str(error)
            return []
        self.load_seconds = max(self.load_seconds, found.load_seconds or 0.0)
        return _measured(config, found)

    def _timed(self, config: CellConfig) -> "Pilot":
        import torch

        from trainables.h_space.backbones.unet import BackboneError
        from trainables.h_space.pilot import pilot
        from trainables.h_space.word_tokenizer import UnknownWordError

        if self._device == "cuda" and not torch.cuda.is_available():
            raise PilotError("torch finds no GPU here")
        foreseen = (UserError, OSError, ImportError, MemoryError)
        try:
            return pilot(config, self._device, num_threads=self._num_threads)
        except (*foreseen, BackboneError, UnknownWordError) as error:
            raise PilotError(str(error)) from error
        except torch.OutOfMemoryError as error:
            raise PilotError("out of GPU memory") from error

    def _read(self, name: str) -> "Pilot | None":
        """A pilot that is kept; None for none, one that is damaged or too old."""
        from trainables.h_space.pilot import Pieces, Pilot

        for folder in self._folders:
            try:
                content = json.loads((folder / name).read_text(encoding="utf-8"))
                if not 0 <= time.time() - content.pop("measured_at") <= MAX_AGE_SECONDS:
                    continue
                rounds = tuple(Pieces(**one) for one in content.pop("rounds"))
                return Pilot(rounds=rounds, **content)
            except (OSError, ValueError, TypeError, KeyError, AttributeError):
                continue
        return None

    def _keep(self, name: str, found: "Pilot") -> None:
        """Write it where that is possible: a price is worth no error."""
        content = json.dumps({**asdict(found), "measured_at": time.time()})
        results = self._folders[0].parent.parent
        for folder in self._folders[0 if results.is_dir() else 1 :]:
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                write_atomically(folder / name, partial(_write, content))
                return


def _write(content: str, path: Path) -> None:
    path.write_text(content, encoding="utf-8")


class PilotError(UserError):
    """A pilot that cannot be timed here; says why."""


def _measured(config: CellConfig, found: "Pilot") -> list[Measured]:
    from trainables.h_space.pilot import evaluation_rate, train_rate

    return [
        Measured(
            train_rate(config, pieces),
            evaluation_rate(config, pieces),
            BYTES_OF_A_WEIGHT * found.num_parameters,
            is_pilot=True,
            preparing=PreparationRates(
                pieces.unedited, pieces.image, pieces.prompt * found.num_templates, pieces.prompt
            ),
        )
        for pieces in found.rounds
    ]


_COUNTS: Any = {
    "attribute": True,
    "texts": True,
    "init": True,
    "training": {
        *("epochs", "num_images", "num_train_steps", "t_edit", "inversion_refinements", "steps_per"),
        *("lambda_clip", "lambda_recon", "prompt_cosine", "min_prompt_cosine", "batch_size", "accumulation"),
    },
    "evaluation": {
        *("num_images", "strengths", "num_sample_steps", "more_sample_steps", "primary_strength"),
        *("num_preview_images", "t_boost", "delta_h", "subgroups", "subgroup_file"),
    },
}
"""Settings that say how often the timed pieces are done, or that change no piece's time."""


def _name(config: CellConfig, device: str, num_threads: int) -> str:
    """The file of a configuration's pilot. Raises PilotError where the domain cannot be read."""
    try:
        summary = domain_summary(config.domain)
    except UserError as error:
        raise PilotError(str(error)) from error
    dumped = config.model_dump(mode="json", exclude=_COUNTS)
    dumped["training"]["optimizer"].pop("learning_rate", None)
    content: Mapping[str, Any] = {
        "machine": [host(), os.cpu_count(), _device_name(device), num_threads],
        "code": _code_digest(),
        "domain": summary.fingerprint,
        "cell": {**dumped, "domain": summary.name},
        "batch": min(config.training.batch_size, config.training.num_images),
    }
    return f"{hashlib.sha256(canonical_text(content).encode()).hexdigest()[:24]}.json"


def _device_name(device: str) -> str:
    import torch

    is_gpu = device == "cuda" and torch.cuda.is_available()
    return torch.cuda.get_device_name() if is_gpu else device


@lru_cache(maxsize=1)
def _code_digest() -> str:
    """Of what is timed: the files of `trainables`, and torch."""
    import torch

    whole = hashlib.sha256(torch.__version__.encode())
    for path in sorted(Path(trainables.__file__).parent.rglob("*.py")):
        whole.update(path.read_bytes())
    return whole.hexdigest()
