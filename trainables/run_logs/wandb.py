"""Numbers of W&B's logs: `run-ID.wandb`, which W&B writes beside whatever it sends, or in place of it when offline.

A file is a header of 7 bytes and then a log of LevelDB: blocks of 32 KiB with pieces of records, each with a checksum
(4 bytes), its length (2) and whether it is a whole record, the first piece of one, one within, or the last (1). A
record is a protocol buffer, of which the messages that hold numbers and settings are declared here
(wandb_internal.proto): so it is read where W&B is not installed, too.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any, BinaryIO

from trainables.run_logs.events import Event

HEADER = b":W&B"
HEADER_BYTES = 7
BLOCK_BYTES = 1 << 15
PIECE = struct.Struct("<IHB")
WHOLE, FIRST, LAST = 1, 2, 4
_STRING, _MESSAGE = 9, 11
"""Types of fields in a description of protocol buffers (descriptor.proto)."""
_OPTIONAL, _REPEATED = 1, 3


def wandb_events(file: BinaryIO) -> Iterator[Event]:
    """What a run logs, and what it puts into its summary and its config, as `tensorboard_events` gives it.

    A value that is a mapping has a number for each number in it, with dots between the keys; those of media have none.
    """
    if file.tell() == 0:
        header = file.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES:
            file.seek(0)
            return
        if not header.startswith(HEADER):
            raise ValueError("expected a log of W&B; found something else")
    seconds = 0.0
    for record in _records(file):
        logged = _numbers(record.history.item)
        seconds = logged.get("_timestamp", seconds)
        if record.history.item:
            yield Event(seconds, int(logged.get("_step", 0)), _shown(logged))
        added = _numbers(record.summary.update)
        if "_step" not in added and (numbers := _shown(added)):
            yield Event(seconds, None, numbers)
        about = {"name": record.run.display_name, "group": record.run.run_group}
        settings = _values([*record.run.config.update, *record.config.update])
        if shown := _shown({key: text for key, text in about.items() if text} | settings):
            yield Event(seconds, None, {}, shown)


def _shown(values: dict[str, Any]) -> dict[str, Any]:
    """Those that the script gave: W&B's own begin with a line."""
    return {key: value for key, value in values.items() if not key.startswith("_")}


def _numbers(items: Any) -> dict[str, float]:
    numbers = {key: value for key, value in _values(items).items() if isinstance(value, int | float)}
    return {key: float(value) for key, value in numbers.items() if not isinstance(value, bool)}


def _values(items: Any) -> dict[str, Any]:
    """What is logged, mappings with dots between their keys, without media."""
    found: dict[str, Any] = {}
    for item in items:
        try:
            found[".".join(item.nested_key) or item.key] = json.loads(item.value_json)
        except ValueError as error:
            raise ValueError("expected a value in JSON; found something else") from error
    media = tuple(key.removesuffix("_type") for key in found if key.endswith("._type"))
    return {key: value for key, value in _flat(found) if not (media and key.startswith(media))}


def _flat(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values of mappings in a mapping, but for those that describe media."""
    for key, value in content.items():
        if not isinstance(value, dict):
            yield f"{prefix}{key}", value
        elif "_type" not in value:
            yield from _flat(value, f"{prefix}{key}.")


def _records(file: BinaryIO) -> Iterator[Any]:
    """Whole records; one that is only begun is left for later. Raises ValueError for what is none."""
    from google.protobuf.message import DecodeError

    size = os.fstat(file.fileno()).st_size
    begin = at = file.tell()
    parts: list[bytes] = []
    while True:
        if (left := BLOCK_BYTES - at % BLOCK_BYTES) < PIECE.size:
            at = file.seek(at + left)
        if at + PIECE.size > size:
            break
        checksum, length, kind = PIECE.unpack(file.read(PIECE.size))
        if at + PIECE.size + length > size:
            break
        content = file.read(length)
        if zlib.crc32(content, zlib.crc32(bytes([kind]))) != checksum:
            raise ValueError("expected a record of W&B; found something else")
        parts = [content] if kind in {WHOLE, FIRST} else [*parts, content]
        at = file.tell()
        if kind in {WHOLE, LAST}:
            try:
                record = _record_class().FromString(b"".join(parts))
            except DecodeError as error:
                raise ValueError("expected a record of W&B; found something else") from error
            begin = at
            yield record
    file.seek(begin)


@cache
def _record_class() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    package = "asyrp_sweep.wandb"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    fields: dict[str, list[tuple[str, int, int, str]]] = {
        "Item": [
            ("key", 1, _OPTIONAL, ""),
            ("nested_key", 2, _REPEATED, ""),
            ("value_json", 16, _OPTIONAL, ""),
        ],
        "History": [("item", 1, _REPEATED, "Item")],
        "Summary": [("update", 1, _REPEATED, "Item")],
        "Config": [("update", 1, _REPEATED, "Item")],
        "Run": [
            ("config", 4, _OPTIONAL, "Config"),
            ("run_group", 6, _OPTIONAL, ""),
            ("display_name", 8, _OPTIONAL, ""),
        ],
        "Record": [
            ("history", 2, _OPTIONAL, "History"),
            ("summary", 3, _OPTIONAL, "Summary"),
            ("config", 5, _OPTIONAL, "Config"),
            ("run", 17, _OPTIONAL, "Run"),
        ],
    }
    for name, of_message in fields.items():
        message = file.message_type.add(name=name)
        for field, number, label, kind in of_message:
            about: dict[str, Any] = {"type": _STRING}
            if kind:
                about = {"type": _MESSAGE, "type_name": f".{package}.{kind}"}
            message.field.add(name=field, number=number, label=label, **about)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Record"))
