"""Numbers of TensorBoard's event files.

A file is a sequence of records: length (8 bytes) and its checksum (4), content and its checksum (4). The content is a
protocol buffer; those of tensorboardX are taken, which Ray Tune brings.
"""

import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from trainables.run_logs.events import Event

HEAD = struct.Struct("<QI")
CHECKSUM_BYTES = 4
_OF_HPARAMS = "_hparams_/"
_SETTINGS = f"{_OF_HPARAMS}session_start_info"
_KINDS = {1: ("<f4", "float_val"), 2: ("<f8", "double_val"), 3: ("<i4", "int_val"), 9: ("<i8", "int64_val")}
"""TensorFlow's number of a type (types.proto) -> how NumPy calls it, and the field of a tensor that lists values."""


def tensorboard_events(file: BinaryIO) -> Iterator[Event]:
    """Those with numbers or settings, of the whole records from where a file stands; it then stands behind them.

    Values of float32 are given as their shortest decimals: 0.9, not 0.8999999761581421. Raises ValueError for what is
    no record.
    """
    from google.protobuf.message import DecodeError  # These take as long to import as all of this package.
    from tensorboardX.proto import event_pb2

    for content in _records(file):
        try:
            event = event_pb2.Event.FromString(content)
        except DecodeError as error:
            raise ValueError("expected an event of TensorBoard; found something else") from error
        found = {value.tag: _number(value) for value in event.summary.value}
        if numbers := {tag: number for tag, number in found.items() if number is not None}:
            yield Event(event.wall_time, event.step, numbers)
        for value in event.summary.value:
            if value.tag == _SETTINGS and (settings := _settings(value.metadata.plugin_data.content)):
                yield Event(event.wall_time, None, {}, settings)


def _records(file: BinaryIO) -> Iterator[bytes]:
    """Whole records; one that is only begun is left for later."""
    from tensorboardX.record_writer import masked_crc32c

    begin, size = file.tell(), os.fstat(file.fileno()).st_size
    while begin + HEAD.size <= size:
        head = file.read(HEAD.size)
        length, checksum = HEAD.unpack(head)
        if masked_crc32c(head[:8]) != checksum:
            raise ValueError("expected a record of TensorBoard; found something else")
        end = begin + HEAD.size + length + CHECKSUM_BYTES
        if end > size:
            break
        content = file.read(length)
        begin = file.seek(end)
        yield content
    file.seek(begin)


def _settings(content: bytes) -> dict[str, Any]:
    from google.protobuf.message import DecodeError
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    try:
        logged = HParamsPluginData.FromString(content).session_start_info.hparams
    except DecodeError as error:
        raise ValueError("expected hyperparameters of TensorBoard; found something else") from error
    return {name: getattr(value, value.WhichOneof("kind") or "null_value") for name, value in logged.items()}


def _number(value: Any) -> float | None:
    """A value of a summary, if it is a single number: PyTorch's `simple_value`, or TensorFlow's tensor of no shape."""
    import numpy as np

    if value.HasField("simple_value"):
        return float(str(np.float32(value.simple_value)))
    if not value.HasField("tensor") or value.tag.startswith(_OF_HPARAMS):
        return None
    tensor = value.tensor
    if tensor.dtype not in _KINDS or tensor.tensor_shape.dim:
        return None
    kind, listed = _KINDS[tensor.dtype]
    numbers = np.frombuffer(tensor.tensor_content, kind) if tensor.tensor_content else getattr(tensor, listed)
    return float(str(np.asarray(numbers, kind)[0])) if len(numbers) else None
