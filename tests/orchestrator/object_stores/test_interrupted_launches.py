"""A launch in an object store that is cut off or refused, or that meets damage, loses nothing."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from object_server import needs_server
from searches import launcher, points_of, records_of, states_of
from store_studies import URL, Broken, content, elsewhere, study_at

from orchestrator.ledger import Ledger, LedgerError, copies
from orchestrator.ledger import lease as leases
from orchestrator.ledger.index import PartKey
from orchestrator.search.running import SearchLaunch
from orchestrator.study.launch import Study
from orchestrator.study.observing import Outcome
from trainables.h_space.layers import Summarise

pytestmark = needs_server
CUTS = int(os.environ.get("ASYRP_CUTS", "8"))
"""At how many moments a launch is cut off; 1000 is at every one."""


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
