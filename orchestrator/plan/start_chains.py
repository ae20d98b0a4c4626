"""Chains of warm starts: the order in which they can run, and as `plan` prints them."""

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.plan.cells import Cell
from trainables.family import Family


def parents_first(cells: Sequence[Cell]) -> list[Cell]:
    """The cells in their order, but each after the one it starts from."""
    by_name = {cell.name: cell for cell in cells}
    ordered: dict[str, Cell] = {}

    def add(cell: Cell) -> None:
        if cell.start is not None and cell.start.cell is not None:
            add(by_name[cell.start.cell])
        ordered.setdefault(cell.name, cell)

    for cell in cells:
        add(cell)
    return list(ordered.values())


def chain_lines(cells: Sequence[Cell], family: Family) -> Iterator[str]:
    """One line per warm cell: the chain it ends, and its control."""
    by_name = {cell.name: cell for cell in cells}
    for cell in cells:
        if cell.start is not None:
            control = by_name.get(cell.start.control or "")
            against = (
                "" if control is None else f"; equal compute from scratch: {_with_epochs(family, control)}"
            )
            yield f"{' -> '.join(_chain(family, cell, by_name))}{against}"


def _chain(family: Family, cell: Cell, by_name: Mapping[str, Cell], epoch: int | None = None) -> list[str]:
    """The cells from the first ancestor to this one."""
    before: list[str] = []
    if cell.start is not None and cell.start.cell is not None:
        before = _chain(family, by_name[cell.start.cell], by_name, cell.start.epoch)
    elif cell.start is not None:
        before = [f"{cell.start.file} ({(cell.start.digest or '')[:8]})"]
    return [*before, _with_epochs(family, cell, epoch)]


def _with_epochs(family: Family, cell: Cell, epoch: int | None = None) -> str:
    epochs = family.num_epochs(cell.config)
    count = (
        f"epoch {epoch} of {epochs}" if epoch is not None else f"{epochs} epoch{'' if epochs == 1 else 's'}"
    )
    return f"{cell.name} ({count})"
