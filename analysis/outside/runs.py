"""Runs that were logged to TensorBoard or W&B: of each, its settings and the last value of every number."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.outside.rows import Rows
from trainables.errors import Unreadable, UserError
from trainables.run_logs.tail import EventTail


def read_run(folder: Path, asked: Sequence[str]) -> Rows:
    """The one row of a run, with `file` and `folder`, what its folder and the one around it are called.

    A setting goes before a number of the same name. Raises UserError for a damaged log.
    """
    tail = EventTail(folder)
    found: dict[str, object] = {"file": folder.name, "folder": folder.absolute().parent.name}
    try:
        for row in tail.new_rows(is_final=True):
            found |= row
    except Unreadable as error:
        raise UserError(f"{folder}  {error}") from error
    found |= tail.settings
    columns = {name: pd.Series([found[name]], dtype=object) for name in asked if name in found}
    return Rows(str(folder), columns, tuple(found), lambda _: (str(folder), 0, ""))
