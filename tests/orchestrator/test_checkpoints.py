from pathlib import Path

import pytest

from orchestrator.checkpoints import CheckpointStore, DamagedCheckpoint
from orchestrator.ledger.durable import write_atomically


def save(store: CheckpointStore, epoch: int, text: str) -> None:
    def fill(folder: Path) -> None:
        (folder / "weights").write_text(text)
        (folder / "inner").mkdir()
        (folder / "inner" / "more").write_text(text)

    store.save(epoch, fill, {"epoch": epoch})


def test_the_newest_checkpoint_replaces_the_one_before(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "a")
    save(store, 9, "nine")
    save(store, 10, "ten")

    newest = store.newest()

    assert newest is not None
    assert (newest.folder / "weights").read_text() == "ten"
    assert newest.extra == {"epoch": 10}
    assert [path.name for path in store.folder.iterdir()] == ["epoch-00010"]


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
    (store.folder / "epoch-00001" / name).write_text("{")

    with pytest.raises(DamagedCheckpoint, match="epoch-00001 was damaged"):
        store.newest()

    assert store.newest() is None
    assert len(list((tmp_path / "checkpoints" / "damaged").iterdir())) == 1


def test_a_missing_file_sets_the_checkpoint_aside(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "a")
    save(store, 1, "one")
    (store.folder / "epoch-00001" / "weights").unlink()

    with pytest.raises(DamagedCheckpoint):
        store.newest()


def test_a_second_writer_of_the_same_epoch_does_no_harm(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "a")
    save(store, 1, "one")
    save(store, 1, "one")

    newest = store.newest()

    assert newest is not None
    assert [path.name for path in store.folder.iterdir()] == ["epoch-00001"]


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
