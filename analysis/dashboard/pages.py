"""The data of studies' pages: what `analysis.page` makes of a study, kept while its ledger does not change.

A page is prepared before anybody asks for it, and computed anew while somebody looks at it whenever its study has
changed; one at a time, and after a rest that grows with what it took, so that a large study leaves the machine to its
trials. Nobody waits for a page that is being prepared: whoever asks for another one comes first.
"""

import importlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from analysis.contrasts import Judgement, judge_study
from analysis.dashboard.searching import search_progress
from analysis.dashboard.studies import Entry, Ledgers, Studies, reading_of
from analysis.dashboard.watching import Stamp, sequence
from analysis.forming import word
from analysis.frames import StudyFrames, load_frames
from analysis.page.payload import shown, study_page
from analysis.page.samples import digest, media_type
from orchestrator.ledger import Ledger

Kept = TypeVar("Kept")

LEDGERS_KEPT = 2
"""Studies whose pages are computed again and again while they grow."""
MAX_BYTES = 64_000_000
"""Of the pages that are kept, all together; the one asked for last is kept whatever its size."""
MAX_PREPARED_BYTES = MAX_BYTES // 2
"""Of the pages that are kept, beyond which none is prepared: it would take the place of one that was opened."""
REST = 4.0
"""A page is not computed again before so many times the seconds that computing it took."""
PREPARE_REST = 1.0
"""The next page is prepared after so many times the seconds that preparing one took."""
PREPARED_SECONDS = 60.0
"""A page that nobody looks at is not prepared again before that, however its study changes."""
MAX_SAMPLE_BYTES = 32_000_000
"""Of the samples that are kept, all together."""


@dataclass(frozen=True)
class Page:
    """The data of a study's page."""

    stamp: Stamp
    """What its study looked like when it was read."""
    content: bytes
    """JSON: a `StudyPage`, or `problem` with the reason why there is none."""
    samples: Mapping[str, str] = field(default_factory=dict)
    """Digest of a sample -> the trial that has it."""
    family: str = ""
    """Of its trials; empty where it cannot be read."""
    due_at: float = 0.0
    """When it may be computed again, by the clock that only goes on."""

    @property
    def sequence(self) -> str:
        """Changes whenever the page may have."""
        return sequence(self.stamp.ledger)


class Pages:
    """The pages of a results folder's studies. Any thread may ask; one calls `step`."""

    def __init__(self, studies: Studies) -> None:
        self._studies = studies
        self._pages: OrderedDict[str, Page] = OrderedDict()
        self._samples: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        """Digest -> kind and bytes."""
        self._ledgers = Ledgers(LEDGERS_KEPT)
        self._computing = threading.Lock()
        self._keeping = threading.Lock()
        self._prepare_at = 0.0
        """When the next page may be prepared, by the clock that only goes on."""
        self.verdicts: dict[str, dict[str, str]] = {}
        """Key of a study -> cell -> its verdict as it may be said now; of studies whose page was computed."""

    def page(self, key: str) -> Page | None:
        """A study's page, computed if it has never been; None where there is no such study."""
        with self._keeping:
            page = self._pages.get(key)
            if page is not None:
                self._pages.move_to_end(key)
        if page is not None:
            return page
        with self._studies.waiting.one_more():
            return self._compute(key)

    @property
    def sequence(self) -> str:
        """Changes whenever a verdict does; the same from any server that has computed the same pages."""
        return sequence(sorted((key, *words.items()) for key, words in dict(self.verdicts).items()))

    def known(self, key: str) -> str:
        """Sequence of a study's page; empty where it has not been computed."""
        page = self._pages.get(key)
        return page.sequence if page is not None else ""

    def step(self) -> bool:
        """Compute a page that somebody looks at and whose study has changed, or else prepare one. False without any."""
        importlib.import_module("scipy.stats")  # takes seconds once, before anybody waits for a page

        return self._renew() or self._prepare()

    def _renew(self) -> bool:
        now = time.monotonic()
        for key, page in list(self._pages.items()):
            entry = self._studies.entries.get(key)
            if entry is None:
                self._forget(key)
            elif self._studies.is_watched(key) and page.due_at <= now and _is_old(page, entry):
                self._compute(key, since=page)
                return True
        return False

    def _prepare(self) -> bool:
        """Compute a page that nobody has asked for, of the study that has changed last, while there is room.

        All studies are read before: the list comes before any page.
        """
        began = time.monotonic()
        with self._keeping:
            num_bytes = sum(len(page.content) for page in self._pages.values())
        entries = self._studies.entries.values()
        wanted = [entry for entry in entries if self._is_to_prepare(entry, began)]
        has_time = began >= self._prepare_at and all(entry.is_read for entry in entries)
        if not wanted or not has_time or num_bytes > MAX_PREPARED_BYTES:
            return False
        entry = max(wanted, key=lambda entry: (entry.key not in self._pages, entry.stamp.changed_at or 0.0))
        known = self._pages.get(entry.key)
        page = self._computed(entry, lambda: Ledger(entry.folder / "ledger"), self._studies.waiting.give_way)
        took = time.monotonic() - began
        with self._keeping:
            if self._pages.get(entry.key) is known:  # else somebody has asked for it meanwhile
                self._pages[entry.key] = page
                self._pages.move_to_end(entry.key, last=False)
        self._prepare_at = time.monotonic() + PREPARE_REST * took
        return True

    def _is_to_prepare(self, entry: Entry, now: float) -> bool:
        page = self._pages.get(entry.key)
        if page is None:
            return True
        return page.due_at + PREPARED_SECONDS <= now and _is_old(page, entry)

    def sample(self, key: str, wanted: str) -> tuple[str, bytes] | None:
        """Media type and bytes of a sample of a study's page; None where no trial has one with this digest."""
        page, entry = self.page(key), self._studies.entries.get(key)
        if page is None or entry is None or wanted not in page.samples:
            return None
        found = self._samples.get(wanted) or self._read_samples(entry, page.samples[wanted]).get(wanted)
        return None if found is None else (media_type(*found), found[1])

    def _compute(self, key: str, since: Page | None = None) -> Page | None:
        with self._computing:
            known = self._pages.get(key)
            entry = self._studies.entries.get(key)
            if entry is None or known is not since:  # Somebody else has computed it meanwhile.
                return known
            page = self._computed(entry, lambda: self._ledgers.of(entry.folder))
            self._keep(key, page)
            return page

    def _computed(
        self, entry: Entry, ledger: Callable[[], Ledger], pause: Callable[[], None] = lambda: None
    ) -> Page:
        """The page of a study as it is now; `pause` is called between its steps."""
        began = time.monotonic()
        found, problem = reading_of(lambda: self._read(entry, ledger, pause), entry.folder)
        content, samples, family = found or (json.dumps({"problem": problem}).encode(), {}, "")
        due_at = time.monotonic() + REST * (time.monotonic() - began)
        return Page(entry.stamp, content, samples, family, due_at)

    def _read(
        self, entry: Entry, ledger: Callable[[], Ledger], pause: Callable[[], None]
    ) -> tuple[bytes, dict[str, str], str]:
        if entry.problem is not None:
            return json.dumps({"problem": entry.problem}).encode(), {}, ""
        frames = load_frames(entry.folder, ledger())
        pause()
        judgement = judge_study(frames)
        pause()
        family = frames.study.family
        offer = self._studies.source.offer(family)
        page = {
            **study_page(frames, judgement, address="sample/{}".format),
            "search_progress": shown(search_progress(frames)),
            "strip": None if offer is None else offer.label,
        }
        pause()
        self.verdicts[entry.key] = _words(frames, judgement)
        owners = zip(frames.samples["content"], frames.samples["signature"], strict=True)
        samples = {digest(content): str(owner) for content, owner in owners if isinstance(content, bytes)}
        return json.dumps(page, allow_nan=False, separators=(",", ":")).encode(), samples, family

    def _read_samples(self, entry: Entry, signature: str) -> dict[str, tuple[str, bytes]]:
        """Read the samples of a trial and keep them all: whoever asks for one asks for the others."""
        found, _ = reading_of(lambda: _samples_of(Ledger(entry.folder / "ledger"), signature), entry.folder)
        samples = {digest(content): (kind, content) for kind, content in found or ()}
        with self._keeping:
            self._samples |= samples
            _shrink(self._samples, MAX_SAMPLE_BYTES, lambda sample: len(sample[1]))
        return samples

    def _keep(self, key: str, page: Page) -> None:
        with self._keeping:
            self._pages.pop(key, None)
            self._pages[key] = page
            _shrink(self._pages, MAX_BYTES, lambda kept: len(kept.content))

    def _forget(self, key: str) -> None:
        with self._keeping:
            self._pages.pop(key, None)
            self.verdicts.pop(key, None)


def _is_old(page: Page, entry: Entry) -> bool:
    return page.stamp.ledger != entry.stamp.ledger


def _words(frames: StudyFrames, judgement: Judgement) -> dict[str, str]:
    """Cell -> its verdict as it may be said now."""
    return {contrast.name: word(frames, judgement, contrast) for contrast in judgement.contrasts}


def _samples_of(ledger: Ledger, signature: str) -> list[tuple[str, bytes]]:
    """Media type, or kind in older studies, and bytes of the samples of a trial."""
    attempt = ledger.done_attempt(signature, ledger.attempts().get(signature, []))
    read = None if attempt is None else ledger.read_done(signature, attempt)
    rows = [] if read is None else read[1]["samples"]
    found = ((row, row.get("content") or (row["image"] or {}).get("bytes")) for row in rows)
    return [(row.get("media_type") or row["kind"], content) for row, content in found if content]


def _shrink(kept: OrderedDict[str, Kept], most: int, size: Callable[[Kept], int]) -> None:
    """Let go of what was asked for longest ago, but never of the last."""
    total = sum(map(size, kept.values()))
    while total > most and len(kept) > 1:
        total -= size(kept.popitem(last=False)[1])
