"""Results in an object store: one winner, nothing lost, nothing twice, damage set aside; over a real S3 server."""

import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import object_server
import pandas as pd
import polars as pl
import pyarrow.fs as pafs
import pytest
from object_server import Server, needs_server
from searches import launcher, points_of, records_of, states_of

import asyrp_sweep
from orchestrator.cli import parser as cli
from orchestrator.cli.disk_probe import object_store
from orchestrator.execution.models import model_path
from orchestrator.execution.tasks import WorkerSettings
from orchestrator.ledger import Ledger, LedgerError, copies
from orchestrator.ledger import lease as leases
from orchestrator.ledger.copies import SCRATCH, results_folder
from orchestrator.ledger.eviction import LIMIT, make_room
from orchestrator.ledger.index import PartKey
from orchestrator.ledger.lease import Lease
from orchestrator.ledger.objects import Objects, objects_at
from orchestrator.plan.loading import load_space
from orchestrator.search.running import SearchLaunch
from orchestrator.study import holding
from orchestrator.study.holding import Holding
from orchestrator.study.launch import Study, describe, open_study
from orchestrator.study.observing import Outcome
from orchestrator.study.runner import RunOptions, published, run_missing
from orchestrator.study.shards import Shard
from trainables.errors import UserError
from trainables.h_space.layers import Summarise

pytestmark = needs_server
URL = f"s3://{object_server.BUCKET}/results"
SPACE = """
question: Does a head start help?
baseline:
  domain: avatars
  attribute: zombie
  editor: {kind: conv}
  training: {epochs: 2}
axes:
  start:
    values:
      scratch: {}
      warm: {init: {from: {attribute: goblin}, epoch: 1}}
seeds: 1
primary: {metric: loss_total, margin: 0.1}
"""
NUM_TRIALS = 4
CUTS = int(os.environ.get("ASYRP_CUTS", "8"))
"""At how many moments a launch is cut off; 1000 is at every one."""
Command = Callable[..., tuple[int, str, str]]
PASSING = ("started_at", "finished_at", "wall_seconds", "train_seconds", "provenance", "attempt", "notes")


class Broken(Objects):
    """Objects that a test breaks: `limit` writes and no more are what a machine leaves that loses its power."""

    num_writes = 0
    limit = 10**9
    refused = "no key has this in it"

    def _put(self, key: str, content: bytes, mode: Any) -> str:
        self._count(key)
        return super()._put(key, content, mode)

    def delete(self, key: str) -> None:
        self._count(key)
        super().delete(key)

    def _count(self, key: str) -> None:
        self.num_writes += 1
        if self.num_writes > self.limit or self.refused in key:
            raise LedgerError("cut off")


@pytest.fixture
def objects(server: Server) -> Objects:
    return objects_at(URL)


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Broken:
    """A store that takes no time, and that a test can break."""
    from obstore.store import MemoryStore

    objects = Broken(URL, MemoryStore())
    monkeypatch.setenv(SCRATCH, str(tmp_path / "this_machine"))
    monkeypatch.setattr(copies, "objects_at", lambda url: objects)
    return objects


@pytest.fixture
def launch(tmp_path: Path, display: Any) -> Callable[..., Outcome]:
    def run(place: str | Path = URL, trial: str = "FakeTrial") -> Outcome:
        options = RunOptions(inline=True, trial_class=f"fake_trials:{trial}")
        return run_missing(study_at(place, tmp_path), options, display)

    return run


def study_at(place: str | Path, folder: Path) -> Study:
    path = folder / "chain.yaml"
    path.write_text(SPACE)
    study = open_study(load_space(path), results_folder(place))
    study.cache_dir.mkdir(parents=True, exist_ok=True)
    return study


def content(study: Study) -> dict[str, Any]:
    """What a study leaves but when, where and at which attempt."""
    ledger = Ledger(study.ledger_folder)
    records = [
        {name: value for name, value in one.items() if name not in PASSING} for one in ledger.records()
    ]
    signatures = [trial.signature for trial in study.plan.trials]
    return {
        "records": sorted(records, key=lambda one: str(one["signature"])),
        "curves": sorted(
            ledger.table("curves").drop_columns(["attempt"]).to_pylist(),
            key=lambda row: (row["signature"], row["epoch"]),
        ),
        "models": {one: model_path(study.folder, one).read_text() for one in signatures},
        "damaged": ledger.damaged,
    }


def elsewhere(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    """Go on as on another machine, which has no copy."""
    monkeypatch.setenv(SCRATCH, str(folder / name))


@pytest.fixture
def undisturbed(tmp_path: Path, launch: Callable[..., Outcome]) -> dict[str, Any]:
    launch(tmp_path / "folder")
    return content(study_at(tmp_path / "folder", tmp_path))


# The store


def test_of_many_that_create_a_key_one_wins_and_of_many_that_replace_an_object_one(objects: Objects) -> None:
    tag = objects.put("lease", b"free")  # Not what one of them writes: an ETag is the digest of the content.
    won: list[tuple[str, int]] = []
    barrier = threading.Barrier(8)

    def contend(number: int) -> None:
        barrier.wait()
        if objects.create("new", b"%d" % number) is not None:
            won.append(("created", number))
        if objects.swap("lease", b"%d" % number, tag) is not None:
            won.append(("swapped", number))

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(kind for kind, _ in won) == ["created", "swapped"]
    assert {objects.get("new"), objects.get("lease")} == {b"%d" % number for _, number in won}


def test_what_is_there_already_is_no_conflict_where_it_is_the_same(objects: Objects) -> None:
    assert objects.put_new("part", b"rows") is not None
    assert objects.put_new("part", b"rows") is not None
    assert objects.put_new("part", b"others") is None
    assert objects.get("part") == b"rows"


# The lease


def test_a_lease_is_refused_while_it_is_held_and_given_once_it_is_let_go(objects: Objects) -> None:
    with Lease(objects, "study") as held:
        held.check()
        with pytest.raises(LedgerError, match=r"another launch is running this study \(process \d+ on "):
            Lease(objects, "study").__enter__()
    with Lease(objects, "study"):
        pass


def test_a_lease_whose_process_is_dead_or_that_nobody_renewed_is_taken_over(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lease(objects, "study"):
        holder = json.loads(objects.get("study/lease.json"))
        objects.put("study/lease.json", json.dumps({**holder, "process": 2**22 + 1}).encode())
        with Lease(objects, "study"):  # A process of this machine, which has none of that number.
            pass
    objects.put("other/lease.json", json.dumps({**holder, "host": "elsewhere"}).encode())
    with pytest.raises(LedgerError, match=r"on elsewhere.*its lease ends in"):
        Lease(objects, "other").__enter__()
    monkeypatch.setattr(leases, "LIFETIME_SECONDS", -1.0)
    with Lease(objects, "other"):
        pass


def test_who_lost_the_lease_may_record_nothing_and_leaves_it_to_its_holder(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "SAFE_SECONDS", 0.0)
    with Lease(objects, "study") as held:
        held.check()
        objects.put("study/lease.json", b'{"host": "elsewhere"}')
        with pytest.raises(LedgerError, match="another launch has taken this study over"):
            held.check()
    assert objects.get("study/lease.json") == b'{"host": "elsewhere"}'


# Launches


def test_a_launch_cut_off_at_any_write_goes_on_elsewhere_as_if_nothing_had_happened(
    in_memory: Broken,
    launch: Callable[..., Outcome],
    undisturbed: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launch()
    writes = in_memory.num_writes
    for number in range(6, writes, max(1, writes // CUTS)):
        for key in in_memory.list():
            in_memory.delete(key)
        in_memory.num_writes, in_memory.limit = 0, number
        elsewhere(monkeypatch, tmp_path, f"{number}_first")
        with suppress(LedgerError):
            launch()
        assert in_memory.num_writes > number
        in_memory.limit = 10**9
        with monkeypatch.context() as patch:
            patch.setattr(leases, "LIFETIME_SECONDS", -1.0)  # It would come to its end meanwhile.
            elsewhere(monkeypatch, tmp_path, f"{number}_second")
            launch()
        elsewhere(monkeypatch, tmp_path, f"{number}_third")
        assert content(study_at(URL, tmp_path)) == undisturbed, number


def test_a_search_cut_off_at_any_write_goes_on_elsewhere_as_if_nothing_had_happened(
    in_memory: Broken, display: Any, summarise: Summarise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(study: Study, launched: SearchLaunch) -> tuple[Any, ...]:
        trials = sorted((one["signature"], one["attempt"], one["status"]) for one in records_of(study))
        return points_of(launched), states_of(study), trials

    expected = told(*launcher(tmp_path, display, summarise)(trials=4))
    launch = launcher(tmp_path, display, summarise, URL)
    launch(trials=4)
    writes = in_memory.num_writes
    for number in range(8, writes, max(1, writes // CUTS)):
        for key in in_memory.list():
            in_memory.delete(key)
        in_memory.num_writes, in_memory.limit = 0, number
        elsewhere(monkeypatch, tmp_path, f"{number}_first")
        with suppress(LedgerError):
            launch(trials=4)
        assert in_memory.num_writes > number
        in_memory.limit = 10**9
        with monkeypatch.context() as patch:
            patch.setattr(leases, "LIFETIME_SECONDS", -1.0)
            elsewhere(monkeypatch, tmp_path, f"{number}_second")
            launch(trials=4)
        elsewhere(monkeypatch, tmp_path, f"{number}_third")
        assert told(*launch(trials=4)) == expected, number


def test_what_the_store_refused_to_record_is_recorded_nowhere(
    in_memory: Broken, launch: Callable[..., Outcome], tmp_path: Path
) -> None:
    in_memory.refused = "/trials/"

    with pytest.raises(LedgerError, match="cut off"):
        launch()

    records = tmp_path / "this_machine/working/s3/bucket/results/chain/ledger/trials"
    assert [path for path in records.iterdir() if not path.name.startswith(".")] == []


def test_a_record_that_another_launch_put_there_stays_and_ends_this_one(
    in_memory: Broken, launch: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = study_at(URL, tmp_path).plan.trials[0].signature
    key = f"chain/ledger/trials/part-{first}-1.parquet"
    monkeypatch.setattr(
        copies.Copy, "push_rows", lambda copy, study, part: in_memory.put(key, b"of another launch")
    )

    with pytest.raises(LedgerError, match="is there already, written by another launch"):
        launch()

    assert in_memory.get(key) == b"of another launch"


def test_of_a_group_of_records_only_that_of_another_launch_is_refused(in_memory: Broken) -> None:
    copy = copies.working_copy(URL)
    keys = [PartKey(name, 1) for name in "abc"]
    trials = copy.root / "chain" / "ledger" / "trials"

    with copy.launching("chain", "running.json"):
        trials.mkdir(parents=True)
        for key in keys:
            (trials / key.file_name).write_text("ours")
        in_memory.put(f"chain/ledger/trials/{keys[1].file_name}", b"another's")
        with pytest.raises(LedgerError, match="is there already, written by another launch"):
            copy.commit("chain", keys)
        left = sorted(path.name for path in trials.iterdir())

    assert left == [keys[0].file_name, keys[2].file_name]
    stored = [in_memory.get(f"chain/ledger/trials/{key.file_name}") for key in keys]
    assert stored == [b"ours", b"another's", b"ours"]


def test_a_trial_goes_on_elsewhere_from_its_last_epoch(
    in_memory: Broken,
    launch: Callable[..., Outcome],
    undisturbed: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_memory.refused = "/curves/"
    with pytest.raises(LedgerError):
        launch()
    in_memory.refused = "no key has this in it"
    elsewhere(monkeypatch, tmp_path, "another_machine")

    launch()

    study = study_at(URL, tmp_path)
    assert content(study) == undisturbed
    notes = [note for record in Ledger(study.ledger_folder).records() for note in record["notes"]]
    assert notes == ["resumed after epoch 2"]


def test_damage_in_the_store_is_set_aside_and_that_of_this_machine_is_put_right(
    in_memory: Broken, launch: Callable[..., Outcome], undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    launch()
    (damaged, *_), (own, *_) = (
        sorted(key for key in in_memory.list() if f"/{table}/part" in key) for table in ("curves", "trials")
    )
    on_disk = tmp_path / "this_machine/working/s3/bucket/results" / own
    before = on_disk.stat()
    on_disk.write_bytes(on_disk.read_bytes()[::-1])
    os.utime(on_disk, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert launch().num_run == 0
    broken = in_memory.get(damaged)[::-1]
    in_memory.put(damaged, broken)

    assert launch().num_run == 1

    assert content(study_at(URL, tmp_path)) == undisturbed
    assert in_memory.get(damaged.replace("/curves/", "/damaged/curves/")) == broken
    assert damaged not in in_memory.list()


# Other machines


def test_trials_on_another_machine_are_as_those_of_the_launch(
    in_memory: Broken,
    launch: Callable[..., Outcome],
    undisturbed: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = WorkerSettings.here

    def on_a_node(settings: WorkerSettings) -> WorkerSettings:
        with monkeypatch.context() as patch:
            patch.setenv(SCRATCH, str(tmp_path / "node"))
            return here(settings)

    monkeypatch.setattr(WorkerSettings, "here", on_a_node)

    assert launch().num_run == NUM_TRIALS

    assert content(study_at(URL, tmp_path)) == undisturbed


def test_what_one_machine_prepares_another_fetches_once_and_whole(in_memory: Broken, tmp_path: Path) -> None:
    first, second = (copies.Copy(tmp_path / name, in_memory, is_working=True) for name in ("one", "two"))
    with first.preparing():
        for name in ("images/a", "images/b", ".a.tmp"):
            file = tmp_path / "one/cache" / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(name)
    (of_b,) = (key for key in in_memory.list() if "images/b" in key)
    in_memory.put(of_b, b"damaged")

    second.fetch_cache()

    assert (tmp_path / "two/cache/images/a").read_text() == "images/a"
    assert not (tmp_path / "two/cache/images/b").exists()
    assert len(in_memory.list()) == 2
    (tmp_path / "two/cache/images/b").write_text("images/b")  # It was prepared here instead.
    in_memory.refused = "cache"
    with second.preparing():  # Neither is fetched again, nor put.
        pass


def test_what_made_room_for_other_copies_is_fetched_again_and_nothing_runs_twice(
    in_memory: Broken, launch: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies._opened.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(copies, "hold", lambda root: None)  # As of a process that has ended since.
        assert launch().num_run == NUM_TRIALS
    before = content(study := study_at(URL, tmp_path))
    monkeypatch.setenv(LIMIT, "0")

    make_room()

    assert not study.ledger_folder.exists()
    assert launch().num_run == 0
    assert content(study) == before


def test_a_trial_that_another_study_in_the_store_has_done_is_taken_over_on_a_new_machine(
    in_memory: Broken,
    launch: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    display: Any,
) -> None:
    launch()
    elsewhere(monkeypatch, tmp_path, "another_machine")
    path = tmp_path / "other.yaml"
    path.write_text(SPACE)

    study = open_study(load_space(path), results_folder(URL))
    outcome = run_missing(study, RunOptions(inline=True, trial_class="fake_trials:FakeTrial"), display)

    assert (outcome.num_run, len(Ledger(study.ledger_folder).records())) == (0, NUM_TRIALS)


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


# Shards


def shard_of(number: int, folder: Path, count: int = 2) -> Study:
    shard = Shard(number, count)
    (folder / "chain.yaml").write_text(SPACE.replace("seeds: 1", "seeds: 2"))
    study = open_study(load_space(folder / "chain.yaml"), results_folder(URL, shard.name))
    study.cache_dir.mkdir(parents=True, exist_ok=True)
    return replace(study, shard=shard)


def test_shards_at_work_at_once_in_a_store_leave_what_one_launch_on_a_folder_leaves(
    in_memory: Broken, display: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = RunOptions(inline=True, trial_class="fake_trials:FakeTrial")
    monkeypatch.setattr(holding, "PROBE_SECONDS", 0.1)
    first, second = shard_of(1, tmp_path), shard_of(2, tmp_path)
    with Holding(first) as held, published(first) as publish:
        describe(first)
        publish()
        held.begun()
        run_missing(second, options, display)
        for study, message in [
            (first, "shard 1/2: another"),
            (shard_of(1, tmp_path, 3), "being run in 2 shards"),
        ]:
            with pytest.raises(LedgerError, match=message):
                run_missing(study, options, display)
        with pytest.raises(LedgerError, match="shard 1/2: another launch is running this study"):
            run_missing(study_at(URL, tmp_path), options, display)
    before = Ledger(second.ledger_folder).records()
    assert 0 < len(before) < 2 * NUM_TRIALS
    elsewhere(monkeypatch, tmp_path, "another_machine")
    run_missing(shard_of(1, tmp_path), options, display)

    folder = tmp_path / "folder"
    whole = replace(shard_of(1, tmp_path), folder=folder / "chain", shard=None)
    whole.cache_dir.mkdir(parents=True, exist_ok=True)
    run_missing(whole, options, display)
    found = shard_of(2, tmp_path)
    assert content(found) == content(whole)
    assert [one["attempt"] for one in Ledger(found.ledger_folder).records()] == [1] * len(found.plan.trials)
    assert not [key for key in in_memory.list() if "running" in key]
    assert run_missing(shard_of(2, tmp_path), options, display).num_run == 0
