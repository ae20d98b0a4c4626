"""One schema for all files of a table, so that any Parquet reader takes a folder as it is.

Most readers take the columns of the first file they see for those of all. So each part is written with the columns
of the study's other rows, known from `columns.json` beside the tables, and a launch gives them to older parts before
its trials run and after. The parts are the truth: `columns.json` is written anew from them.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from orchestrator.ledger.durable import write_text_atomically
from orchestrator.ledger.files import DamagedPart, opened, write_sealed, writing
from orchestrator.ledger.index import ATTEMPTS_KEY, MERGED_NAME, files_in, part_keys
from orchestrator.ledger.schemas import (
    TABLES,
    Further,
    Row,
    conformed,
    further_columns,
    is_axis,
    schema_with,
    to_arrow,
    united,
)

FILE_NAME = "columns.json"
_LOCAL = pafs.LocalFileSystem()


def shared_columns(root: Path, table: str) -> Further:
    """Further columns that a part of a table is to have; none where no launch has said so yet."""
    try:
        listed = json.loads(root.joinpath(FILE_NAME).read_text(encoding="utf-8"))
        return {name: _type_named(kind) for name, kind in listed[table].items()}
    except (FileNotFoundError, ValueError, KeyError, AttributeError, TypeError):
        return {}  # The next launch finds them in the parts, and gives them to those written meanwhile.


def _type_named(name: str) -> pa.DataType:
    lists = pa.list_(pa.float64())
    return lists if name == str(lists) else pa.type_for_alias(name)


def share_columns(root: Path, expected: Mapping[str, Sequence[Row]] | None = None) -> None:
    """Give every part of a table the columns of all of them, and those of the rows that are `expected` in it.

    Only for the holder of the study's lock, while no trial runs. Damaged parts are left for readers to name.
    Raises LedgerError when the folder cannot be written.
    """
    listed = {}
    for table in TABLES:
        files = _schemas(root, table)
        wanted = further_columns(table, to_arrow(table, (expected or {}).get(table, ())).schema)
        held = [further_columns(table, with_values) for _, with_values in files.values()]
        schema = schema_with(table, united(*held, wanted))
        listed[table] = {name: str(kind) for name, kind in further_columns(table, schema).items()}
        for name, (found, _) in files.items():
            if not found.equals(schema):
                _rewrite(root, table, name, schema)
    path, text = root / FILE_NAME, json.dumps(listed, indent=1)
    with writing(root):
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text_atomically(path, text)


def _schemas(root: Path, table: str) -> dict[str, tuple[pa.Schema, pa.Schema]]:
    """File name -> schema, for each sound file of a table: whole, and without axes that have no value in it."""
    names = [info.base_name for info in files_in(_LOCAL, str(root / table))]
    merged = [name for name in names if MERGED_NAME.fullmatch(name)]
    found = {}
    for name in sorted([*merged, *(key.file_name for key in part_keys(names))]):
        with contextlib.suppress(DamagedPart), opened(_LOCAL, str(root / table / name), name) as file:
            found[name] = (file.schema_arrow, _with_values(file))
    return found


def _with_values(file: pq.ParquetFile) -> pa.Schema:
    """The columns of a file but for axes without a value: their type was made up (text, once)."""
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    told = {
        chunk.path_in_schema
        for group in groups
        for chunk in map(group.column, range(group.num_columns))
        if chunk.statistics is None or chunk.statistics.null_count < group.num_rows
    }
    schema = file.schema_arrow
    return pa.schema([field for field in schema if not is_axis(field.name) or field.name in told])


def _rewrite(root: Path, table: str, name: str, schema: pa.Schema) -> None:
    """Write a file anew with these columns, in one step; a damaged one stays as it is."""
    with contextlib.suppress(DamagedPart):
        with opened(_LOCAL, str(root / table / name), name, whole=True) as file:
            content, known = file.read(), file.metadata.metadata or {}
        attempts = known.get(ATTEMPTS_KEY.encode())
        kept = {} if attempts is None else {ATTEMPTS_KEY: attempts.decode()}
        write_sealed(root / table, name, conformed(content, schema), kept)
