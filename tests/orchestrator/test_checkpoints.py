"""Checkpoints are whole, verified, and cost what an epoch brings."""

import json
from pathlib import Path

import pytest

from orchestrator.execution import checkpoints
from orchestrator.execution.checkpoints import Checkpoint, CheckpointStore, DamagedCheckpoint
from orchestrator.ledger.durable import write_atomically


def save(store: CheckpointStore, epoch: int, text: str) -> None:
    def fill(folder: Path) -> None:
        (folder / "weights").write_text(text)
        (folder / "inner").mkdir()
        (folder / "inner" / "more").write_text(text)

    store.claim()
    store.save(epoch, fill, {"epoch": epoch})


def names(store: CheckpointStore, pattern: str) -> set[str]:
    """Names without the mark of their worker."""
    return {"-".join(path.name.split("-")[:2]) for path in store.folder.glob(pattern)}


def test_the_newest_checkpoint_replaces_the_one_before(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "a")
    save(store, 9, "nine")
    save(store, 10, "ten")

    newest = store.newest()

    assert newest is not None
    assert (newest.folder / "weights").read_text() == "ten"
    assert newest.extra == {"epoch": 10}
    assert names(store, "epoch-*") == {"epoch-00010"}


def test_a_write_cut_short_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "a")
    save(store, 1, "one")

    def cut_short(folder: Path) -> None:
        (folder / "weights").write_text("tw")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.save(2, cut_short, {})

    newest = store.newest()
    assert newest is not None
    assert (newest.folder / "weights").read_text() == "one"


@pytest.mark.parametrize("name", ["weights", "inner/more", "manifest.json"])
def test_a_changed_file_sets_the_checkpoint_aside(tmp_path: Path, name: str) -> None:
    store = CheckpointStore(tmp_path, "a")
    save(store, 1, "one")
    (path,) = store.folder.glob(f"epoch-00001-*/{name}")
    path.write_text("{")

    with pytest.raises(DamagedCheckpoint, match=r"epoch-00001-.* was damaged"):
        store.newest()

    assert store.newest() is None
    assert len(list((tmp_path / "checkpoints" / "damaged").iterdir())) == 1


def test_a_missing_file_sets_the_checkpoint_aside(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "a")
    save(store, 1, "one")
    (path,) = store.folder.glob("epoch-00001-*/weights")
    path.unlink()

    with pytest.raises(DamagedCheckpoint):
        store.newest()


def test_a_second_writer_of_the_same_epoch_does_no_harm(tmp_path: Path) -> None:
    for _ in range(2):
        store = CheckpointStore(tmp_path, "a")
        save(store, 1, "one")

    newest = store.newest()

    assert newest is not None
    assert len(list(store.folder.iterdir())) == 3  # its claim, its rows and its one checkpoint


def test_a_checkpoint_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "a")
    folder = store.folder / "epoch-00003"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"epoch": 3, "files": {}, "extra": {"x": 1}}))

    assert store.newest() == Checkpoint(folder, {"x": 1}, 3)


# What an epoch costs


def test_an_epoch_writes_and_hashes_its_own_rows_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CheckpointStore(tmp_path, "a")
    store.claim()
    asked: list[int] = []
    hashed: list[int] = []
    digest_of = checkpoints._sha256
    monkeypatch.setattr(
        checkpoints, "_sha256", lambda path: hashed.append(path.stat().st_size) or digest_of(path)
    )
    costs = []
    for epoch in range(1, 41):

        def rows_after(after: int, epoch: int = epoch) -> list[dict[str, int]]:
            asked.append(after)
            return [
                {"epoch": number, "row": row} for number in range(after + 1, epoch + 1) for row in range(9)
            ]

        hashed.clear()
        before = rows_file(store)
        store.save(
            epoch, lambda folder: (folder / "weights").write_bytes(bytes(100)) and None, {}, rows_after
        )
        after = rows_file(store)
        assert after[0].startswith(before[0])
        assert before[1] in (0, after[1])  # appended to, not written anew
        (state,) = store.folder.glob("epoch-*")
        num_bytes = sum(path.stat().st_size for path in state.iterdir())
        costs.append(num_bytes + len(after[0]) - len(before[0]) + sum(hashed))

    assert asked == list(range(40))
    assert max(costs[9:]) - min(costs[9:]) < 10  # a digit or two more in a count
    newest = store.newest()
    assert newest is not None
    assert len(newest.rows) == 40 * 9


def rows_file(store: CheckpointStore) -> tuple[bytes, int]:
    """What the file of rows holds, and which one it is."""
    found = list(store.folder.glob("rows-*"))
    return (found[0].read_bytes(), found[0].stat().st_ino) if found else (b"", 0)


def test_rows_of_a_write_cut_short_do_not_count_twice(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "a")
    save(store, 1, "one")
    with (next(store.folder.glob("rows-*"))).open("ab") as file:
        file.write(b'{"epoch": 2, "half')

    store.save(2, lambda folder: None, {}, lambda after: [{"epoch": after + 1}])

    newest = store.newest()
    assert newest is not None
    assert newest.rows == [{"epoch": 2}]


def test_rows_that_changed_set_the_checkpoint_aside(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "a")
    store.claim()
    store.save(1, lambda folder: None, {}, lambda after: [{"epoch": 1}])
    (rows,) = store.folder.glob("rows-*")
    rows.write_text('{"epoch": 3}\n')

    with pytest.raises(DamagedCheckpoint, match=r"rows-.* is not what was written"):
        store.newest()


def test_rows_dropped_to_keep_the_quota_are_written_once_more(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "a")
    store.claim()
    for epoch in (1, 2):
        store.save(
            epoch,
            lambda folder: None,
            {},
            lambda after, epoch=epoch: [{"epoch": number} for number in range(after + 1, epoch + 1)],
        )
        if epoch == 1:
            CheckpointStore(tmp_path, "a").drop()

    newest = store.newest()
    assert newest is not None
    assert newest.rows == [{"epoch": 1}, {"epoch": 2}]


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path, "a").newest() is None


def test_a_file_written_atomically_is_whole_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "editors" / "a.safetensors"

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, fail)
    assert list(target.parent.iterdir()) == []

    write_atomically(target, lambda path: path.touch())
    assert [path.name for path in target.parent.iterdir()] == ["a.safetensors"]
