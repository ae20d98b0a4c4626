"""Strips of trained models: made beside everything else, when somebody asks, and never in anybody's way."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboard_client import SMALL, Client, Serve

from analysis.dashboard import strips
from analysis.dashboard.strips import MAX_WAITING, Offer, Strips
from orchestrator.cli.dashboard import Source
from orchestrator.cli.parser import parsed
from trainables.command_line import command_lines

DRAW = "import sys; open(sys.argv[2] + '/face.png', 'wb').write(b'PNG of ' + open(sys.argv[1], 'rb').read())"
TRIAL = "conv000000000000"


def offer(program: str) -> Offer:
    return Offer("show it", lambda model, out: [sys.executable, "-c", program, str(model), str(out)])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def made() -> Iterator[Strips]:
    found = Strips()
    yield found
    found.close()


def test_a_strip_is_what_the_command_leaves(made: Strips, model: Path) -> None:
    assert made.ask(model, offer(DRAW))["state"] == "waiting"

    assert made.step()
    assert not made.step()

    assert made.ask(model, offer(DRAW)) == {
        "state": "done",
        "problem": "",
        "num_before": 0,
        "pictures": ["face"],
    }
    assert made.picture(model, 0) == b"PNG of weights"
    assert made.picture(model, 1) is None


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("raise SystemExit('the file is no model')", "exit code 1\nthe file is no model"),
        ("pass", "the command left no picture"),
        ("import time; time.sleep(60)", "it took more than 0 s and was ended"),
    ],
)
def test_a_command_that_fails_is_told_and_tried_again_when_asked(
    made: Strips, model: Path, program: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "sleep" in program:
        monkeypatch.setattr(strips, "MAX_SECONDS", 0.3)
    made.ask(model, offer(program))
    made.step()

    found = made.ask(model, offer(program))
    assert (found["state"], found["pictures"]) == ("failed", [])
    assert told in found["problem"]

    made.forget(model)
    assert made.ask(model, offer(program))["state"] == "waiting"


def test_only_so_many_wait_and_each_knows_its_place(made: Strips, tmp_path: Path) -> None:
    models = [tmp_path / f"{number}.safetensors" for number in range(MAX_WAITING + 1)]
    for path in models:
        path.write_bytes(b"")

    found = [made.ask(path, offer(DRAW)) for path in models]

    assert [one["num_before"] for one in found[:-1]] == list(range(MAX_WAITING))
    assert "others wait already" in found[-1]["problem"]


def test_a_model_that_is_trained_again_has_another_strip(made: Strips, model: Path) -> None:
    made.ask(model, offer(DRAW))
    made.step()
    model.write_bytes(b"others")

    made.ask(model, offer(DRAW))
    made.step()

    assert made.picture(model, 0) == b"PNG of others"


def test_the_end_of_the_dashboard_ends_the_command_at_work(made: Strips, model: Path, tmp_path: Path) -> None:
    program = f"import time; open({str(tmp_path / 'began')!r}, 'w').close(); time.sleep(60)"
    made.ask(model, offer(program))
    worker = threading.Thread(target=made.step)
    worker.start()
    while not (tmp_path / "began").exists():
        time.sleep(0.02)

    made.close()
    worker.join(timeout=50)

    assert not worker.is_alive()


# In the dashboard


class ShowingSource(Source):
    """A family whose models can be shown at once."""

    def offer(self, family: str) -> Offer | None:
        return offer(DRAW)


@pytest.fixture(scope="module")
def shown(serve: Serve, tmp_path_factory: pytest.TempPathFactory, synthetic: Callable[..., Path]) -> Client:
    results = tmp_path_factory.mktemp("results")
    folder = synthetic(results / "mine", **SMALL, num_seeds=2)
    (folder / "editors").mkdir()
    (folder / "editors" / f"{TRIAL}.safetensors").write_bytes(b"weights")
    client = serve(results, source=ShowingSource())
    client.all_read()
    return client


def test_a_page_offers_a_strip_and_asking_waits_for_nothing(shown: Client) -> None:
    assert shown.get("/study/mine/data.json").json["strip"] == "show it"

    first = shown.get(f"/study/mine/strip/{TRIAL}").json
    assert first["state"] in ("waiting", "running")

    found = shown.until(f"/study/mine/strip/{TRIAL}", lambda one: one["state"] == "done")
    picture = shown.get(f"/study/mine/strip/{TRIAL}/0")
    assert found["pictures"] == ["face"]
    assert (picture.body, picture.headers["content-type"]) == (b"PNG of weights", "image/png")


@pytest.mark.parametrize(
    "path",
    ["strip/conv010000000000", "strip/nothing", "strip/..%2f..%2fstudy.json", f"strip/{TRIAL}/9"],
)
def test_what_is_no_trial_with_a_model_has_no_strip(shown: Client, path: str) -> None:
    assert shown.get(f"/study/mine/{path}").status == 404


@pytest.mark.browser
def test_a_button_in_a_trials_row_shows_its_strip(shown: Client, browser: Any) -> None:
    page = browser.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(f"http://127.0.0.1:{shown.port}/study/mine/")
    page.get_by_role("button", name=f"open settings, log and files of trial {TRIAL}").click()

    page.get_by_role("button", name="show it").click()

    page.get_by_role("img", name="show it: face").wait_for(state="attached")
    assert page.get_by_role("button", name="show it").count() == 0
    assert troubles == []
    page.close()


def test_words_of_families_are_commands_that_there_are(tmp_path: Path) -> None:
    offered = {family: line.strip for family, line in command_lines().items() if line.strip is not None}

    assert "h_space" in offered
    for strip in offered.values():
        options = parsed(list(strip.words(tmp_path / "model.safetensors", tmp_path / "out")))
        assert options.command
    assert Source().offer("a family of a file") is None
