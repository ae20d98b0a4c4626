"""Columns of the ledger's tables, and rows to and from Arrow."""

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import pyarrow as pa

from orchestrator.ledger.errors import LedgerError

SCHEMA_VERSION = 1
"""Raised when a column changes its meaning; new columns do not need it."""

Row = Mapping[str, Any]

_IDENTITY = [pa.field("signature", pa.string()), pa.field("attempt", pa.int32())]
_TIME = pa.timestamp("us", tz="UTC")
_IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])

TABLES: dict[str, pa.Schema] = {
    "trials": pa.schema(
        [
            *_IDENTITY,
            pa.field("cell", pa.string()),
            pa.field("seed", pa.int64()),
            pa.field("status", pa.string()),  # done, pruned, failed, skipped or interrupted
            pa.field("reason", pa.string()),
            pa.field("axis_values", pa.string()),  # JSON
            pa.field("config", pa.string()),  # JSON
            pa.field("parent", pa.string()),
            pa.field("code", pa.string()),  # fingerprint of the source code; null before it was recorded
            pa.field("started_at", _TIME),
            pa.field("finished_at", _TIME),
            pa.field("wall_seconds", pa.float64()),
            pa.field("train_seconds", pa.float64()),
            pa.field("device", pa.string()),
            pa.field("num_parameters", pa.int64()),
            pa.field("provenance", pa.string()),  # JSON
            pa.field("notes", pa.list_(pa.string())),
            pa.field("schema_version", pa.int32()),
        ]
    ),
    "curves": pa.schema(
        [
            *_IDENTITY,
            pa.field("epoch", pa.int32()),  # from 1
            pa.field("batch", pa.int32()),
            pa.field("optimizer_step", pa.int64()),  # cumulative
            pa.field("learning_rate", pa.float64()),
        ]
    ),
    "evaluations": pa.schema(
        [
            *_IDENTITY,
            pa.field("epoch", pa.int32()),
            pa.field("image_id", pa.string()),
            pa.field("labels", pa.string()),  # JSON
            # Of rows without an image_id, which are about a set:
            pa.field("subgroup", pa.string()),  # such as skin=dark; null for all images
            pa.field("num_images", pa.int32()),
            pa.field("feature_extractor", pa.string()),
            pa.field("image_set", pa.string()),
        ]
    ),
    "samples": pa.schema(
        [
            *_IDENTITY,
            pa.field("kind", pa.string()),  # in the words of the family
            pa.field("image_id", pa.string()),
            pa.field("epoch", pa.int32()),
            pa.field("image", _IMAGE),  # PNG; null for a sample that is no picture of pixels
            pa.field("media_type", pa.string()),  # null in older rows: image/png
            pa.field("content", pa.binary()),  # of a sample that is no picture of pixels
        ]
    ),
}

# How Hugging Face `datasets` learns that a struct of bytes is a picture.
_HUGGING_FACE = {"info": {"features": {"image": {"_type": "Image"}}}}

_AS_WRITTEN = ("axis_values", "config", "provenance")
"""Mappings whose keys stay in their order; those of others are sorted."""
_VERSION_KEY = b"asyrp_sweep.schema_version"
_AXIS = "axis_"
_MISSPELT = 0.8
"""How near a coordinate of samples, whose names are free, may come to a column of theirs: `media_typ` is 0.95."""

Further = Mapping[str, pa.DataType]
"""Columns that a table has beyond those of `TABLES`, and their types."""


def to_arrow(table: str, rows: Sequence[Row], shared: Further | None = None) -> pa.Table:
    """Rows as an Arrow table with the schema of `table`; mappings are written as JSON.

    `curves`, `evaluations` and `samples` take any further column of numbers, texts or lists of numbers; `samples` none
    that reads like a misspelt column. `trials` takes `metric_<name>` columns, and its `axis_<name>` columns are made
    from `axis_values`. `shared` are the further columns of the table's other rows. Raises ValueError for a column that
    the table does not have, and for one with values of several kinds.
    """
    encoded = [_encoded(row) for row in rows]
    known = set(TABLES[table].names)
    found: dict[str, set[pa.DataType]] = {}
    if table == "trials":
        encoded = [{**row, **_axis_columns(row), "schema_version": SCHEMA_VERSION} for row in encoded]
    for row in encoded:
        for name in row.keys() - known:
            _check_spelling(table, name, [*TABLES[table].names, *(shared or {})])
            found.setdefault(name, set()).add(_further_type(table, name, row[name]))
    for name, types in found.items():
        if table != "trials" and len(types - {pa.null()}) > 1:
            raise ValueError(f"column {name!r} of table {table} has values of several kinds: expected one")
    schema = schema_with(
        table, united({name: _common_type(types) for name, types in found.items()}, shared or {})
    )
    if table == "trials":
        encoded = [{**row, **_stored_axes(row, schema)} for row in encoded]
    return pa.Table.from_pylist(encoded, schema=schema)


def empty(table: str) -> pa.Table:
    """A table without rows."""
    return to_arrow(table, [])


def united(*columns: Further) -> Further:
    """All of these columns, each with a type that holds its values wherever it has another one."""
    types: dict[str, set[pa.DataType]] = {}
    for some in columns:
        for name, kind in some.items():
            types.setdefault(name, set()).add(kind)
    return {name: _common_type(found) for name, found in types.items()}


def is_axis(column: str) -> bool:
    """Whether a column holds the values of an axis."""
    return column.startswith(_AXIS)


def further_columns(table: str, schema: pa.Schema) -> Further:
    """What a schema has beyond the columns that every part of a table has."""
    known = set(TABLES[table].names)
    return {field.name: field.type for field in schema if field.name not in known}


def schema_with(table: str, further: Further) -> pa.Schema:
    """The schema of a table with further columns, which are in the order of their names.

    A column of which no value is known yet has no type and is left out: absent and null read the same.
    """
    fields = [pa.field(name, kind) for name, kind in sorted(further.items()) if not pa.types.is_null(kind)]
    return pa.schema([*TABLES[table], *fields], metadata=_metadata(table))


def concatenated(table: str, parts: Sequence[pa.Table], shared: Further | None = None) -> pa.Table:
    """Parts written at different times as one table.

    Its further columns are those that a row has a value in, and the `shared` ones.
    """
    held = [further_columns(table, own_columns(table, part).schema) for part in parts]
    schema = schema_with(table, united(*held, shared or {}))
    return pa.concat_tables([conformed(part, schema) for part in parts]) if parts else schema.empty_table()


def conformed(part: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows of a part with just these columns; one that it lacks is null there.

    Values of axes are taken from `axis_values`, which has them as they were written: cast twice, a number
    becomes another text.
    """
    if part.schema.equals(schema):
        return part.replace_schema_metadata(schema.metadata)
    axes = _axis_values(part)
    columns = []
    for field in schema:
        if field.name in axes:
            values = [_as_stored(value, field.type) for value in axes[field.name]]
            columns.append(pa.chunked_array([pa.array(values, field.type)]))
        elif field.name in part.column_names:
            columns.append(part.column(field.name).cast(field.type))
        else:
            columns.append(pa.chunked_array([pa.nulls(len(part), field.type)]))
    return pa.table(columns, schema=schema)


def own_columns(table: str, rows: pa.Table) -> pa.Table:
    """Without the further columns that none of these rows has a value in."""
    known = TABLES[table].names
    return rows.select(
        [name for name in rows.column_names if name in known or rows.column(name).null_count < len(rows)]
    )


def check_version(schema: pa.Schema, name: str) -> None:
    """Raise LedgerError for a part written by a later version than this one."""
    version = int((schema.metadata or {}).get(_VERSION_KEY, SCHEMA_VERSION))
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"{name} was written by a newer asyrp-sweep (ledger schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}); upgrade asyrp-sweep to read this study"
        )


def _metadata(table: str) -> dict[bytes, bytes]:
    metadata = {_VERSION_KEY: str(SCHEMA_VERSION).encode()}
    if table == "samples":
        metadata[b"huggingface"] = json.dumps(_HUGGING_FACE).encode()
    return metadata


def _encoded(row: Row) -> dict[str, Any]:
    as_json = {
        name: json.dumps(value, sort_keys=name not in _AS_WRITTEN)
        for name, value in row.items()
        if isinstance(value, Mapping) and name != "image"
    }
    return {**row, **as_json}


def _axis_columns(row: Row) -> dict[str, Any]:
    return {f"{_AXIS}{name}": value for name, value in json.loads(row.get("axis_values") or "{}").items()}


def _stored_axes(row: Row, schema: pa.Schema) -> dict[str, Any]:
    axes = _axis_columns(row)
    return {name: _as_stored(axes[name], schema.field(name).type) for name in axes.keys() & set(schema.names)}


def _axis_values(part: pa.Table) -> dict[str, list[Any]]:
    """Column -> the values of an axis in the rows of a part."""
    texts = part.column("axis_values").to_pylist() if "axis_values" in part.column_names else []
    rows = [_axis_columns({"axis_values": text}) for text in texts]
    return {name: [row.get(name) for row in rows] for name in {name for row in rows for name in row}}


def _check_spelling(table: str, name: str, names: Sequence[str]) -> None:
    if table == "samples" and name not in names and (near := get_close_matches(name, names, 1, _MISSPELT)):
        raise ValueError(f"table {table} has no column {name!r}; did you mean {near[0]}?")


def _further_type(table: str, name: str, value: Any) -> pa.DataType:
    if table == "trials" and is_axis(name):
        return _axis_type(value)
    if table == "trials" and name.startswith("metric_"):
        return pa.float64()
    if table != "trials":
        if value is None or isinstance(value, str):
            return pa.null() if value is None else pa.string()
        return pa.list_(pa.float64()) if isinstance(value, (list, tuple)) else pa.float64()
    raise ValueError(f"table {table} has no column {name!r}; it has {', '.join(TABLES[table].names)}")


def _axis_type(value: Any) -> pa.DataType:
    """What holds one value of an axis; anything but a number or a truth is text."""
    if value is None:
        return pa.null()
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, float):
        return pa.float64()
    return pa.int64() if isinstance(value, int) and -(2**63) <= value < 2**63 else pa.string()


def _as_stored(value: Any, kind: pa.DataType) -> Any:
    """The value of an axis in its column's type: as text it is spelled as in `axis_values`."""
    if value is None or isinstance(value, str):
        return value
    if pa.types.is_floating(kind):
        return float(value)
    return json.dumps(value) if pa.types.is_string(kind) else value


def _common_type(types: Iterable[pa.DataType]) -> pa.DataType:
    """A type that holds all of these: the same, numbers as doubles, lists of them too, anything else as text."""
    known = set(types) - {pa.null()}
    if len(known) <= 1:
        return next(iter(known), pa.null())
    if all(pa.types.is_list(kind) for kind in known):
        return pa.list_(pa.float64())
    is_number = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in known)
    return pa.float64() if is_number else pa.string()
