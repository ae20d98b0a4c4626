"""Parquet files that are there completely or not at all, and of which no byte changes unnoticed."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from orchestrator.ledger.durable import write_atomically
from orchestrator.ledger.errors import LedgerError, cannot_be_written
from orchestrator.ledger.schemas import check_version

_DIGEST_KEY = "asyrp_sweep.digest"
_DIGEST_MARK = "asyrp-sweep sha256 "


class DamagedPart(Exception):
    """A part that is truncated, garbled or gone; the message names it."""


def write_sealed(
    folder: Path, file_name: str, content: pa.Table, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a table to a file that is there completely or not at all, whatever is killed when.

    `metadata` goes into the footer. Raises LedgerError when the folder cannot be written.
    """
    with writing(folder):
        write_atomically(folder / file_name, sealed(content, metadata))


def sealed(content: pa.Table, metadata: Mapping[str, str] | None = None) -> Callable[[Path], None]:
    """What writes a table, and its digest, to a file."""

    def write(temporary: Path) -> None:
        if not content.num_rows and not metadata:
            temporary.write_bytes(_without_rows(content.schema.serialize().to_pybytes()))
            return
        with temporary.open("w+b") as file:
            _fill(file, content, metadata or {})

    return write


@lru_cache(maxsize=16)
def _without_rows(schema: bytes) -> bytes:
    """A sealed file without rows: many trials have none in some table, and a worker writes the same file for each."""
    file = BytesIO()
    _fill(file, pa.Table.from_pylist([], schema=pa.ipc.read_schema(pa.py_buffer(schema))), {})
    return file.getvalue()


def _fill(file: BinaryIO, content: pa.Table, metadata: Mapping[str, str]) -> None:
    with pq.ParquetWriter(file, content.schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(content)
        writer.add_key_value_metadata({**metadata, _DIGEST_KEY: _seal("0" * 64)})
    _sign(file)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn whatever disk, memory or Arrow raise meanwhile into a LedgerError that names the folder."""
    try:
        yield
    except (OSError, MemoryError, pa.ArrowException) as error:
        raise cannot_be_written(folder, error) from error


@contextmanager
def opened(
    filesystem: pafs.FileSystem, path: str, name: str, *, whole: bool = False
) -> Iterator[pq.ParquetFile]:
    """A part's file; `whole` reads all of it first and holds it against its digest.

    Raises FileNotFoundError, DamagedPart with `name` when it is not what was written, LedgerError when it is too new or
    the system does not let it be read.
    """
    try:
        with (
            _source(filesystem, path, whole) as source,
            pq.ParquetFile(source, page_checksum_verification=True) as file,
        ):
            check_version(file.schema_arrow, path)
            yield file
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        # Arrow reports garbage in many ways, one of them an OSError without a number. Those with one are
        # the system's (a network drive that is away), and no reason to throw a good file out.
        if isinstance(error, OSError) and error.errno is not None:
            raise LedgerError(f"{path} cannot be read: {error.strerror or error}") from error
        raise DamagedPart(name) from error


def without_lists(schema: pa.Schema) -> list[str]:
    """Names of the columns of a schema that hold no lists."""
    return [field.name for field in schema if not pa.types.is_list(field.type)]


def _source(filesystem: pafs.FileSystem, path: str, whole: bool) -> pa.NativeFile:
    file = filesystem.open_input_file(path)
    if not whole:
        return file
    with file:
        content = file.read()
    if not _is_as_signed(content):
        raise ValueError("not what was written")
    return pa.BufferReader(content)


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
