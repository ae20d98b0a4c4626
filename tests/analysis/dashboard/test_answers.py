"""What the dashboard says of studies: the same as the report and `status`, and of anything else why it says nothing."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboard_client import SMALL, Client, Serve

from analysis.contrasts import judge_study
from analysis.dashboard.summaries import NOT_JUDGED
from analysis.frames import load_frames
from analysis.page.payload import study_page
from orchestrator.ledger import Ledger, read_study, write_study
from orchestrator.ledger.compaction import compact
from orchestrator.views.progress import Progress
from orchestrator.views.running_file import RunningFile

HOSTILE = "</script><img src=x onerror=alert(1)>\u202e\x1b[31m\"'&"


def without_axes(record: dict[str, Any]) -> dict[str, Any]:
    """A record as a launch commits it; columns of axes are made from `axis_values`."""
    return {
        name: value for name, value in record.items() if not name.startswith("axis_") or name == "axis_values"
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, synthetic: Callable[..., Path]) -> Path:
    """A good study; a hostile one; damaged, half written, foreign and unreadable ones; a link out."""
    results = tmp_path_factory.mktemp("results")
    good = synthetic(results / "good", **SMALL, num_seeds=2, failed={("conv", 1)})
    (good / "logs").mkdir()
    (good / "logs" / "conv010000000000.log").write_text(f"first\n{HOSTILE}\nlast\n")
    hostile = synthetic(results / "a <b>&\"'%2f..%00 ü", **SMALL, num_seeds=2)
    document = json.loads((hostile / "study.json").read_text())
    write_study(hostile, {**document, "name": HOSTILE, "question": HOSTILE})
    odd = Ledger(synthetic(results / "odd", **SMALL, num_seeds=2) / "ledger")
    record = next(row for row in odd.records() if row["cell"] == "encoder=conv")
    sample = {
        "kind": "text/html\r\nX-Evil: 1",
        "image_id": "x",
        "image": {"bytes": HOSTILE.encode(), "path": None},
    }
    odd.write_rows(record["signature"], 2, curves=[], evaluations=[], samples=[sample])
    odd.commit({**without_axes(record), "attempt": 2})
    damaged = synthetic(results / "damaged", **SMALL, num_seeds=2)
    part = next((damaged / "ledger" / "curves").iterdir())
    part.write_bytes(part.read_bytes()[:-20])
    (results / "half").mkdir()
    (results / "half" / "study.json").write_text('{"schema_version": 1, "na')
    (results / "foreign").mkdir()
    (results / "foreign" / "study.json").write_text('{"made_by": "another program"}')
    (results / "blocked" / "study.json").mkdir(parents=True)
    shutil.copytree(good, results / "headless")
    (results / "headless" / "study.json").unlink()
    (results / "cache").mkdir()
    (results / "notes").mkdir()
    outside = synthetic(tmp_path_factory.mktemp("outside") / "secret", **SMALL, num_seeds=2)
    (results / "link").symlink_to(outside)
    return results


@pytest.fixture(scope="module")
def client(serve: Serve, results: Path) -> Client:
    client = serve(results)
    client.all_read()
    return client


def test_every_folder_is_shown_with_its_state_or_the_reason_why_it_cannot_be_read(client: Client) -> None:
    found = client.all_read()

    assert found["good"]["word"] == "finished with failures"
    assert found["good"]["counts"] == "5 done, 1 failed"
    assert (found["good"]["num_ended"], found["good"]["num_trials"]) == (6, 6)
    assert found["damaged"]["state"] == "stopped"
    assert found["damaged"]["damaged"][0].startswith("curves/part-")
    assert "is not JSON" in found["half"]["sentence"]
    assert "is not a study of asyrp-sweep" in found["foreign"]["sentence"]
    assert "Is a directory" in found["blocked"]["sentence"]
    assert "there is no study.json in it" in found["headless"]["sentence"]
    assert "outside the results folder" in found["link"]["sentence"]
    assert client.get("/studies.json").json["others"] == ["notes"]


def test_a_page_holds_what_the_report_does(client: Client, results: Path) -> None:
    frames = load_frames(results / "good")
    page = json.loads(json.dumps(study_page(frames, judge_study(frames), address="sample/{}".format)))

    found = client.get("/study/good/data.json").json

    assert {name: found[name] for name in page} == page


def test_samples_come_by_what_they_hold_and_cannot_act(client: Client) -> None:
    page = client.get("/study/good/data.json").json
    address = page["samples"]["contents"][0]["source"]

    found = client.get(f"/study/good/{address}")

    assert found.body.startswith(b"\x89PNG")
    assert found.headers["content-type"] == "image/png"
    assert "sandbox" in found.headers["content-security-policy"]
    assert "immutable" in found.headers["cache-control"]


def test_a_sample_that_calls_itself_a_page_is_a_file_to_keep(client: Client) -> None:
    content = hashlib.sha256(HOSTILE.encode()).hexdigest()[:32]
    client.get("/study/odd/data.json")

    found = client.get(f"/study/odd/sample/{content}")

    assert found.body == HOSTILE.encode()
    assert found.headers["content-type"] == "application/octet-stream"
    assert found.headers["content-disposition"] == "attachment"
    assert "x-evil" not in found.headers


def test_names_and_logs_arrive_as_texts_that_cannot_lead_astray(client: Client) -> None:
    [study] = [own for own in client.all_read().values() if "onerror" in own["name"]]
    log = client.get("/study/good/log/conv010000000000")

    assert "\u202e" not in study["name"]
    assert "\x1b" not in study["question"]
    assert client.get("/").headers["content-type"].startswith("text/html")
    assert b"onerror" not in client.get("/").body
    assert log.headers["content-type"].startswith("text/plain")
    assert "\x1b" not in log.body.decode()
    assert log.body.decode().endswith("last")


def test_a_study_of_any_name_has_a_page(client: Client) -> None:
    [key] = [key for key, own in client.all_read().items() if "onerror" in own["name"]]
    address = "".join(f"%{byte:02X}" for byte in key.encode())

    assert client.get(f"/study/{address}/").status == 200
    assert client.get(f"/study/{address}/data.json").json["header"]["question"].startswith("</script>")


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd"),
        *(
            "/study/../../etc/passwd",
            "/study/..%2f..%2fetc/",
            "/study/%2e%2e/data.json",
            "/study/cache/data.json",
        ),
        *(
            "/study/good/log/..%2f..%2fstudy.json",
            "/study/good/log/%2e%2e",
            "/study/good/log/x%00",
            "/study//",
        ),
        *("/study/good/sample/..%2f..%2fstudy.json", "/study/good/sample/0", "/study/good/study.json"),
        *("/study/good/ledger/trials/", "/study/nothing/", "/study/nothing/events", "/%00", "/study/%ff%fe/"),
    ],
)
def test_no_path_leads_to_a_file(client: Client, path: str) -> None:
    found = client.get(path)

    assert found.status == 404
    assert b"root:" not in found.body
    assert b"Traceback" not in found.body


def test_a_study_behind_a_link_out_of_the_results_folder_is_not_read(client: Client) -> None:
    assert "outside the results folder" in client.get("/study/link/data.json").json["problem"]
    assert client.get("/study/link/log/conv000000000000").status == 404


def test_a_log_that_is_a_link_out_of_the_results_folder_is_not_read(
    client: Client, results: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("the secret")
    log = results / "good" / "logs" / "pixel00000000000.log"
    log.symlink_to(tmp_path / "secret")

    assert client.get("/study/good/log/pixel00000000000").body == b"This trial has left no log here.\n"
    assert b"the secret" not in client.get("/study/good/data.json").body


def test_what_has_not_changed_is_not_sent_again(client: Client) -> None:
    for path in ("/study/good/data.json", "/static/study.js"):
        tag = client.get(path).headers["etag"]

        assert client.get(path, {"If-None-Match": tag}).status == 304


def test_reading_leaves_the_folder_as_it_is(client: Client, results: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        paths = [path for path in sorted(results.rglob("*")) if not path.is_symlink()]
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}

    before = state()
    for key in client.all_read():
        client.get(f"/study/{key.encode().hex()}/")
        client.get("/study/damaged/data.json")

    assert state() == before


def test_of_a_long_log_only_the_end_is_read(client: Client, results: Path) -> None:
    log = results / "odd" / "logs" / "conv000000000000.log"
    log.parent.mkdir()
    with log.open("w") as file:
        file.truncate(4_000_000_000)  # A hole: it takes no room on the disk.
        file.seek(0, os.SEEK_END)
        file.write("\nthe end\n")

    found = client.get("/study/odd/log/conv000000000000").body

    assert found.endswith(b"the end")
    assert len(found) < 1_000_000


@pytest.mark.parametrize(
    "told",
    [
        {
            "seconds_left": "soon",
            "running": [{"signature": "conv010000000000", "epoch": "x", "loss": {}, "host": 7}],
        },
        {
            "seconds_left": 1e308,
            "running": [{"signature": "conv010000000000", "heard_at": 1e300, "num_epochs": 0}],
        },
        {"host": {"<b>": 1}, "running": [{"signature": None}]},
        {"running": 7},
    ],
)
def test_whatever_a_launch_says_of_itself_every_study_stays_in_sight(
    serve: Serve, tmp_path: Path, synthetic: Callable[..., Path], told: dict[str, Any]
) -> None:
    folder = synthetic(tmp_path / "wild", **SMALL, num_seeds=2, missing={("conv", 1)})
    RunningFile(folder).write(Progress({}))
    content = json.loads((folder / "running.json").read_text())
    (folder / "running.json").write_text(json.dumps({**content, **told}))
    client = serve(tmp_path)

    assert client.all_read()["wild"]["num_trials"] == 6
    assert client.get("/study/wild/now.json").status == 200
    assert client.get("/study/wild/data.json").status == 200
    assert client.get("/metrics").status == 200


# Changes


@pytest.fixture
def growing(tmp_path: Path, synthetic: Callable[..., Path]) -> Path:
    """A results folder with a study of which two trials are still to run."""
    synthetic(tmp_path / "grows", **SMALL, num_seeds=3, missing={("conv", 1), ("conv", 2)})
    return tmp_path


@pytest.fixture
def watched(serve: Serve, growing: Path) -> Iterator[Client]:
    client = serve(growing)
    client.all_read()
    return client


def finish(results: Path, seed: int) -> None:
    """Commit a trial, as a launch does."""
    ledger = Ledger(results / "grows" / "ledger")
    record = next(row for row in ledger.records() if row["cell"] == "encoder=conv")
    signature = f"conv{seed:02d}".ljust(16, "0")
    ledger.write_rows(signature, 1, curves=[], evaluations=[], samples=[])
    ledger.commit({**without_axes(record), "signature": signature, "seed": seed})


def test_a_new_part_is_noticed_and_told(watched: Client, growing: Path) -> None:
    with watched.events("/study/grows/events") as events:
        next(events)
        time.sleep(2.5)  # What is written at once would be seen with what is there.
        finish(growing, 1)
        watched.until("/study/grows/now.json", lambda now: now["summary"]["num_ended"] == 8)
        event = next(event for event in events if event["event"] == "changed")

    assert event["id"] == event["data"]


def all_judged(page: dict[str, Any]) -> bool:
    """Whether the pages of all studies have been prepared, so that the list has their verdicts."""
    return all(study["verdicts"] not in ("", NOT_JUDGED) for study in page["studies"])


def test_a_page_that_comes_again_hears_only_what_it_has_missed(watched: Client, growing: Path) -> None:
    shown = watched.until("/studies.json", all_judged)["sequence"]
    time.sleep(2.5)
    with watched.events(f"/events?since={shown}") as events:
        known = next(events)
    with watched.events("/events", {"Last-Event-ID": known.get("id", shown)}) as events:
        first = next(events)

    assert first["event"] == "alive"


def test_another_server_goes_on_where_this_one_was(watched: Client, growing: Path, serve: Serve) -> None:
    time.sleep(2.5)
    watched.until("/studies.json", all_judged)

    other = serve(growing)

    other.until(
        "/studies.json", lambda page: page["sequence"] == watched.get("/studies.json").json["sequence"]
    )


def test_studies_come_and_go(watched: Client, growing: Path) -> None:
    shutil.copytree(growing / "grows", growing / "new")
    watched.until("/studies.json", lambda page: "new" in {own["key"] for own in page["studies"]})

    shutil.rmtree(growing / "grows")

    watched.until("/studies.json", lambda page: "grows" not in {own["key"] for own in page["studies"]})
    assert watched.get("/study/grows/").status == 404
    assert watched.get("/study/grows/data.json").status == 404


def test_compaction_changes_nothing_that_is_shown(watched: Client, growing: Path) -> None:
    page = watched.get("/study/grows/data.json").json

    compact(growing / "grows" / "ledger", group_size=2)

    time.sleep(1.5)
    assert watched.all_read()["grows"]["num_ended"] == 7
    assert watched.get("/study/grows/data.json").json == page


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_folder_that_is_closed_says_so_until_it_is_opened(watched: Client, growing: Path) -> None:
    (growing / "grows").chmod(0)
    try:
        watched.until("/studies.json", lambda page: "Permission denied" in page["studies"][0]["sentence"])
    finally:
        (growing / "grows").chmod(0o700)
    watched.until("/studies.json", lambda page: page["studies"][0]["state"] == "stopped")


def test_a_results_folder_that_goes_is_told_and_may_come_back(
    watched: Client, growing: Path, tmp_path: Path
) -> None:
    away = growing.with_name("away")
    growing.rename(away)
    watched.until("/studies.json", lambda page: page["problem"] is not None)
    away.rename(growing)

    assert watched.until("/studies.json", lambda page: page["studies"])["problem"] is None


def test_a_search_shows_how_it_goes(tmp_path: Path, synthetic: Callable[..., Path], serve: Serve) -> None:
    folder = synthetic(tmp_path / "search", **SMALL, num_seeds=1, missing={("pixel", 0)})
    document = json.loads((folder / "study.json").read_text())
    design: dict[str, Any] = {"sampler": "tpe", "objectives": ["wall_seconds"]}
    write_study(folder, {**document, "design": "optuna", "design_settings": design})
    assert read_study(folder).is_search
    client = serve(tmp_path)
    client.all_read()

    shown = client.get("/study/search/data.json").json["search_progress"]

    assert len(shown["history"]["values"]) == 2
    assert shown["history"]["best"] == sorted(shown["history"]["best"])
    assert sum(point["is_front"] for point in shown["trade_off"]["points"]) == 1
