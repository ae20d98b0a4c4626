"""Several machines work on one study in an object store: nodes, copies on other disks, and shards."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from object_server import needs_server
from store_studies import NUM_TRIALS, SPACE, URL, Broken, content, elsewhere, study_at

from orchestrator.execution.tasks import WorkerSettings
from orchestrator.ledger import Ledger, LedgerError, copies
from orchestrator.ledger.copies import SCRATCH, results_folder
from orchestrator.ledger.eviction import LIMIT, make_room
from orchestrator.plan.loading import load_space
from orchestrator.study import holding
from orchestrator.study.holding import Holding
from orchestrator.study.launch import Study, describe, open_study
from orchestrator.study.observing import Outcome
from orchestrator.study.runner import RunOptions, published, run_missing
from orchestrator.study.shards import Shard

pytestmark = needs_server


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
