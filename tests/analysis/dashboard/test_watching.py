"""What the dashboard takes for a change of a study, and what it reads before anybody asks."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from dashboard_client import SMALL

from analysis.dashboard import pages as pages_module
from analysis.dashboard.pages import Pages
from analysis.dashboard.studies import Studies
from analysis.dashboard.watching import LAUNCH_SECONDS, look
from orchestrator.cli.dashboard import Source


@pytest.mark.parametrize("file", ["running.json", "running-2-of-4.json"])
def test_a_launch_or_a_shard_at_work_is_looked_at_again_even_when_nothing_is_written(
    tmp_path: Path, file: str
) -> None:
    (tmp_path / "study.json").write_text("{}")
    now = 2e9
    assert look(tmp_path, now) == look(tmp_path, now + 2 * LAUNCH_SECONDS)

    (tmp_path / file).write_text("{}")

    assert look(tmp_path, now) != look(tmp_path, now + 2 * LAUNCH_SECONDS)


@pytest.fixture
def two(tmp_path: Path, synthetic: Callable[..., Path]) -> Studies:
    """A results folder of two studies, both read."""
    for name in ("first", "second"):
        synthetic(tmp_path / name, **SMALL, num_seeds=2)
    studies = Studies(tmp_path, Source())
    while studies.step():
        pass
    return studies


def test_pages_are_there_before_anybody_asks_and_studies_after_a_page_that_somebody_waits_for(
    two: Studies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "PREPARE_REST", 0.0)
    pages, has_stepped = Pages(two), threading.Event()

    while pages.step():
        pass
    prepared = {key: pages.known(key) for key in two.entries}
    asked = {key: pages.page(key) for key in two.entries}
    with two.waiting.one_more():
        other = threading.Thread(target=lambda: (two.step(), has_stepped.set()))
        other.start()
        stepped_too_soon = has_stepped.wait(0.2)
    other.join()

    assert all(prepared.values())
    assert prepared == {key: page and page.sequence for key, page in asked.items()}
    assert set(pages.verdicts) == {"first", "second"}
    assert not stepped_too_soon
    assert has_stepped.is_set()


def test_no_page_is_prepared_where_there_is_no_room(two: Studies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_module, "PREPARE_REST", 0.0)
    monkeypatch.setattr(pages_module, "MAX_PREPARED_BYTES", 1)
    pages = Pages(two)

    while pages.step():
        pass

    assert sorted(bool(pages.known(key)) for key in two.entries) == [False, True]
