"""An export to any program: written once or twice, what it refuses, its file names and its curves."""

import hashlib
from pathlib import Path

import pytest
from export_studies import SMALL, UGLY, Study, card

from analysis.export import TARGETS, export, find_target
from analysis.export._base import replacing
from analysis.export._trials import StudyTrials, file_names
from orchestrator.ledger import LedgerError
from trainables.errors import UserError
from trainables.names import wrong_name


def tree_of(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("target", ["tensorboard", "hf"])
def test_exported_twice_a_study_is_the_same(make_study: Study, target: str, tmp_path: Path) -> None:
    folder, out = make_study(**SMALL, failed={("conv", 1)}, missing={("conv", 2)}), tmp_path / "out"

    export(folder, target, out)
    first = tree_of(out)
    export(folder, target, out)

    assert tree_of(out) == first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []


@pytest.mark.parametrize("target", ["tensorboard", "hf"])
def test_an_export_changes_no_byte_of_the_study(make_study: Study, target: str, tmp_path: Path) -> None:
    folder = make_study(**SMALL)
    before = tree_of(folder)

    export(folder, target, tmp_path / "out")

    assert tree_of(folder) == before


@pytest.mark.parametrize("target", ["tensorboard", "hf"])
def test_a_study_that_has_not_run_is_exported(make_study: Study, target: str, tmp_path: Path) -> None:
    lines = export(make_study(**SMALL, is_empty=True), target, tmp_path / "out")

    assert any("0 of 6 trials are done (6 missing)" in line for line in [*lines, card(tmp_path / "out")])


@pytest.mark.parametrize("target", ["hf", "evidence"])
def test_a_place_that_cannot_be_written_is_named_as_the_user_did(
    make_study: Study, tmp_path: Path, target: str
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UserError, match=r"file/out cannot be written: .*; name another place"):
        export(make_study(**SMALL), target, tmp_path / "file" / "out")


def test_a_folder_with_other_files_is_left_alone(make_study: Study, tmp_path: Path) -> None:
    folder, out = make_study(**SMALL), tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")

    with pytest.raises(UserError, match=r"out holds other files, which are left alone; name another folder"):
        export(folder, "hf", out)
    (out / "thesis.tex").unlink()
    export(folder, "hf", out)
    with pytest.raises(UserError, match=r"holds another export \(hf, encoder\)"):
        export(folder, "tensorboard", out)
    with pytest.raises(UserError, match="is a file"):
        export(folder, "hf", folder / "study.json")


def test_an_export_that_fails_leaves_the_earlier_one(tmp_path: Path) -> None:
    place, mark = tmp_path / "out", {"exported to": "x"}
    with replacing(place, mark) as filled:
        (filled / "a").write_text("first")

    def fail() -> None:
        with replacing(place, mark) as filled:
            (filled / "a").write_text("second")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert (place / "a").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_cannot_be_exported_to_says_why(
    make_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="found 'tensorbord'; did you mean tensorboard"):
        find_target("tensorbord")
    with pytest.raises(LedgerError, match="holds no study"):
        export(tmp_path, "hf", tmp_path / "out")
    for name, target in TARGETS.items():
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        if target.packages:
            with pytest.raises(UserError, match=f"{name} needs .*; install with: pip install "):
                find_target(name)


def test_names_of_files_are_possible_and_apart() -> None:
    names = [*UGLY, "", ".", "..", "x" * 300, "é" * 300, "A", "a", "nul.txt", "-rf", "tail. ", "[1]"]

    found = file_names(names)

    assert [wrong_name(name) for name in found.values()] == [""] * len(names)
    assert len({name.casefold() for name in found.values()}) == len(names)
    assert file_names(["rate=0.01,heads=4"]) == {"rate=0.01,heads=4": "rate=0.01,heads=4"}


def test_curves_are_told_by_row_and_by_epoch(make_study: Study) -> None:
    trial = next(StudyTrials(make_study(**SMALL)).trials())

    rows, means = dict(trial.curves()), dict(trial.epoch_means())

    assert list(rows) == list(means) == ["loss_direction", "loss_total", "loss_recon", "learning_rate"]
    assert [point.step for point in rows["loss_total"]] == [8 * step for step in range(1, 9)]
    assert [point.step for point in means["loss_total"]] == [1, 2]
    values = [point.value for point in rows["loss_total"][:4]]
    assert means["loss_total"][0].value == pytest.approx(sum(values) / 4)
