"""Prometheus reads the metrics, no label is a trial's, and Grafana asks only for what there is."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.dashboard.metrics import ALL, HELP, MAX_CELLS, MAX_SERIES, REST, Metrics
from analysis.dashboard.studies import Entry
from analysis.dashboard.watching import look
from orchestrator.cli.parser import DASHBOARD_PORT

PAGE = Path(__file__).parents[3] / "docs" / "dashboard.md"
GRAFANA = Path(__file__).parents[3] / "cluster" / "grafana" / "asyrp-sweep.json"
SAMPLE = re.compile(r"(?P<name>[a-z_]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")


def trial(cell: str, seed: int, state: str = "done", **told: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(
        ("reason", "epoch", "num_epochs", "loss", "host", "heard_at", "attempt", "wall_seconds", "device")
    )
    return {**nothing, "cell": cell, "seed": seed, "signature": f"{cell}{seed}", "state": state, **told}


def entry(key: str, trials: list[dict[str, Any]], **told: Any) -> Entry:
    states = [own["state"] for own in trials]
    standing = {
        "name": key,
        "question": "?",
        "counts": {state: states.count(state) for state in dict.fromkeys(states)},
        "seconds_left": None,
        "is_search": False,
        "launch": None,
        "damaged": [],
        "trials": trials,
        **told,
    }
    return Entry(key, Path(key), look(Path(key)), standing)


def values(text: str) -> dict[tuple[str, str], float]:
    """(metric, labels) -> value."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    matches = [SAMPLE.fullmatch(line) for line in lines]
    assert all(matches), lines
    return {(m["name"], m["labels"] or ""): float(m["value"]) for m in matches if m}


@pytest.fixture
def running() -> Entry:
    trials = [
        trial("baseline", 0, attempt=1, wall_seconds=40.0, device="cpu"),
        trial("baseline", 1, "failed", attempt=3, wall_seconds=2.5, device="cpu"),
        trial("encoder=conv", 0, "running", epoch=1, num_epochs=4, loss=0.5),
        trial("encoder=conv", 1, "running", epoch=3, num_epochs=4, loss=0.25),
    ]
    launch = {"host": "node-1", "process": 7, "beat_at": 1.75e9, "is_alive": True, "silence": None}
    return entry("mine", trials, launch=launch, seconds_left=90.0)


def test_they_tell_trials_losses_seconds_failures_and_restarts_of_each_cell(running: Entry) -> None:
    found = values(Metrics().text([running], {"mine": {"encoder=conv": "running"}}))

    base, conv = 'study="mine",cell="baseline"', 'study="mine",cell="encoder=conv"'
    assert found["asyrp_sweep_trials", f'{base},state="done"'] == 1
    assert found["asyrp_sweep_trials", f'{base},state="running"'] == 0
    assert found["asyrp_sweep_trials", f'{conv},state="running"'] == 2
    assert found["asyrp_sweep_failures", base] == 1
    assert found["asyrp_sweep_restarts", base] == 2
    assert found["asyrp_sweep_trial_seconds", base] == 42.5
    assert found["asyrp_sweep_loss", conv] == 0.375
    assert found["asyrp_sweep_epochs_running", conv] == 0.5
    assert found["asyrp_sweep_seconds_left", 'study="mine"'] == 90
    assert found["asyrp_sweep_launch_alive", 'study="mine"'] == 1
    assert found["asyrp_sweep_verdict", f'{conv},verdict="running"'] == 1
    assert found["asyrp_sweep_verdict", f'{conv},verdict="helps"'] == 0
    assert found["asyrp_sweep_studies", 'state="running"'] == 1


def test_a_study_that_changes_is_counted_anew_and_one_that_goes_no_more(running: Entry) -> None:
    metrics = Metrics()
    metrics.text([running], {})

    found = values(metrics.text([entry("mine", [trial("baseline", 0)])], {}))

    base = 'study="mine",cell="baseline"'
    assert found["asyrp_sweep_trials", f'{base},state="done"'] == 1
    assert found["asyrp_sweep_failures", base] == 0
    assert ("asyrp_sweep_trials", f'{base},state="done"') not in values(metrics.text([], {}))


def test_no_series_is_a_trials(running: Entry) -> None:
    text = Metrics().text([running], {})

    assert "seed" not in text
    assert "signature" not in text
    assert "baseline0" not in text


def test_proposals_of_a_search_share_a_label() -> None:
    search = entry("tune", [trial(f"proposal-{n}", 0) for n in range(300)], is_search=True)

    found = values(Metrics().text([search], {}))

    assert found["asyrp_sweep_trials", f'study="tune",cell="{ALL}",state="done"'] == 300
    assert "proposal" not in Metrics().text([search], {})


def test_many_cells_and_many_studies_stay_few_series_and_lose_no_trial() -> None:
    studies = [entry(f"s{k}", [trial(f"c{n}", 0) for n in range(60)]) for k in range(100)]

    found = values(Metrics().text(studies, {}))

    done = {
        labels: value
        for (name, labels), value in found.items()
        if name.endswith("_trials") and "done" in labels
    }
    assert sum(done.values()) == 6000
    assert len([labels for labels in done if '"s0"' in labels]) == MAX_CELLS
    assert len(done) <= MAX_SERIES + len(studies)
    assert found["asyrp_sweep_trials", f'study="s0",cell="{REST}",state="done"'] == 60 - (MAX_CELLS - 1)


def test_a_study_that_cannot_be_read_is_down() -> None:
    found = values(Metrics().text([Entry("gone", Path("gone"), problem="it is gone")], {}))

    assert found["asyrp_sweep_study_up", 'study="gone"'] == 0
    assert found["asyrp_sweep_studies", 'state="unreadable"'] == 1


def test_no_number_that_a_launch_makes_up_breaks_them() -> None:
    wild = [
        trial("a", 0, "running", loss=float("nan"), epoch="x", num_epochs=0),
        trial("a", 1, "running", loss=None),
    ]

    assert ("asyrp_sweep_loss", 'study="w",cell="a"') not in values(Metrics().text([entry("w", wild)], {}))


def checked(text: str) -> subprocess.CompletedProcess[str]:
    promtool = shutil.which("promtool") or pytest.skip(
        "promtool (Debian's package prometheus) is not installed"
    )
    return subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)


def test_promtool_finds_nothing_wrong(running: Entry) -> None:
    hostile = entry('a"b\\c\nd{}=,\u202e', [trial('x"\n\\', 0)])

    found = checked(Metrics().text([running, hostile], {"mine": {"encoder=conv": "helps"}}))

    assert (found.returncode, found.stderr) == (0, "")


def test_promtool_would_find_something() -> None:
    assert checked("asyrp_sweep_x{a=1} y\n").returncode != 0


def expressions(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["expr"]] if "expr" in node else []
        return own + [text for child in node.values() for text in expressions(child)]
    return [text for child in node for text in expressions(child)] if isinstance(node, list) else []


def test_grafana_asks_only_for_metrics_that_there_are() -> None:
    dashboard = json.loads(GRAFANA.read_text())
    asked = {name for text in expressions(dashboard) for name in re.findall(r"asyrp_sweep_[a-z_]+", text)}
    variables = json.dumps(dashboard["templating"])

    assert asked
    assert asked | set(re.findall(r"asyrp_sweep_[a-z_]+", variables)) <= {
        f"asyrp_sweep_{name}" for name in HELP
    }
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_promtool_reads_what_grafana_asks(tmp_path: Path) -> None:
    promtool = shutil.which("promtool") or pytest.skip(
        "promtool (Debian's package prometheus) is not installed"
    )
    asked = [re.sub(r"\$\w+", "x", text) for text in expressions(json.loads(GRAFANA.read_text()))]
    rules = [{"record": f"asked:{number}", "expr": text} for number, text in enumerate(asked)]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))

    found = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True)

    assert found.returncode == 0, found.stderr


def test_prometheus_takes_the_lines_of_the_docs(tmp_path: Path) -> None:
    [block] = re.findall(r"```yaml\n(scrape_configs.*?)```", PAGE.read_text(), re.S)
    [job] = yaml.safe_load(block)["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"localhost:{DASHBOARD_PORT}"]}]
    promtool = shutil.which("promtool") or pytest.skip(
        "promtool (Debian's package prometheus) is not installed"
    )
    (tmp_path / "prometheus.yml").write_text(block)

    found = subprocess.run(
        [promtool, "check", "config", str(tmp_path / "prometheus.yml")], capture_output=True, text=True
    )

    assert found.returncode == 0, found.stderr
