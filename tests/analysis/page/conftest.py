"""A real browser without a network, for tests of the page itself."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from analysis.contrasts import judge_study
from analysis.frames import load_frames
from analysis.page.assets import report_html
from analysis.page.payload import study_page
from analysis.page.shape import StudyPage


@dataclass
class Opened:
    """An open page, and everything that it should not have done."""

    page: Any
    problems: list[str] = field(default_factory=list)

    def note(self, request: Any) -> None:
        """Note a request that is neither the page itself nor part of it."""
        if not request.url.startswith(("file:", "data:")):
            self.problems.append(f"request {request.url}")


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Opened]]:
    """Open a file from disk, with the network off. At the end, no error and no request may have been seen."""
    contexts, opened = [], []

    def open_file(path: Path, **settings: Any) -> Opened:
        context = browser.new_context(
            offline=True, **{"viewport": {"width": 1100, "height": 900}, **settings}
        )
        context.set_default_timeout(5000)
        contexts.append(context)
        found = Opened(context.new_page())
        found.page.on("console", lambda message: found.problems.append(message.text))
        found.page.on("pageerror", lambda error: found.problems.append(str(error)))
        found.page.on("dialog", lambda dialog: (found.problems.append(dialog.message), dialog.dismiss()))
        found.page.on("request", found.note)
        found.page.goto(path.as_uri())
        opened.append(found)
        return found

    yield open_file
    for context in contexts:
        context.close()
    assert [problem for found in opened for problem in found.problems] == []


@pytest.fixture(scope="module")
def study(synthetic: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyPage]:
    """report.html of a study of three cells and two seeds, one trial failed; and what it shows."""
    folder = synthetic(
        tmp_path_factory.mktemp("page") / "study",
        effects={"pixel_channel": 0.6, "conv": 0.4, "pixel": 0.55},
        num_seeds=2,
        epochs=2,
        num_images=2,
        failed={("pixel", 1)},
        claims=[{"text": "conv is worse", "axis": "encoder", "better": "pixel_channel", "worse": "conv"}],
    )
    (folder / "logs").mkdir()
    (folder / "logs" / "pixel01000000000.log").write_text("epoch 1\nTraceback: <b>loss</b> is NaN\n")
    return written(folder)


@pytest.fixture
def write_page() -> Callable[[Path], tuple[Path, StudyPage]]:
    """Write a study's page, and give what it shows."""
    return written


def written(folder: Path) -> tuple[Path, StudyPage]:
    """A study's page beside it, without its figures, and what it shows."""
    frames = load_frames(folder)
    page = study_page(frames, judge_study(frames))
    path = folder / "report.html"
    path.write_text(report_html(page), encoding="utf-8")
    return path, page
