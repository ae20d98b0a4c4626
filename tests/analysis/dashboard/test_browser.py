"""The dashboard in a real browser: it follows a run, stays within its origin, and can be used without a mouse."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dashboard_client import SMALL, Client, Serve

from orchestrator.ledger import write_study

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
SECONDS = 30_000
HOSTILE = "</script><img src=x onerror=\"document.title='taken'\"><b>"
MODEL = """
import time
from asyrp_sweep import Family, Settings

class Config(Settings):
    width: int = 1
    epochs: int = 3

def train(config, seed, report):
    for epoch in range(config.epochs):
        time.sleep(0.4)
        report(epoch=epoch + 1, loss=1 / (epoch + 1))
    return {"accuracy": 0.5 + config.width / 10 + seed / 1000}

FAMILY = Family("mine", Config, train, metrics={"accuracy": "higher is better"})
"""
SPACE = """
question: Does width matter?
family: ./model.py
baseline: {width: 1}
axes:
  width: {path: width, values: [1, 2]}
seeds: 2
primary: {metric: accuracy, margin: 0.01}
"""


@dataclass
class Visit:
    """A page and what its browser noticed."""

    page: "Page"
    client: Client
    troubles: list[str] = field(default_factory=list)
    """What the console said, errors of scripts, requests to anywhere else."""

    def open(self, path: str) -> "Page":
        self.page.goto(f"http://127.0.0.1:{self.client.port}{path}")
        return self.page


Visiting = Callable[..., Visit]


@pytest.fixture
def visiting(browser: "Browser") -> Iterator[Visiting]:
    """Open pages of a dashboard; they must have given no trouble in the end."""
    visits: list[Visit] = []

    def begin(client: Client, **options: Any) -> Visit:
        visit = Visit(browser.new_page(**options), client)
        origin = f"http://127.0.0.1:{client.port}/"

        def requested(url: str) -> None:
            if not url.startswith((origin, "data:")):
                visit.troubles.append(f"request: {url}")

        visit.page.on("console", lambda message: visit.troubles.append(f"{message.type}: {message.text}"))
        visit.page.on("pageerror", lambda error: visit.troubles.append(f"error: {error}"))
        visit.page.on("request", lambda request: requested(request.url))
        visits.append(visit)
        return visit

    yield begin
    for visit in visits:
        visit.page.close()
        assert visit.troubles == []


@pytest.fixture(scope="module")
def shown(serve: Serve, tmp_path_factory: pytest.TempPathFactory, synthetic: Callable[..., Path]) -> Client:
    """A dashboard with a finished, a hostile, a broken and a searching study."""
    results = tmp_path_factory.mktemp("results")
    finished = synthetic(results / "finished", **SMALL, num_seeds=2, failed={("conv", 1)})
    document = json.loads((finished / "study.json").read_text())
    write_study(finished, {**document, "name": "finished"})
    hostile = synthetic(results / "hostile", **SMALL, num_seeds=2)
    document = json.loads((hostile / "study.json").read_text())
    write_study(hostile, {**document, "name": HOSTILE, "question": HOSTILE})
    search = synthetic(results / "search", **SMALL, num_seeds=1)
    document = json.loads((search / "study.json").read_text())
    design = {"sampler": "tpe", "objectives": ["wall_seconds"]}
    write_study(search, {**document, "name": "search", "design": "optuna", "design_settings": design})
    (results / "broken").mkdir()
    (results / "broken" / "study.json").write_text("{")
    client = serve(results)
    client.all_read()
    return client


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[Path], "subprocess.Popen[bytes]"]]:
    """Start a real study of a user's own family, in a process of its own."""
    started: list[subprocess.Popen[bytes]] = []
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "width.yaml").write_text(SPACE)

    def start(results: Path) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "orchestrator.cli", "run", "width.yaml", "--inline", "--no-price"]
        process = subprocess.Popen(
            [*command, "--results", str(results)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_pages_follow_a_run_from_nothing_to_its_end(
    serve: Serve, visiting: Visiting, run: Callable[[Path], "subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    client = serve(results)
    studies = visiting(client).open("/")
    studies.get_by_text("Nothing has run yet.").wait_for()
    studies.evaluate("window.isTheSamePage = true")

    process = run(results)
    studies.get_by_role("link", name="width").wait_for(timeout=SECONDS)
    studies.locator(".state.running").wait_for(timeout=SECONDS)
    study = visiting(client).open("/study/width/")
    study.get_by_role("heading", name="Does width matter?").wait_for(timeout=SECONDS)
    study.evaluate("window.isTheSamePage = true")
    at_work = study.get_by_role("group", name="Trials at work")
    at_work.get_by_text("of 3").first.wait_for(timeout=SECONDS)
    study.get_by_text("running, none of 2 pairs yet").or_(study.get_by_text("1 of 2 pairs")).first.wait_for(
        timeout=SECONDS
    )
    _, told = process.communicate(timeout=60)

    assert process.returncode == 0, told.decode()
    study.locator("#state .state.finished").wait_for(timeout=SECONDS)
    study.get_by_text("4 of 4 trials done.").wait_for(timeout=SECONDS)
    at_work.wait_for(state="detached", timeout=SECONDS)
    studies.locator(".state.finished").wait_for(timeout=SECONDS)
    assert studies.evaluate("window.isTheSamePage")
    assert study.evaluate("window.isTheSamePage")


def test_whatever_a_study_is_called_is_text(visiting: Visiting, shown: Client) -> None:
    visit = visiting(shown)
    page = visit.open("/")
    page.get_by_role("link", name=HOSTILE).click()
    page.get_by_role("heading", name=HOSTILE).wait_for()

    assert page.locator("img[src=x]").count() == 0
    assert page.title() != "taken"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/study/finished/", "/study/search/", "/study/broken/"])
def test_axe_finds_nothing_serious(visiting: Visiting, shown: Client, path: str, scheme: str) -> None:
    from axe_playwright_python.base import AXE_SCRIPT

    page = visiting(shown, color_scheme=scheme).open(path)
    page.locator("#contact").wait_for(state="attached")
    page.locator("h1").first.wait_for()
    page.evaluate(AXE_SCRIPT)

    found = page.evaluate("axe.run().then((results) => results.violations)")

    serious = [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")]
    assert serious == []


@pytest.mark.parametrize("path", ["/", "/study/finished/", "/study/search/"])
def test_a_phone_shows_it_without_scrolling_sideways(visiting: Visiting, shown: Client, path: str) -> None:
    page = visiting(shown, viewport={"width": 360, "height": 740}).open(path)
    page.locator("h1").first.wait_for()

    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_keyboard_is_enough(visiting: Visiting, shown: Client) -> None:
    page = visiting(shown).open("/")
    page.get_by_role("link", name="finished").wait_for()

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.get_by_role("link", name="finished").focus()
    page.keyboard.press("Enter")

    page.get_by_role("heading", name="Which reading of the bottleneck feature map edits best?").wait_for()


def test_a_search_is_drawn_with_its_numbers(visiting: Visiting, shown: Client) -> None:
    page = visiting(shown).open("/study/search/")

    page.get_by_role("heading", name="The search").wait_for()
    history = page.locator("#search-progress figure").first

    assert history.locator("circle").count() == 3
    history.locator("summary").click()
    history.locator("table tbody tr").last.wait_for()
    assert history.locator("table tbody tr").count() == 3


def test_what_is_open_stays_open_while_data_come(
    visiting: Visiting, serve: Serve, tmp_path: Path, synthetic: Callable[..., Path]
) -> None:
    folder = synthetic(tmp_path / "mine", **SMALL, num_seeds=2)
    client = serve(tmp_path)
    client.all_read()
    page = visiting(client).open("/study/mine/")
    page.get_by_text("Contrasts in numbers").click()
    before = client.get("/study/mine/now.json").json["sequence"]

    document = json.loads((folder / "study.json").read_text())
    write_study(folder, {**document, "question": "Another one?"})
    client.until("/study/mine/now.json", lambda now: now["sequence"] != before)
    page.get_by_role("heading", name="Another one?").wait_for()

    assert page.locator("#effects details").first.get_attribute("open") is not None


def test_a_dashboard_that_is_away_is_told_and_found_again(browser: "Browser", tmp_path: Path) -> None:
    command = [sys.executable, "-m", "orchestrator.cli", "dashboard", "--results", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def started(port: int) -> tuple["subprocess.Popen[str]", str]:
        process = subprocess.Popen(
            [*command, "--port", str(port)], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        return process, process.stdout.readline().rpartition(" ")[2].strip()

    process, address = started(0)
    page = browser.new_page()
    try:
        page.goto(address)
        page.get_by_text("Nothing has run yet.").wait_for()
        process.kill()
        process.communicate()
        page.get_by_text("No contact since").wait_for()
        (tmp_path / "folder").mkdir()

        process, _ = started(int(address.rpartition(":")[2].strip("/")))

        page.get_by_text("Folders without a study: folder.").wait_for()
        time.sleep(0.1)
        assert page.locator("#contact").inner_text() == ""
    finally:
        page.close()
        process.kill()
        process.communicate()
