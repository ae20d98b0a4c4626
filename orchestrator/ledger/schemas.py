"""Columns of the ledger's tables, and rows to and from Arrow."""

import json
from collections.abc import Mapping, Sequence
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
            pa.field("image_steps", pa.int64()),  # cumulative images x timesteps
            pa.field("loss_total", pa.float64()),
            pa.field("loss_direction", pa.float64()),
            pa.field("loss_recon", pa.float64()),
            pa.field("learning_rate", pa.float64()),
            pa.field("timesteps", pa.list_(pa.int32())),
            pa.field("loss_direction_per_t", pa.list_(pa.float32())),
        ]
    ),
    "evaluations": pa.schema(
        [
            *_IDENTITY,
            pa.field("epoch", pa.int32()),
            pa.field("image_id", pa.string()),
            pa.field("strength", pa.float64()),
            pa.field("num_sample_steps", pa.int32()),
            pa.field("t_boost", pa.int32()),  # noise below this t; 0 for none
            pa.field("labels", pa.string()),  # JSON
            pa.field("attribute_shifts", pa.string()),  # JSON: attribute -> change of its cosine
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
            pa.field("kind", pa.string()),  # original, reconstruction, edit or counterfactual
            pa.field("image_id", pa.string()),
            pa.field("epoch", pa.int32()),
            pa.field("strength", pa.float64()),
            pa.field("num_sample_steps", pa.int32()),
            pa.field("image", _IMAGE),  # PNG
        ]
    ),
}

# How Hugging Face `datasets` learns that a struct of bytes is a picture.
_HUGGING_FACE = {"info": {"features": {"image": {"_type": "Image"}}}}

_JSON_COLUMNS = ("axis_values", "config", "provenance", "labels", "attribute_shifts")
_VERSION_KEY = b"asyrp_sweep.schema_version"


def to_arrow(table: str, rows: Sequence[Row]) -> pa.Table:
    """Rows as an Arrow table with the schema of `table`; mappings in JSON columns are encoded.

    `evaluations` takes any further column as a metric. `trials` takes `metric_<name>` columns, and its
    `axis_<name>` columns are made from `axis_values`.
    Raises ValueError for a column that the table does not have.
    """
    rows = [_encoded(row) for row in rows]
    if table == "trials":
        rows = [{**row, **_axis_columns(row), "schema_version": SCHEMA_VERSION} for row in rows]
    schema = TABLES[table]
    known = set(schema.names)
    for name in dict.fromkeys(key for row in rows for key in row if key not in known):
        schema = schema.append(pa.field(name, _extra_type(table, name, rows)))
    return pa.Table.from_pylist(rows, schema=schema.with_metadata(_metadata(table)))


def empty(table: str) -> pa.Table:
    """A table without rows."""
    return to_arrow(table, [])


def concatenated(table: str, parts: Sequence[pa.Table]) -> pa.Table:
    """Parts written at different times as one table; a column missing in one is null there."""
    if not parts:
        return empty(table)
    types: dict[str, set[pa.DataType]] = {}
    for part in parts:
        for field in part.schema:
            types.setdefault(field.name, set()).add(field.type)
    common = {name: _common_type(found) for name, found in types.items() if len(found) > 1}
    aligned = [_cast(part, common).replace_schema_metadata(_metadata(table)) for part in parts]
    return pa.concat_tables(aligned, promote_options="default")


def own_columns(table: str, rows: pa.Table) -> pa.Table:
    """Without the further columns that only other rows of the same file have values in."""
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
        name: json.dumps(row[name], sort_keys=name in ("labels", "attribute_shifts"))
        for name in _JSON_COLUMNS
        if isinstance(row.get(name), Mapping)
    }
    return {**row, **as_json}


def _axis_columns(row: Row) -> dict[str, Any]:
    return {f"axis_{name}": value for name, value in json.loads(row.get("axis_values") or "{}").items()}


def _extra_type(table: str, name: str, rows: Sequence[Row]) -> pa.DataType:
    if table == "evaluations" or (table == "trials" and name.startswith("metric_")):
        return pa.float64()
    if table == "trials" and name.startswith("axis_"):
        return _common_type({pa.scalar(row[name]).type for row in rows if row.get(name) is not None})
    raise ValueError(f"table {table} has no column {name!r}; it has {', '.join(TABLES[table].names)}")


def _common_type(types: set[pa.DataType]) -> pa.DataType:
    """A type that holds all of these: the same, numbers as doubles, anything else as text."""
    types = types - {pa.null()}
    if len(types) == 1:
        return next(iter(types))
    if types and all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in types):
        return pa.float64()
    return pa.string()


def _cast(part: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    for name, kind in types.items():
        index = part.schema.get_field_index(name)
        if index >= 0 and part.schema.field(index).type != kind:
            part = part.set_column(index, pa.field(name, kind), part.column(index).cast(kind))
    return part
