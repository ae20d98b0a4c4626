"""TensorBoard's event files, with the protocol buffers of tensorboardX, which Ray Tune brings.

Its `SummaryWriter` knows no groups of sessions and changes names, so events are put together here. A file's content
follows from what is written alone, so that a study exported twice is the same.
"""

from pathlib import Path
from typing import Any

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboardX.proto.tensor_pb2 import TensorProto
from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboardX.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboardX.record_writer import RecordWriter

EVENTS = "events.out.tfevents"
"""How names of event files begin; TensorBoard reads those of a folder in the order of their names."""
HPARAMS = "hparams"


class EventFile:
    """A file of events, on its place once it is closed; with `is_live` from the start.

    With `restarts_at`, TensorBoard forgets all from that step on that it has read of the run in earlier files.
    """

    def __init__(
        self, path: Path, wall_time: float, *, is_live: bool = False, restarts_at: int | None = None
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._written = path if is_live else path.with_name(f"new.{path.name.removeprefix(EVENTS)}")
        self._writer = RecordWriter(str(self._written))
        self._wall_time = wall_time
        self._add(file_version="brain.Event:2")
        if restarts_at is not None:
            self._add(session_log=SessionLog(status=SessionLog.START), step=restarts_at)

    def number(
        self,
        tag: str,
        value: float,
        *,
        step: int = 0,
        wall_time: float | None = None,
        title: str = "",
        description: str = "",
    ) -> None:
        """A scalar, with a title and a description where it has them."""
        about = SummaryMetadata(display_name=title, summary_description=description)
        about.plugin_data.plugin_name = "scalars"
        self._value(step, wall_time, tag=tag, metadata=about if title else None, simple_value=value)

    def picture(
        self,
        tag: str,
        content: bytes,
        size: tuple[int, int],
        *,
        step: int = 0,
        wall_time: float | None = None,
    ) -> None:
        """A file that browsers show, of (width, height)."""
        image = Summary.Image(encoded_image_string=content, width=size[0], height=size[1], colorspace=3)
        self._value(step, wall_time, tag=tag, image=image)

    def text(self, tag: str, text: str) -> None:
        """A text in Markdown."""
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode("utf-8", "replace")])
        tensor.tensor_shape.CopyFrom(TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]))
        self._value(0, None, tag=tag, metadata=_of_plugin("text"), tensor=tensor)

    def hparams(self, tag: str, **content: Any) -> None:
        """A part of HParams: `experiment`, `session_start_info` or `session_end_info`."""
        data = HParamsPluginData(version=0, **content).SerializeToString(deterministic=True)
        nothing = TensorProto(dtype=DT_FLOAT, float_val=[0.0], tensor_shape=TensorShapeProto())
        self._value(0, None, tag=f"_{HPARAMS}_/{tag}", metadata=_of_plugin(HPARAMS, data), tensor=nothing)

    def flush(self) -> None:
        """Let readers see what there is."""
        self._writer.flush()

    def close(self) -> None:
        """End the file, and put it on its place."""
        self._writer.close()
        self._written.replace(self._path)

    def _value(self, step: int, wall_time: float | None, **content: Any) -> None:
        self._add(wall_time, step=step, summary=Summary(value=[Summary.Value(**content)]))

    def _add(self, wall_time: float | None = None, **content: Any) -> None:
        event = Event(wall_time=self._wall_time if wall_time is None else wall_time, **content)
        self._writer.write(event.SerializeToString(deterministic=True))


def _of_plugin(name: str, content: bytes = b"") -> SummaryMetadata:
    about = SummaryMetadata()
    about.plugin_data.plugin_name = name
    about.plugin_data.content = content
    return about
