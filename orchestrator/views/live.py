"""What the user sees while trials run: a live table on a terminal, one plain line per trial in a pipe."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.views.progress import AVOIDED, Progress, Row, TrialState
from trainables.names import visible
from trainables.wording import duration

GLYPHS: dict[TrialState, tuple[str, str, str]] = {
    # state: (glyph, where the terminal has only ASCII, colour)
    "done": ("●", "#", "green"),
    "pruned": ("○", "o", "green"),
    "running": ("◐", ">", "yellow"),
    "waiting": ("·", ".", "dim"),
    "failed": ("✗", "x", "red"),
    "skipped": ("-", "-", "red"),
}
REFRESHES_PER_SECOND = 4
MAX_RUNNING_SHOWN = 6
LINES_OF_FRAME = 6


class Display(Protocol):
    """Where a launch shows itself."""

    def showing(self, progress: Progress) -> AbstractContextManager[object]:
        """Show this progress for as long as the context is open."""

    def refresh(self) -> None:
        """The progress has changed."""

    def ended(self, line: str) -> None:
        """A trial ended."""

    def note(self, message: str) -> None:
        """Something that should be read."""


class PlainDisplay:
    """One line when a trial ends; nothing else, so that a log stays readable."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None

    def showing(self, progress: Progress) -> AbstractContextManager[object]:
        """Remember it, for the end of the preparation."""
        self._progress = progress
        return nullcontext()

    def refresh(self) -> None:
        """Say once that the preparation is over; all else waits for a trial's end."""
        progress = self._progress
        if progress is not None and progress.is_prepared and progress.num_preparations:
            say(self._console, f"prepared {progress.num_preparations} parts of what all trials share")
            self._progress = None

    def ended(self, line: str) -> None:
        """Print it."""
        say(self._console, line)

    def note(self, message: str) -> None:
        """Print it."""
        say(self._console, f"note: {message}")


class LiveDisplay:
    """The matrix of cells and seeds, what is running, and the time left, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    @contextmanager
    def showing(self, progress: Progress) -> Iterator[object]:
        """Draw until the context closes; the last picture stays."""
        with Live(
            get_renderable=lambda: drawing(progress, self._console),
            console=self._console,
            refresh_per_second=REFRESHES_PER_SECOND,
        ) as self._live:
            yield self._live
        self._live = None

    def refresh(self) -> None:
        """Nothing: the picture is redrawn by the clock."""

    def ended(self, line: str) -> None:
        """A failure is printed above the table; the rest is in the table."""
        if " done in " not in line and " pruned: " not in line:
            self.note(line)

    def note(self, message: str) -> None:
        """Print above the table."""
        self._console.print(Text(visible(message), style="yellow"))


def make_display(console: Console) -> Display:
    """Live on a terminal, plain anywhere else."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


def say(console: Console, *texts: str) -> None:
    """Print texts as they are: nothing in them is markup or moves the cursor, and lines are as long as they are."""
    for text in texts:
        console.print(visible(text), markup=False, highlight=False, soft_wrap=True)


def drawing(progress: Progress, console: Console) -> Group:
    """One picture of a launch that fits the terminal's width and height."""
    running = list(progress.running().values())[:MAX_RUNNING_SHOWN]
    max_rows = max(3, console.height - LINES_OF_FRAME - len(running))
    table = matrix(progress, console.width, max_rows, console.encoding)
    avoided = [f"{AVOIDED}: {', '.join(progress.avoided_machines)}"] if progress.avoided_machines else []
    told = (Text(line, no_wrap=True, overflow="ellipsis", style="yellow") for line in avoided)
    return Group(table, *map(_running_line, running), *told, _last_line(progress))


def matrix(progress: Progress, width: int, max_rows: int, encoding: str) -> Table:
    """Cells by seeds, a glyph for each trial; numbers instead where the seeds do not fit."""
    cells = progress.cells()
    seeds = progress.seeds
    # A search begins without any trial.
    name_width = min(max((len(name) for name in cells), default=4), max(12, width // 2 - 10))
    column_width = max((len(str(seed)) for seed in seeds), default=1)
    fits = name_width + 22 + len(seeds) * (column_width + 1) <= width
    table = Table(box=None, padding=(0, 1, 0, 0), expand=False)
    table.add_column("cell", no_wrap=True, overflow="ellipsis", width=name_width)
    for seed in seeds if fits else []:
        table.add_column(str(seed), no_wrap=True, width=column_width)
    table.add_column("done", no_wrap=True, justify="right")
    table.add_column("last loss", no_wrap=True, justify="right")
    shown = _most_telling(cells, max_rows)
    for name in shown:
        by_seed = {row.seed: row for row in cells[name]}
        glyphs = [_glyph(by_seed.get(seed), encoding) for seed in seeds] if fits else []
        losses = [row.loss for row in cells[name] if row.loss is not None]
        table.add_row(Text(name), *glyphs, _done(cells[name]), f"{losses[-1]:.3f}" if losses else "")
    if len(shown) < len(cells):
        table.add_row(Text(f"and {len(cells) - len(shown)} more", style="dim"))
    return table


def _most_telling(cells: dict[str, list[Row]], max_rows: int) -> list[str]:
    """As many cells as fit, those at work first, in plan order."""
    if len(cells) <= max_rows:
        return list(cells)
    at_work = [name for name, rows in cells.items() if any(row.state == "running" for row in rows)]
    others = [name for name in cells if name not in at_work]
    chosen = set((at_work + others)[: max_rows - 1])
    return [name for name in cells if name in chosen]


def _glyph(row: Row | None, encoding: str) -> Text:
    if row is None:
        return Text("")
    glyph, plain, colour = GLYPHS[row.state]
    return Text(glyph if encoding.lower().startswith("utf") else plain, style=colour)


def _done(rows: list[Row]) -> str:
    failed = sum(row.state in ("failed", "skipped") for row in rows)
    done = f"{sum(row.state == 'done' for row in rows)}/{len(rows)}"
    return f"{done}, {failed} failed" if failed else done


def _running_line(row: Row) -> Text:
    loss = "" if row.loss is None else f"  loss {row.loss:.3f}"
    most = row.num_epochs
    epoch = row.epoch + 1 if most is None else f"{min(row.epoch + 1, most)}/{most}"
    text = f"  {row.cell} seed {row.seed}  epoch {epoch}{loss}"
    return Text(text, no_wrap=True, overflow="ellipsis", style="yellow")


def _last_line(progress: Progress) -> Text:
    if progress.num_prepared < progress.num_preparations:
        text = f"preparing trajectories: {progress.num_prepared} of {progress.num_preparations} chunks"
    else:
        left = progress.seconds_left()
        text = f"{progress.num_ended} of {max(len(progress.rows), progress.num_expected)} trials"
        if left:
            text += f", about {duration(left)} left"
    return Text(text, no_wrap=True, overflow="ellipsis")
