"""A folder on this machine's disk that stands for what an object store holds of results.

Trials, caches and figures need files, so whoever works on results in a store works on a copy. The store is the truth:
what a copy has beyond it does not count and goes when the copy is brought up to date. Copies are of two kinds, each in
a folder of its own, so that looking at a study disturbs nobody who runs it:

    <scratch>/working/s3/bucket/path/           of launches on this machine, one at a time for a study
    <scratch>/working-2-of-4/s3/bucket/path/    of launches of this shard
    <scratch>/reading/s3/bucket/path/           of everything that only reads

What preparation leaves in `cache/` is an object for each file, its SHA-256 at the end of its key: what is fetched
is held against it.

A folder in one of them is known as a copy by the `.store.json` above it, in whichever process.
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from threading import Event
from typing import Any

import pyarrow.fs as pafs

from orchestrator.ledger.durable import write_bytes_atomically
from orchestrator.ledger.errors import LedgerError
from orchestrator.ledger.eviction import MARK, SCRATCH, hold, make_room, scratch_folder
from orchestrator.ledger.files import DamagedPart, opened, writing
from orchestrator.ledger.index import PartKey
from orchestrator.ledger.lease import FILE_NAME as LEASE_FILE
from orchestrator.ledger.lease import Lease, held_below
from orchestrator.ledger.lock import LedgerLock
from orchestrator.ledger.objects import Listed, Objects, is_url, objects_at
from orchestrator.ledger.schemas import TABLES
from orchestrator.ledger.study import CACHE_FOLDER, STUDY_FILE
from orchestrator.ledger.threads import beside, together

UNCOPIED = ("checkpoints", LEASE_FILE)
"""What of a study is not copied with the rest: workers fetch the checkpoint that they go on from."""
_INDEX = ".fetched.json"
_TRIALS = "ledger/trials"
_PART = re.compile(r"part-(.+)-\d+")
_LOOKS = 5
FOLLOW_SECONDS = 5.0
"""How often a copy is brought up to date for somebody who watches."""


class Copy:
    """What this machine has of the results under a URL."""

    def __init__(self, root: Path, objects: Objects, *, is_working: bool) -> None:
        self.root = root
        self.objects = objects
        self.is_working = is_working
        self._lease: Lease | None = None

    # As a whole

    def studies(self) -> list[str]:
        """Names of the studies that the store holds."""
        return sorted(
            {key.partition("/")[0] for key in self.objects.list() if key.endswith(f"/{STUDY_FILE}")}
        )

    def refresh(self, study: str) -> None:
        """Make this machine's folder of a study what the store holds of it, but for `UNCOPIED`.

        A working copy is a launch's: refused where another one on this machine is at work on it. Raises LedgerError.
        """
        if not self.is_working:
            self._fetch(study)
            return
        with LedgerLock(self.root / study / "ledger"):
            self._fetch(study)

    def fetch_done(self, study: str, signatures: Collection[str]) -> None:
        """Get what other studies in the store hold of these trials, for a launch to take over. Raises LedgerError."""
        found: dict[bool, list[Path]] = {False: [], True: []}
        for key in self.objects.list():
            other, _, name = key.partition("/")
            stem = PurePosixPath(name).stem
            part = _PART.fullmatch(stem)
            wanted = (part[1] if part else stem) in signatures
            if wanted and other != study and _is_copied(name) and not (self.root / key).is_file():
                found[_is_record(name)].append(self.root / key)
        for paths in found.values():  # Rows first.
            together(self.pull, paths)

    @contextlib.contextmanager
    def launching(self, study: str, heartbeat: str, place: str = "") -> Iterator[None]:
        """Hold the study in the store, its copy sound and up to date; on leaving publish what else has changed.

        A shard holds a `place` of its own in it. `heartbeat` is a file that is put whenever the lease is renewed, and
        removed in the end. Only for the holder of the copy's own lock. Raises LedgerError where another launch holds
        the study.
        """
        held, beat = PurePosixPath(study, place).as_posix(), [self.root / study / heartbeat]
        with Lease(self.objects, held, beat=lambda: self.push(beat)) as self._lease:
            try:
                self._drop_damaged(study)
                self._fetch(study)
                yield
            finally:
                with contextlib.suppress(LedgerError):  # Whatever went wrong has been told.
                    self.publish(study)
                    self.remove(beat)
                self._lease = None

    def lease(self, folder: Path) -> Lease:
        """A lease of a study, or of a folder in one, by its place in the copy."""
        return Lease(self.objects, self._key(folder))

    def held(self, folder: Path) -> Iterator[tuple[str, str]]:
        """(name, what to tell) of the folders in a folder of the copy whose leases somebody holds."""
        return held_below(self.objects, self._key(folder))

    def renew(self, study: str) -> None:
        """Publish what has changed, then get what workers on other machines have put. Only for the launch."""
        self.publish(study)
        self._fetch(study)

    def publish(self, study: str) -> None:
        """Give the store what has changed in the copy, and remove there what was removed here.

        Only for the launch. Raises LedgerError.
        """
        self._check()
        folder, index = self.root / study, _Index(self.root / study)
        there = self._listed(study)
        for name in there.keys() - index.tags.keys():  # What workers on this machine have put.
            with contextlib.suppress(FileNotFoundError):
                if there[name].num_bytes == folder.joinpath(name).stat().st_size:
                    index.note(name, there[name].tag)
        changed = [name for name in _files_in(folder, _is_copied) if not index.is_current(name)]
        for is_record in (False, True):  # Rows first: a record never comes before what it counts.
            put = self.push(folder / name for name in changed if _is_record(name) == is_record)
            for path, tag in put.items():
                index.note(path.relative_to(folder).as_posix(), tag)
        gone = [name for name in index.tags if not folder.joinpath(name).is_file()]
        for name in sorted(gone, key=_is_record, reverse=True):  # A record never outlives its rows.
            self.objects.delete(f"{study}/{name}")
            index.tags.pop(name)
        index.save()

    def commit(self, study: str, keys: Iterable[PartKey]) -> None:
        """Record in the store what was just recorded in the copy; there it counts from here on.

        Only for the launch. Raises LedgerError, and then some are not recorded, here neither.
        """

        def record(key: PartKey) -> None:
            name = f"{_TRIALS}/{key.file_name}"
            path = self.root / study / name
            try:
                self._check()
                if self.objects.put_new(f"{study}/{name}", path.read_bytes()) is None:
                    raise LedgerError(
                        f"{self.objects.url}/{study}/{name} is there already, written by another launch: this one "
                        "ends, and its trial counts as that one recorded it"
                    )
            except BaseException:
                path.unlink(missing_ok=True)
                raise

        together(record, keys)

    # Single files, by the workers

    def push(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Put files of the copy into the store; the tags of those that were there. Raises LedgerError."""
        tags: dict[Path, str] = {}

        def put(path: Path) -> None:
            with contextlib.suppress(FileNotFoundError):  # Replaced meanwhile, as a heartbeat's file is.
                tags[path] = self.objects.put(self._key(path), path.read_bytes())

        together(put, [path for path in paths if path.is_file()])
        return tags

    def push_rows(self, study: str, key: PartKey) -> None:
        """Put the rows of an attempt; where another worker of the same attempt was first, those stay."""
        for table in TABLES.keys() - {"trials"}:
            name = f"{study}/ledger/{table}/{key.file_name}"
            self.objects.create(name, self.root.joinpath(name).read_bytes())

    def pull(self, path: Path) -> bool:
        """Get one file of the copy from the store; whether there is one."""
        if not _is_plain(self._key(path)):
            return False
        try:
            content = self.objects.get(self._key(path))
        except FileNotFoundError:
            return False
        write_bytes_atomically(path, content)
        return True

    @contextlib.contextmanager
    def preparing(self) -> Iterator[None]:
        """Get what other machines have prepared; on leaving put what was prepared meanwhile. Raises LedgerError."""
        self.fetch_cache()
        folder = self.root / CACHE_FOLDER
        before = set(_files_in(folder, _is_plain))
        yield
        for name in set(_files_in(folder, _is_plain)) - before:
            content = (folder / name).read_bytes()
            self.objects.create(f"{CACHE_FOLDER}/{name}.{_digest(content)}", content)

    def fetch_cache(self) -> None:
        """Get what other machines have prepared and this one lacks, once for all its workers, the newest first.

        Copies that nobody uses make room. What then exceeds the share of all copies or half of the free disk, or is
        not what was put, is prepared here instead.
        Raises LedgerError.
        """
        folder = self.root / CACHE_FOLDER
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / ".fetching").open("w") as lock:
                with contextlib.suppress(OSError):  # Without locks it is fetched more than once, no more.
                    fcntl.flock(lock, fcntl.LOCK_EX)
                missing = []
                for key, one in self.objects.list(CACHE_FOLDER).items():
                    name, _, digest = key.removeprefix(f"{CACHE_FOLDER}/").rpartition(".")
                    if _is_plain(name) and not (folder / name).is_file():
                        missing.append((one, key, name, digest))
                if not missing:
                    return
                left = make_room(sum(one.num_bytes for one, *_ in missing))
                left = min(left, shutil.disk_usage(folder).free // 2)
                missing.sort(key=lambda found: found[0].modified_at, reverse=True)
                for one, key, name, digest in missing:
                    left -= one.num_bytes
                    if left < 0:
                        continue
                    with contextlib.suppress(FileNotFoundError):
                        if _digest(content := self.objects.get(key)) == digest:
                            write_bytes_atomically(folder / name, content)

    def names(self, folder: Path) -> list[str]:
        """Names of the files that the store holds under a folder of the copy, relative to that folder."""
        prefix = f"{self._key(folder)}/"
        return [key.removeprefix(prefix) for key in self.objects.list(prefix)]

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove files of the copy from the store, in this order."""
        for path in paths:
            self.objects.delete(self._key(path))

    def _key(self, path: Path) -> str:
        """The store's name of a file or a folder of the copy."""
        return path.absolute().relative_to(self.root).as_posix()

    def _check(self) -> None:
        if self._lease is None:
            raise LedgerError(
                f"{self.objects.url}: only a launch that holds the study's lease may write to it"
            )
        self._lease.check()

    def _fetch(self, study: str) -> None:
        folder = self.root / study
        index = _Index(folder)
        for _ in range(_LOOKS):
            # Records first: whatever they count is there when the rest is listed.
            records = self._listed(study, _TRIALS)
            rest = {name: one for name, one in self._listed(study).items() if not _is_record(name)}
            try:
                self._get(study, rest, index)
                self._get(study, records, index)
                break
            except FileNotFoundError:
                continue  # Replaced meanwhile.
        else:
            raise LedgerError(f"{self.objects.url}/{study} changes all the time; try again")
        held = records.keys() | rest.keys()
        for name in sorted(set(_files_in(folder, _is_copied)) - held, key=_is_record, reverse=True):
            folder.joinpath(name).unlink(missing_ok=True)
        for name in index.tags.keys() - held:
            del index.tags[name]
        index.save()

    def _listed(self, study: str, place: str = "") -> dict[str, Listed]:
        """Name -> object, of what is copied of a study."""
        found = self.objects.list(f"{study}/{place}")
        named = {key.removeprefix(f"{study}/"): one for key, one in found.items()}
        return {name: one for name, one in named.items() if _is_copied(name)}

    def _get(self, study: str, listed: Mapping[str, Listed], index: "_Index") -> None:
        folder = self.root / study
        missing = [name for name, one in listed.items() if not index.is_current(name, one.tag)]

        def get(name: str) -> None:
            if not self.pull(folder / name):
                raise FileNotFoundError(name)
            moment = listed[name].modified_at.timestamp()
            os.utime(folder / name, (moment, moment))  # A heartbeat is told by its file's time.

        with writing(folder):
            for name in together(get, missing):
                index.note(name, listed[name].tag)

    def _drop_damaged(self, study: str) -> None:
        """Remove files of the ledger that this machine's disk has damaged: the store may have them whole."""
        local = pafs.LocalFileSystem()
        for path in self.root.joinpath(study, "ledger").rglob("*.parquet"):
            try:
                with opened(local, str(path), path.name, whole=True):
                    pass
            except DamagedPart:
                path.unlink(missing_ok=True)


class _Index:
    """Which objects the files of a study's copy are: name -> tag, size and time of the file when it was written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self.tags: dict[str, list[Any]] = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            self.tags = {}
        self._saved = dict(self.tags)

    def is_current(self, name: str, tag: str | None = None) -> bool:
        """Whether the file is what was last fetched or put, and that is the object of this tag."""
        known = self.tags.get(name)
        if known is None or (tag is not None and known[0] != tag):
            return False
        with contextlib.suppress(FileNotFoundError):
            return known[1:] == _looks(self._folder / name)
        return False

    def note(self, name: str, tag: str) -> None:
        """The file is now the object of this tag."""
        with contextlib.suppress(FileNotFoundError):
            self.tags[name] = [tag, *_looks(self._folder / name)]

    def save(self) -> None:
        """Remember it for the next process."""
        if self.tags != self._saved:
            with writing(self._folder):
                write_bytes_atomically(self._folder / _INDEX, json.dumps(self.tags).encode())
            self._saved = dict(self.tags)


def working_copy(url: str, shard: str = "") -> Copy:
    """The copy of this machine's launches, or of those of the shard of this name.

    Raises LedgerError where the URL names no place, or none can be kept.
    """
    return _copy(url, f"working-{shard}" if shard else "working")


def results_folder(place: str | Path, shard: str = "") -> Path:
    """The folder that launches, or those of a shard, work in for a place as the user names it: a path, or a URL."""
    return working_copy(place, shard).root if isinstance(place, str) and is_url(place) else Path(place)


def reading_copy(url: str) -> Copy:
    """The copy of this machine's readers. Raises LedgerError as `working_copy` does."""
    return _copy(url, "reading")


def copy_at(root: Path) -> Copy | None:
    """The copy that a results folder is; None for a folder that is the truth itself."""
    root = root.absolute()
    try:
        content = json.loads((root / MARK).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _opened(root, content["url"], content["is_working"])


def working_copy_of(study_folder: Path) -> Copy | None:
    """The copy of launches that a study's folder belongs to; None for any other folder."""
    copy = copy_at(study_folder.parent)
    return copy if copy is not None and copy.is_working else None


@contextlib.contextmanager
def following(copy: Copy | None, studies: Iterable[str] | None = None) -> Iterator[None]:
    """Keep studies of a reading copy, all when left out, up to date from a thread, for somebody who watches.

    A store that cannot be reached is asked again later. Nothing is done where there is no copy.
    """
    if copy is None:
        yield
        return

    def follow(over: Event) -> None:
        while not over.wait(FOLLOW_SECONDS):
            with contextlib.suppress(LedgerError, OSError):
                for study in copy.studies() if studies is None else studies:
                    copy.refresh(study)

    with beside(follow, "copy"):
        yield


def _copy(url: str, kind: str) -> Copy:
    objects = objects_at(url)
    scheme, _, rest = url.partition("://")
    root = scratch_folder() / kind / scheme / PurePosixPath(rest)
    is_working = kind != "reading"
    content = {"url": objects.url, "is_working": is_working}
    try:
        write_bytes_atomically(root / MARK, json.dumps(content).encode())
    except OSError as error:
        raise LedgerError(
            f"{root} cannot be written ({error.strerror}): this machine needs a folder for its copy of {objects.url}; "
            f"name one that exists in {SCRATCH}"
        ) from error
    return _opened(root, objects.url, is_working)


@functools.cache
def _opened(root: Path, url: str, is_working: bool) -> Copy:
    hold(root)
    make_room()
    return Copy(root, objects_at(url), is_working=is_working)


def _is_plain(name: str) -> bool:
    """Whether a name stays in its folder and is no file that is still being written."""
    return all(part and not part.startswith(".") for part in name.split("/"))


def _is_copied(name: str) -> bool:
    return name.partition("/")[0] not in UNCOPIED and _is_plain(name)


def _is_record(name: str) -> bool:
    return name.startswith(f"{_TRIALS}/")


def _files_in(folder: Path, is_wanted: Callable[[str], bool]) -> list[str]:
    """Names of the files in a folder, and in those below it, that are wanted."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [name for name in found if is_wanted(name)]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _looks(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]
