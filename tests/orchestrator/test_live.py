import io

import pytest
from rich.console import Console

from orchestrator.views.live import LiveDisplay, PlainDisplay, drawing, make_display
from orchestrator.views.progress import Progress, Row


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def console(width: int = 80, height: int = 24, *, terminal: bool = True) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        height=height,
        force_terminal=terminal,
        color_system=None,
        _environ={},
    )


def printed(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def progress(num_cells: int = 3, num_seeds: int = 4, name: str = "encoder=kind-") -> Progress:
    trials = [
        (f"{cell}/{seed}", f"{name}{cell}", seed, 5) for seed in range(num_seeds) for cell in range(num_cells)
    ]
    return Progress.of(trials, done=["0/0"])


def picture(shown: Progress, width: int = 80, height: int = 24) -> list[str]:
    screen = console(width, height)
    screen.print(drawing(shown, screen))
    return printed(screen).splitlines()


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize(("num_cells", "num_seeds"), [(1, 1), (5, 6), (60, 40)])
def test_the_picture_fits_the_terminal(width: int, num_cells: int, num_seeds: int) -> None:
    shown = progress(num_cells, num_seeds, "a-rather-long-name-of-an-axis=and-its-value-")
    for cell in range(min(num_cells, 8)):
        shown.started(f"{cell}/0")
        shown.epoch(f"{cell}/0", {"epoch": 1.0, "loss_direction": 0.123456})

    lines = picture(shown, width, 30)

    assert all(len(line) <= width for line in lines)
    assert len(lines) <= 30


def test_states_have_their_glyphs() -> None:
    shown = progress(1, 4)
    shown.started("0/1")
    shown.ended("0/2", "failed")

    [row] = [line for line in picture(shown) if line.startswith("encoder")]

    assert row.split()[1:] == ["●", "◐", "✗", "·", "1/4,", "1", "failed"]


@pytest.mark.parametrize("told", [None, 1])
def test_where_no_setting_tells_the_epochs_the_first_trial_to_end_does(told: int | None) -> None:
    clock = Clock()
    shown = Progress({str(seed): Row("c", seed, num_epochs=told) for seed in range(3)}, clock)
    shown.started("1")
    for epoch in (1.0, 2.0, 3.0):
        clock.now += 10.0
        shown.epoch("1", {"epoch": epoch})

    assert "  c seed 1  epoch 4" in picture(shown)
    assert shown.seconds_left() is None
    shown.ended("1", "done")
    assert shown.seconds_left() == pytest.approx(60.0)  # three epochs of each of the other two
    shown.started("2")
    shown.epoch("2", {"epoch": 1.0})
    assert shown.seconds_left() == pytest.approx(5 * 30.0 / 4)


def test_a_running_trial_shows_its_epoch_and_loss() -> None:
    shown = progress()
    shown.started("1/2")
    shown.epoch("1/2", {"epoch": 3.0, "loss_direction": 0.25})

    assert "  encoder=kind-1 seed 2  epoch 4/5  loss 0.250" in picture(shown)


def test_seeds_that_do_not_fit_become_counts() -> None:
    lines = picture(progress(2, 60), width=60)

    assert lines[1].split() == ["encoder=kind-0", "1/60"]


def test_the_time_left_follows_the_pace() -> None:
    clock = Clock()
    rows = {str(seed): Row("c", seed, num_epochs=2) for seed in range(4)}
    shown = Progress(rows, clock)
    assert shown.seconds_left() is None

    shown.started("0")
    clock.now = 10.0
    shown.epoch("0", {"epoch": 1.0})

    assert shown.seconds_left() == pytest.approx(70.0)
    assert "about 70 s left" in picture(shown)[-1]


class Watched(Row):
    """Lets a search add a trial each time that this one is looked at, as if it came in just then."""

    search: Progress
    num_added = 0

    def __getattribute__(self, name: str) -> object:
        if name in ("cell", "seed", "state", "loss") and Watched.num_added < 50:
            Watched.num_added += 1
            number = Watched.num_added
            Watched.search.add(f"new-{number}", Row(f"cell-{number % 7}", number % 5))
        return super().__getattribute__(name)


def test_a_search_may_add_trials_at_any_moment_while_the_table_is_drawn() -> None:
    search = Watched.search = progress(2, 2, "cell-")
    search.add("watched", Watched("cell-0", 9))
    search.started("watched")
    before = len(search.rows)

    lines = picture(search)

    assert len(search.rows) > before + 5
    assert lines[0].split()[0] == "cell"


def test_a_pipe_gets_one_line_for_each_trial() -> None:
    screen = console(terminal=False)
    display = make_display(screen)
    assert isinstance(display, PlainDisplay)
    shown = progress()

    with display.showing(shown):
        for num_done, num_tasks in ((1, 2), (2, 2), (1, 1)):  # two stages
            shown.prepared(num_done, num_tasks)
            display.refresh()
        shown.is_prepared = True
        display.refresh()
        display.refresh()
        display.ended("[1/4] " + "long " * 30 + "[not markup]")

    assert printed(screen).splitlines() == [
        "prepared 3 parts of what all trials share",
        "[1/4] " + "long " * 30 + "[not markup]",
    ]


def test_a_terminal_gets_the_live_table_and_failures_above_it() -> None:
    screen = console()
    display = make_display(screen)
    assert isinstance(display, LiveDisplay)

    with display.showing(progress()):
        display.ended("[1/12] c seed 0 done in 4 s")
        display.ended("[2/12] c seed 1 FAILED: NaN")

    assert "FAILED: NaN" in printed(screen)
    assert "done in 4 s" not in printed(screen)
    assert "1 of 12 trials" in printed(screen)
