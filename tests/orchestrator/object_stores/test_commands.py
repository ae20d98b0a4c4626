"""Commands on a real S3 server: which stores and places they refuse, and how they read a study by its URL."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import object_server
import pandas as pd
import polars as pl
import pyarrow.fs as pafs
import pytest
from object_server import Server, needs_server
from store_studies import NUM_TRIALS, SPACE, URL, content, elsewhere, study_at

import asyrp_sweep
from orchestrator.cli import parser as cli
from orchestrator.cli.disk_probe import object_store
from orchestrator.ledger import Ledger
from orchestrator.ledger.lease import Lease
from orchestrator.ledger.objects import Objects, objects_at
from orchestrator.study.observing import Outcome
from trainables.errors import UserError

pytestmark = needs_server
Command = Callable[..., tuple[int, str, str]]


# The command


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    path = tmp_path / "chain.yaml"
    path.write_text(SPACE)

    def run(name: str, *arguments: str) -> tuple[int, str, str]:
        code = cli.main([name, *arguments])
        return code, *capsys.readouterr()

    return run


RUN = ("--no-price", "--inline", "--yes", "--results")


def test_two_launches_at_once_one_is_refused(
    server: Server, objects: Objects, command: Command, tmp_path: Path
) -> None:
    with Lease(objects, "chain"):
        before = objects.list()
        code, _, err = command("run", str(tmp_path / "chain.yaml"), *RUN, URL)
        assert objects.list() == before

    assert code == 2
    assert "another launch is running this study" in err


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (object_server.drop_conditions, "this store ignores the conditions of a write"),
        (object_server.refuse_writes, "cannot be written: the store refuses (AccessDenied)"),
    ],
)
def test_a_store_that_cannot_be_relied_on_is_refused_and_nothing_is_left_there(
    server: Server, command: Command, tmp_path: Path, answer: Any, expected: str
) -> None:
    server.answer = answer

    code, out, err = command("run", str(tmp_path / "chain.yaml"), *RUN, URL)

    assert (code, err.count("\n")) == (2, 1)
    assert expected in err
    assert "do-not-print-me" not in out + err
    assert objects_at(URL).list() == {}


@pytest.mark.parametrize(
    ("name", "url", "without", "expected"),
    [
        ("run", "s3://no-such-bucket/x", "", "there is no such bucket; create it"),
        ("status", "s3://no-such-bucket/x", "", "there is no such bucket; create it"),
        ("run", URL, "AWS_SECRET_ACCESS_KEY", "no credentials: AWS_SECRET_ACCESS_KEY is not set"),
        ("plan", "s4://bucket/x", "", "expected s3://, gs:// or abfs://; found 's4://'"),
        ("plan", "s3://who:do-not-print-me@bucket/x", "", "no credentials; set AWS_ACCESS_KEY_ID and AWS_"),
        ("status", "s3://bucket/a/../b", "", "expected s3://BUCKET/PATH"),
    ],
)
def test_a_place_that_cannot_be_used_is_one_line(
    server: Server,
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    url: str,
    without: str,
    expected: str,
) -> None:
    if without:
        monkeypatch.delenv(without)
    options = {"run": RUN, "plan": ("--no-price", "--results")}.get(name, ("--results",))

    code, out, err = command(name, str(tmp_path / "chain.yaml"), *options, url)

    assert (code, err.count("\n")) == (2, 1), err
    assert expected in err
    assert "do-not-print-me" not in out + err


def test_doctor_tries_the_store(server: Server) -> None:
    assert object_store(URL).level == "ok"
    server.answer = object_server.drop_conditions
    assert object_store(URL).level == "FIX"


def test_a_study_in_a_store_is_that_of_a_folder_and_everything_reads_its_url(
    server: Server,
    launch: Callable[..., Outcome],
    undisturbed: dict[str, Any],
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert launch().num_run == NUM_TRIALS

    assert content(study_at(URL, tmp_path)) == undisturbed
    elsewhere(monkeypatch, tmp_path, "another_machine")
    assert content(study_at(URL, tmp_path)) == undisturbed
    assert launch().num_run == 0
    left = [key.rpartition("/")[2] for key in objects_at(URL).list()]
    assert not [name for name in left if name.startswith((".", "epoch", "claim")) or name == "running.json"]

    code, out, err = command("status", "--json", "--results", URL)
    assert (code, err, json.loads(out)[0]["name"]) == (0, "", "chain")
    code, out, err = command("plan", str(tmp_path / "chain.yaml"), "--json", "--no-price", "--results", URL)
    assert (code, json.loads(out)["num_missing"]) == (0, 0)
    code, out, err = command("report", "chain", "--results", URL)
    assert (code, err) == (0, "")
    assert f"{URL}/chain/report/report.html" in out
    assert "chain/report/report.html" in objects_at(URL).list()

    endpoint, place = server.environment["AWS_ENDPOINT_URL"], f"{URL.removeprefix('s3://')}/chain/ledger"
    arrow = pafs.S3FileSystem(endpoint_override=endpoint)
    by_pandas = pd.read_parquet(f"{place}/trials", filesystem=arrow)
    by_polars = pl.read_parquet(
        f"s3://{place}/trials/*.parquet", storage_options={"aws_endpoint_url": endpoint}
    )
    by_ledger = Ledger(place, arrow).records()
    read = [asyrp_sweep.open_study(f"{URL}/chain"), asyrp_sweep.open_study("chain", results=URL)]
    in_python = [len(study.trials) for study in read]
    assert {len(by_pandas), len(by_polars), len(by_ledger), *in_python} == {NUM_TRIALS}
    with pytest.raises(UserError, match="holds no study chian; did you mean chain"):
        asyrp_sweep.open_study(f"{URL}/chian")
