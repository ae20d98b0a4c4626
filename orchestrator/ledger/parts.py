"""The ledger's files: one Parquet part per table, trial and attempt."""

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from orchestrator.ledger.errors import LedgerError
from orchestrator.ledger.schemas import check_version

DAMAGED_FOLDER = "damaged"
_PART_NAME = re.compile(r"part-(?P<signature>.+)-(?P<attempt>\d+)\.parquet")
_DIGEST_KEY = "asyrp_sweep.digest"
_DIGEST_MARK = "asyrp-sweep sha256 "
_TEMP_NAME = re.compile(r"\..+\.tmp")


class PartKey(NamedTuple):
    """Which attempt at which trial a part belongs to."""

    signature: str
    attempt: int

    @property
    def file_name(self) -> str:
        """The part's name in the folder of its table."""
        return f"part-{self.signature}-{self.attempt}.parquet"


class DamagedPart(Exception):
    """A part that is truncated, garbled or gone."""


@dataclass(frozen=True)
class Parts:
    """The part files under a ledger's folder, on any file system; written only on the local one."""

    root: str
    filesystem: pafs.FileSystem

    def keys(self, table: str) -> list[PartKey]:
        """The parts of a table, in the order of their names."""
        matches = [_PART_NAME.fullmatch(name) for name in self._names(table)]
        return [PartKey(match["signature"], int(match["attempt"])) for match in matches if match]

    def read(self, table: str, key: PartKey) -> pa.Table:
        """All of a part. Raises DamagedPart when a byte of it has changed, LedgerError when it is too new."""
        with self._opened(table, key, whole=True) as file:
            return file.read()

    def check(self, table: str, key: PartKey) -> None:
        """Look at a part's footer, which is written last. Raises as `read` does."""
        with self._opened(table, key):
            pass

    def write(self, table: str, key: PartKey, content: pa.Table) -> None:
        """Write a part so that it is there completely or not at all, whatever is killed when."""
        folder = self._local_folder(table)
        temporary = folder / f".{key.file_name}.{uuid.uuid4().hex}.tmp"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("w+b") as file:
                with pq.ParquetWriter(
                    file, content.schema, compression="zstd", write_page_checksum=True
                ) as writer:
                    writer.write_table(content)
                    writer.add_key_value_metadata({_DIGEST_KEY: _seal("0" * 64)})
                _sign(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(folder / key.file_name)
            sync_folder(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise LedgerError(f"{folder} cannot be written: {error.strerror or error}") from error

    def set_aside(self, table: str, key: PartKey) -> None:
        """Move a damaged part out of the way; where nothing can be moved it stays, and stays damaged."""
        if not isinstance(self.filesystem, pafs.LocalFileSystem):
            return
        target = Path(self.root, DAMAGED_FOLDER, table, key.file_name)
        with contextlib.suppress(OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            self._local_folder(table).joinpath(key.file_name).replace(target)

    def remove(self, table: str, key: PartKey) -> None:
        """Delete a part."""
        self._local_folder(table).joinpath(key.file_name).unlink(missing_ok=True)

    def remove_temporary(self, table: str) -> list[str]:
        """Delete what writers left unfinished in a table's folder, and name it."""
        names = [name for name in self._names(table) if _TEMP_NAME.fullmatch(name)]
        for name in names:
            self._local_folder(table).joinpath(name).unlink(missing_ok=True)
        return names

    def _names(self, table: str) -> list[str]:
        selector = pafs.FileSelector(f"{self.root}/{table}", allow_not_found=True)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector) if info.is_file)

    @contextmanager
    def _opened(self, table: str, key: PartKey, *, whole: bool = False) -> Iterator[pq.ParquetFile]:
        """A part's file; `whole` reads all of it first and holds it against its digest."""
        path = f"{self.root}/{table}/{key.file_name}"
        try:
            with (
                self._source(path, whole) as source,
                pq.ParquetFile(source, page_checksum_verification=True) as file,
            ):
                check_version(file.schema_arrow, path)
                yield file
        except FileNotFoundError as error:
            raise DamagedPart(f"{table}/{key.file_name} (missing)") from error
        except (pa.ArrowException, OSError, ValueError) as error:
            # Arrow reports garbage in many ways, one of them an OSError without a number. Those with one are
            # the system's (a network drive that is away), and no reason to throw a good file out.
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise DamagedPart(f"{table}/{key.file_name}") from error

    def _source(self, path: str, whole: bool) -> pa.NativeFile:
        file = self.filesystem.open_input_file(path)
        if not whole:
            return file
        with file:
            content = file.read()
        if not _is_as_signed(content):
            raise ValueError("not what was written")
        return pa.BufferReader(content)

    def _local_folder(self, table: str) -> Path:
        if not isinstance(self.filesystem, pafs.LocalFileSystem):
            raise LedgerError(
                f"{self.root} is on a {self.filesystem.type_name} file system: it can only be read"
            )
        return Path(self.root, table)


# Checksums of pages leave their headers out, and a flipped bit there can turn into other values or rows. So a part
# carries the SHA-256 of its whole file, taken with zeros in the digest's own place.


def _seal(digest: str) -> str:
    return f"{_DIGEST_MARK}{digest}"


def _sign(file: BinaryIO) -> None:
    """Put the digest of a complete part in its place."""
    file.seek(0)
    content = file.read()
    start = content.rfind(_DIGEST_MARK.encode()) + len(_DIGEST_MARK)
    file.seek(start)
    file.write(hashlib.sha256(content).hexdigest().encode())


def _is_as_signed(content: bytes) -> bool:
    """Whether a part is, byte for byte, what was written; parts of earlier versions carry no digest."""
    mark = content.rfind(_DIGEST_MARK.encode())
    if mark < 0:
        return _DIGEST_KEY.encode() not in content
    start = mark + len(_DIGEST_MARK)
    view = memoryview(content)
    digest = hashlib.sha256(view[:start])
    digest.update(b"0" * 64)
    digest.update(view[start + 64 :])
    return digest.hexdigest().encode() == content[start : start + 64]


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
