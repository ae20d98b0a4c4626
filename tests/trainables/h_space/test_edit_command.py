"""`asyrp-sweep edit` and `interval`, on editors that were built but never trained."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.cli import parser as cli
from orchestrator.ledger import Ledger
from orchestrator.plan.cells import TrialSpec
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import Study, describe, open_study
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import domain_summary, loading
from trainables.h_space.editing_interval import NUM_IMAGES, NUM_STEPS
from trainables.h_space.editor_file import save_editor
from trainables.h_space.timesteps import training_timesteps
from trainables.randomness import generator_for

SPACE = """
question: Which attribute?
baseline:
  domain: avatars
  attribute: smiling
  editor: {kind: conv}
  training: {num_train_steps: 4, t_edit: 400}
axes:
  attribute: {path: attribute, values: [smiling, goblin]}
seeds: 2
primary: {metric: counterfactual_gain, margin: 0.1}
"""
GAINS = {("smiling", 0): 0.3, ("goblin", 0): -0.2, ("smiling", 1): 0.0, ("goblin", 1): 0.1}
Command = Callable[..., tuple[int, str, str]]


def write_editor(path: Path, config: CellConfig, seed: int, fingerprint: str) -> None:
    shape = domain_summary("avatars").shape
    trained = tuple(
        t for t, _ in training_timesteps(config.training.num_train_steps, config.training.lowest_t, 999)
    )
    editor = config.editor.build(shape, generator_for(seed, "init"), trained)
    save_editor(path, editor, config, shape, trained, {"domain_fingerprint": fingerprint})


def commit(study: Study, trial: TrialSpec, gain: float) -> None:
    now = datetime.now(UTC)
    record = {
        "signature": trial.signature, "attempt": 1, "cell": trial.cell, "seed": trial.seed, "status": "done",
        "reason": None, "axis_values": {}, "config": trial.config.model_dump(mode="json"), "parent": None,
        "started_at": now, "finished_at": now, "notes": [], "metric_counterfactual_gain": gain,
    }  # fmt: skip
    ledger = Ledger(study.ledger_folder)
    ledger.write_rows(trial.signature, 1, curves=[], evaluations=[], samples=[])
    ledger.commit(record)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two attributes and two seeds, all done."""
    folder = tmp_path_factory.mktemp("editing")
    (folder / "which.yaml").write_text(SPACE)
    study = open_study(load_space(folder / "which.yaml"), folder / "results")
    describe(study)
    for trial in study.plan.trials:
        path = study.folder / "editors" / f"{trial.signature}.safetensors"
        write_editor(path, trial.config, trial.seed, domain_summary("avatars").fingerprint)
        commit(study, trial, GAINS[trial.config.attribute, trial.seed])
    return study


@pytest.fixture
def signature(study: Study) -> Callable[[str, int], str]:
    found = {(trial.config.attribute, trial.seed): trial.signature for trial in study.plan.trials}
    return lambda attribute, seed: found[attribute, seed]


@pytest.fixture
def command(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Run a command in a folder of its own, with the results of the study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main([*arguments, "--results", str(study.folder.parent)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def pixels(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_a_picture_becomes_a_strip_and_its_single_pictures(
    command: Command, signature: Callable[[str, int], str]
) -> None:
    Image.new("RGB", (80, 60), "orange").save("photo.png")

    how = ("--editor", signature("smiling", 0), "--strength", "-1:1:3", "--animate")
    code, out, _ = command("edit", "photo.png", *how)

    assert code == 0
    assert "photo.png: 80 x 60, cut to its square centre and resized to 32 x 32" in out
    assert "edits/photo.png" in out
    written = {path.name: pixels(path).shape for path in Path("edits/photo").iterdir()}
    assert written == dict.fromkeys(
        ("original.png", "reconstruction.png", "strength_-1.png", "strength_+0.png", "strength_+1.png"),
        (32, 32, 3),
    )
    assert pixels(Path("edits/photo.png")).shape[1] > 5 * 192
    assert np.array_equal(
        pixels(Path("edits/photo/strength_+0.png")), pixels(Path("edits/photo/reconstruction.png"))
    )
    assert not np.array_equal(
        pixels(Path("edits/photo/strength_+1.png")), pixels(Path("edits/photo/strength_-1.png"))
    )

    with Image.open("edits/photo.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 4  # as many as timesteps
        animation.seek(3)
        last = np.asarray(animation.convert("RGB")).astype(float)
    tiles = [pixels(Path(f"edits/photo/{name}.png")) for name in ("reconstruction", "strength_-1")]
    for place, tile in enumerate(tiles):
        shown = last[:192, 192 * place : 192 * (place + 1)]
        assert np.abs(shown - tile.repeat(6, axis=0).repeat(6, axis=1)).mean() < 3  # a palette of 256 colours


def test_a_face_of_the_domain_comes_with_its_true_edit(
    command: Command, signature: Callable[[str, int], str]
) -> None:
    code, _, _ = command("edit", "avatar-7", "--editor", signature("goblin", 0)[:8], "--out", "there")

    assert code == 0
    assert {path.name for path in Path("there/avatar-7").iterdir()} == {
        "original.png", "reconstruction.png", "strength_+1.png", "true_edit.png"
    }  # fmt: skip


def test_several_editors_act_together(command: Command, signature: Callable[[str, int], str]) -> None:
    once = ("edit", "avatar-7", "--editor", signature("smiling", 0))
    half = ("--editor", signature("smiling", 0), "--coefficients", "0.5,0.5")

    command(*once, "--out", "once")
    command(*once, *half, "--out", "halves", "--window", "narrowest")
    command(*once, "--editor", signature("goblin", 1), "--out", "both")

    one, two, both = (pixels(Path(f"{out}/avatar-7/strength_+1.png")) for out in ("once", "halves", "both"))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, both)


def test_the_best_of_a_study_is_by_its_primary_metric(
    command: Command, signature: Callable[[str, int], str]
) -> None:
    edit = ("edit", "avatar-7", "--editor", "best", "--study", "which")

    _, best, problem = command("edit", "avatar-7", "--editor", "best")  # The only study needs no name.
    assert problem == ""
    _, of_goblins, _ = command(*edit, "--attribute", "goblin")

    assert (
        f"counterfactual_gain 0.300 (highest of 4 trials): baseline, seed 0, editor {signature('smiling', 0)}"
        in best
    )
    assert (
        f"0.100 (highest of 2 trials): attribute=goblin, seed 1, editor {signature('goblin', 1)}"
        in of_goblins
    )


def test_the_best_of_several_studies_asks_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit = ["edit", "avatar-7", "--editor", "best", "--results", str(tmp_path)]

    codes = [cli.main(edit)]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.json").write_text("{}")
        codes.append(cli.main([*edit, "--study", "absent"]) if name == "one" else cli.main(edit))

    assert codes == [2, 2, 2]
    problems = capsys.readouterr().err
    assert "there is no study in" in problems
    assert "say of which study: --study one or two" in problems


def test_a_folder_and_a_pattern_stand_for_their_pictures(
    command: Command, signature: Callable[[str, int], str]
) -> None:
    Path("album").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (32, 32), "orange").save(f"album/{name}")
    Path("album/notes.txt").touch()
    edit = ("edit", "--editor", signature("smiling", 0), "--steps", "3")

    _, of_folder, _ = command(*edit, "album", "--out", "one")
    command(*edit, "album/[b]*.png", "--out", "two")

    assert "album: 2 pictures; left out: 1 of other kinds (notes.txt)" in of_folder
    assert sorted(path.name for path in Path("one").glob("*.png")) == ["a.png", "b.png"]
    assert sorted(path.name for path in Path("two").glob("*.png")) == ["b.png"]


def test_held_out_and_generated_faces(command: Command, signature: Callable[[str, int], str]) -> None:
    edit = ("edit", "--editor", signature("smiling", 0), "--steps", "3", "--boost", "500")

    first, _, _ = command(*edit, "--faces", "1", "--generate", "2", "--seed", "4", "--out", "one")
    command(*edit, "--generate", "1", "--seed", "4", "--out", "two")

    assert first == 0
    names = {path.name for path in Path("one").iterdir() if path.is_dir()}
    assert {"generated-4-1", "generated-4-2"} < names
    assert len(names) == 3
    same = [pixels(Path(f"{out}/generated-4-1/strength_+1.png")) for out in ("one", "two")]
    assert np.array_equal(*same)


def test_an_edit_loads_neither_clip_nor_what_measures(
    command: Command, signature: Callable[[str, int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("an edit does not need it")

    for name in ("_load_clip", "_judge", "_segmenter"):
        monkeypatch.setattr(loading, name, refuse)
    loading.load_picture_model.cache_clear()

    code, _, err = command("edit", "--editor", signature("smiling", 0), "--generate", "1", "--steps", "3")

    assert (code, err) == (0, "")


def test_equal_names_do_not_overwrite_each_other(
    command: Command, signature: Callable[[str, int], str]
) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Image.new("RGB", (32, 32), "orange").save(f"{folder}/photo.png")

    command("edit", "a/photo.png", "b/photo.png", "--editor", signature("smiling", 0))

    assert sorted(path.name for path in Path("edits").glob("*.png")) == ["photo-2.png", "photo.png"]


def test_an_editor_of_other_models_is_applied_with_a_warning(command: Command, study: Study) -> None:
    write_editor(Path("old.safetensors"), study.plan.trials[0].config, 0, fingerprint="0" * 16)

    code, out, _ = command("edit", "avatar-7", "--editor", "old.safetensors")

    assert code == 0
    assert "note: old was trained with other models or images of avatars" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("avatar-7", "--editor", "nothing"), "no trained editor of that id"),
        (("avatar-7", "--editor", "nothing.safetensors"), "there is no such file"),
        (("avatar-7", "--editor", ""), "ids of several editors begin like that"),
        (("avatar-7", "--editor", "best", "--study", "wich"), "holds no study"),
        (
            ("avatar-7", "--editor", "best", "--study", "which", "--attribute", "sad"),
            "no finished trial for sad",
        ),
        (
            ("missing.jpg", "--editor", "GOOD"),
            "'missing.jpg' is neither a picture file nor the id of an image",
        ),
        (("text.png", "--editor", "GOOD"), "text.png cannot be read as a picture"),
        (("https://example.org/a.png", "--editor", "GOOD"), "is no file: save the picture as a file"),
        (("*.webp", "--editor", "GOOD"), "'*.webp' fits no file"),
        ((".", "--editor", "GOOD", "--out", "text.png/x"), "text.png cannot be read as a picture"),
        (("avatar-7", "--editor", "text.png"), "text.png cannot be read as safetensors"),
        (
            ("avatar-7", "--editor", "GOOD", "--coefficients", "1,1"),
            "expected a coefficient for each of 1 editors; found 2",
        ),
        (("avatar-7", "--editor", "GOOD", "--steps", "1"), "expected 2 to 1000 steps; found 1"),
        (("avatar-7", "--editor", "GOOD", "--domain", "nowhere"), "'nowhere' is not a domain"),
        (("--editor", "GOOD"), "nothing to edit"),
    ],
)
def test_bad_input_is_one_clear_message(
    command: Command, signature: Callable[[str, int], str], arguments: tuple[str, ...], message: str
) -> None:
    Path("text.png").write_text("no picture")
    good = signature("smiling", 0)

    code, _, err = command("edit", *(good if argument == "GOOD" else argument for argument in arguments))

    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not Path("edits").exists()


def test_an_unknown_editor_is_told_with_those_there_are(
    command: Command, signature: Callable[[str, int], str]
) -> None:
    _, _, err = command("edit", "avatar-7", "--editor", "nothing")

    assert f"{signature('goblin', 1)}  goblin, conv, of study which" in err


def test_the_interval_is_shown_and_drawn(command: Command) -> None:
    few = ("--images", "2", "--steps", "4")

    code, out, _ = command("interval", "avatars", "smiling", "man", *few, "--out", "curves.png")
    again, second, _ = command("interval", "avatars", "smiling", *few)

    assert (code, again) == (0, 0)
    assert "Mean over 2 images, 4 steps; distance by the domain's CLIP features, thresholds those" in out
    assert [line.split()[0] for line in out.splitlines() if " of 20" in line] == ["smiling", "man"]
    assert Path("curves.png").is_file()
    assert Path("curves.svg").is_file()
    assert "measuring" in out
    assert "measuring" not in second


def test_timesteps_as_noisy_as_published_ones_need_no_model(command: Command) -> None:
    code, out, _ = command("interval", "avatars", "--like", "513", "321")
    wrong, _, err = command("interval", "avatars", "--like", "1000")

    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [["513", "513"], ["321", "321"]]
    assert wrong == 2
    assert "--like: expected timesteps from 0 to 999; found 1000" in err


def test_an_attribute_that_the_domain_does_not_offer_is_named(command: Command) -> None:
    code, _, err = command("interval", "avatars", "smilling")

    assert code == 2
    assert "domain avatars does not offer 'smilling'; did you mean smiling?" in err


def test_the_interval_is_that_of_auto_unless_told_otherwise() -> None:
    options = cli.parser().parse_args(["interval", "avatars"])

    assert (options.images, options.steps) == (NUM_IMAGES, NUM_STEPS)
