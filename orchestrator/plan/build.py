"""From a space to cells and trials with their identities. Reads what the family reads, and files that settings name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from orchestrator.plan.cells import Cell, Plan, TrialSpec, WarmStart, cell_at
from orchestrator.plan.identity import Identity, joined_code, plan_hash
from orchestrator.plan.warm_starts import StartProblem, lineage, linked, parents_first
from orchestrator.space.axes import AxisValues
from orchestrator.space.config import PLACEBO_SEEDS, Space
from orchestrator.space.points import BASELINE, Point, baseline_values, point_name, select


def build_plan(space: Space, *, num_seeds: Mapping[str, int] | None = None) -> Plan:
    """Cells and trials of a space that `orchestrator.plan.loading` has checked.

    `num_seeds` says how many seeds each cell has where they are added while needed; the rule's `start` for
    cells that it does not name.
    """
    cells, problems, excluded = _linked_cells(space)
    if problems:
        raise ValueError(f"{problems[0].cell}: {problems[0].message}")
    identities = {cell.name: Identity(space.family, cell.config) for cell in cells}
    trials = [
        trial
        for seed, with_seed in _by_seed(space, cells, _with_placebo(num_seeds or {}))
        for trial in _trials(with_seed, identities, seed)
    ]
    return Plan(space.name, cells, tuple(trials), space.family, plan_hash(space), excluded)


def _with_placebo(num_seeds: Mapping[str, int]) -> Mapping[str, int]:
    """The placebo has as many seeds as the baseline that it repeats."""
    return {**num_seeds, PLACEBO: num_seeds[BASELINE]} if BASELINE in num_seeds else num_seeds


def _by_seed(
    space: Space, cells: Sequence[Cell], num_seeds: Mapping[str, int]
) -> Iterator[tuple[int, Sequence[Cell]]]:
    """Every seed with the cells that have it, and those that they start from."""
    rule = space.config.adaptive
    if rule is None:
        yield from ((seed, cells) for seed in space.config.first_seeds)
        return
    by_name = {cell.name: cell for cell in cells}
    for seed in range(rule.max):
        wanted = [cell for cell in cells if seed < num_seeds.get(cell.name, rule.start)]
        names = {one.name for cell in wanted for one, _ in lineage(cell, by_name)}
        if names:
            yield seed, [cell for cell in cells if cell.name in names]


# Cells


def _cells(space: Space, baseline: AxisValues) -> tuple[tuple[Cell, ...], tuple[Point, ...]]:
    """The points of the space, those with one configuration joined into one cell; and what was excluded."""
    selection = select(space, baseline)
    alike: dict[str, list[tuple[Point, Cell]]] = {}
    for point, acting in selection.points:
        cell = cell_at(space, Point(point_name(acting, baseline), acting))
        alike.setdefault(cell.key, []).append((point, cell))
    return tuple(_joined(cells) for cells in alike.values()), selection.excluded


def warm_start_problems(space: Space) -> list[StartProblem]:
    """What is wrong with the warm starts of a space whose cells are sound."""
    return _linked_cells(space)[1]


_Linked = tuple[tuple[Cell, ...], list[StartProblem], tuple[Point, ...]]
PLACEBO = "placebo"
"""Name of the cell that repeats the baseline under other seeds."""
_latest: list[tuple[Space, _Linked]] = []
"""The space that was resolved last: its checks, its plan and every plan with more seeds have the same cells."""


def _linked_cells(space: Space) -> _Linked:
    """The cells of the space, those that others start from or are compared with; wrong starts; excluded points."""
    for known, resolved in _latest:
        if known is space:
            return resolved
    baseline, missing = baseline_values(space)
    if missing:
        raise ValueError(f"the baseline is not among the values of {', '.join(missing)}")
    chosen, excluded = _cells(space, baseline)
    found, problems = linked(space, chosen, baseline)
    cells = (*found, *_placebo(space, found))
    _latest[:] = [(space, (cells, problems, excluded))]
    return _latest[0][1]


def _placebo(space: Space, cells: Sequence[Cell]) -> Iterator[Cell]:
    """The baseline once more, to be trained under other seeds, where the space asks for it."""
    for base in (cell for cell in cells if cell.is_baseline and space.config.placebo):
        yield replace(
            base, name=PLACEBO, is_baseline=False, role="placebo", coinciding=(), notes=(), dropped=()
        )


def _joined(alike: Sequence[tuple[Point, Cell]]) -> Cell:
    """One cell for all that coincide, known by the baseline if it is among them, else by the first."""
    (_, first), *_ = sorted(alike, key=lambda pair: not pair[1].is_baseline)
    others = [point for point, _ in alike if point.axis_values != first.axis_values]
    return replace(first, coinciding=tuple(others))


# Identity


def _trials(cells: Sequence[Cell], identities: Mapping[str, Identity], seed: int) -> Iterator[TrialSpec]:
    """A seed's trials, every parent before its children."""
    signatures: dict[str, str] = {}
    codes: dict[str, str] = {}
    for cell in parents_first(cells):
        start = cell.start or WarmStart()
        parent = signatures[start.cell] if start.cell is not None else None
        origin = f"file {start.digest}" if start.digest else parent
        if start.epoch is not None:
            origin = f"{parent} epoch {start.epoch}"
        draws = seed + PLACEBO_SEEDS if cell.role == "placebo" else None
        signature = identities[cell.name].signature(seed if draws is None else draws, parent=origin)
        signatures[cell.name] = signature
        codes[cell.name] = cell.code if start.cell is None else joined_code(cell.code, codes[start.cell])
        yield TrialSpec(
            cell.name, seed, signature, parent, cell.config, start, code=codes[cell.name], draws=draws
        )
