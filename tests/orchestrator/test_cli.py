import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import parser as cli
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import open_study
from orchestrator.study.runner import RunOptions, run_missing
from trainables.h_space.command_line import COMMAND_LINE

REPOSITORY = Path(__file__).parent.parent.parent
DATA = REPOSITORY.parent / "shared" / "data" / "official_checkpoints"
HELP = Path(__file__).parent / "help"
COMMANDS = (
    "submit",
    "cancel",
    "logs",
    "run",
    "plan",
    "schema",
    "status",
    "report",
    "export",
    "list",
    "import-editor",
    "export-editor",
    "convert-backbone",
    "pretrain",
    "doctor",
    "dashboard",
    "edit",
    "interval",
    "judge",
    "check",
)
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command in this process, in a folder of its own, on an 80-column pipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def finished(space_file: Path, tmp_path: Path, display: Any) -> Path:
    """The test space with one of its four trials failed."""
    study = open_study(load_space(space_file, seeds="0,1"), tmp_path / "results")
    run_missing(study, RunOptions(inline=True, trial_class="fake_trials:FailingTrial"), display)
    return study.folder


def test_the_plan_shows_cells_and_what_is_to_run(command: Command, space_file: Path) -> None:
    code, out, _ = command("plan", str(space_file))

    assert code == 0
    assert "rates: Does the learning rate matter?" in out
    assert "2 cells, 4 trials: 0 done, 4 to run" in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_the_plan_as_json_holds_what_is_documented(command: Command, space_file: Path) -> None:
    code, out, _ = command("plan", str(space_file), "--json", "--seeds", "1", "--set", "training.epochs=7")

    plan = json.loads(out)
    assert code == 0
    assert plan.keys() >= {
        *("name", "question", "folder", "plan_hash", "num_done", "num_missing", "cells", "trials", "price")
    }
    assert [cell["cell"] for cell in plan["cells"]] == ["baseline", "rate=0.01"]
    assert (plan["can_decide"]["num_seeds"], plan["can_decide"]["difference"]) == (1, None)
    assert {cell["config"]["training"]["epochs"] for cell in plan["cells"]} == {7}
    assert {trial["state"] for trial in plan["trials"]} == {"waiting"}


def test_planning_leaves_no_trial_behind(command: Command, space_file: Path, tmp_path: Path) -> None:
    command("plan", str(space_file))

    assert not list((tmp_path / "results").rglob("*.parquet"))


def test_what_is_wrong_with_a_space_is_told_at_once_without_a_traceback(
    command: Command, space_file: Path
) -> None:
    text = space_file.read_text().replace("loss_total", "los_total").replace("kind: conv", "kind: con")
    space_file.write_text(text + "figures: [{kind: curvs}]\n")

    code, out, err = command("run", str(space_file))

    assert (code, out) == (2, "")
    assert "did you mean loss_total" in err
    assert "figures[0].kind" in err
    assert err.splitlines()[-1] == "3 problems. No trial was started."
    assert "Traceback" not in err


def test_an_unknown_space_is_told_with_the_nearest_name(command: Command) -> None:
    code, _, err = command("plan", "encodr")

    assert code == 2
    assert "did you mean encoder" in err


def test_a_folder_of_something_else_is_left_alone(command: Command, space_file: Path, tmp_path: Path) -> None:
    (tmp_path / "results" / "rates").mkdir(parents=True)
    (tmp_path / "results" / "rates" / "thesis.tex").touch()

    code, _, err = command("run", str(space_file), "--inline")

    assert code == 2
    assert "holds no study" in err


def test_our_own_mistakes_keep_their_traceback(
    command: Command, space_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.study import planning

    def fail(study: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(planning, "view", fail)

    with pytest.raises(ZeroDivisionError):
        command("plan", str(space_file))


def test_the_status_shows_every_trial_and_why_one_failed(command: Command, finished: Path) -> None:
    code, out, _ = command("status", "rates")

    assert code == 0
    assert "2 done, 2 failed" in out
    assert "baseline seed 1 failed: the loss is NaN in epoch 1" in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_the_status_as_json_holds_what_is_documented(command: Command, finished: Path) -> None:
    _, one, _ = command("status", str(finished), "--json")
    _, every, _ = command("status", "--json")

    status = json.loads(one)
    assert json.loads(every) == [status]
    assert status["counts"] == {
        "done": 2, "pruned": 0, "failed": 2, "skipped": 0, "interrupted": 0, "running": 0, "waiting": 0
    }  # fmt: skip
    failed = [trial for trial in status["trials"] if trial["state"] == "failed"]
    assert failed[0]["reason"] == "the loss is NaN in epoch 1"


def test_the_status_of_nothing_says_how_to_begin(command: Command) -> None:
    code, _, err = command("status")

    assert code == 2
    assert "asyrp-sweep run SPACE starts one" in err


@pytest.mark.parametrize("what", [*cli.OWN_LISTS, *COMMAND_LINE.lists])
def test_every_list_has_entries_and_fits(command: Command, what: str) -> None:
    code, out, _ = command("list", what)

    assert code == 0
    assert len(out.splitlines()) > 1
    assert all(len(line) <= 80 for line in out.splitlines())


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")
def test_a_published_editor_is_imported(command: Command, tmp_path: Path) -> None:
    from trainables.h_space.editor_file import load_editor

    file = str(DATA / "smiling_ddpm_celebahq.pth")
    out = tmp_path / "smiling.safetensors"

    code, text, _ = command(
        "import-editor", file, "--attribute", "smiling", "--t-edit", "513", "--out", str(out)
    )

    assert code == 0
    assert "conv, for a bottleneck of 512 x 8 x 8" in text
    assert "assumed, not stored in the checkpoint: " in text
    config = load_editor(out).metadata.config
    assert (config.domain, config.attribute, config.training.t_edit) == ("celebahq", "smiling", 513)


def test_an_import_with_wrong_names_says_which(command: Command) -> None:
    code, _, err = command("import-editor", "x.pth", "--attribute", "smilling", "--domain", "celeba")

    assert code == 2
    assert "did you mean smiling?" in err
    assert "did you mean celebahq?" in err


def test_an_import_of_something_else_says_so(command: Command, space_file: Path) -> None:
    code, _, err = command("import-editor", str(space_file), "--attribute", "smiling")

    assert code == 2
    assert "cannot be read as a checkpoint" in err


def test_the_doctor_names_versions_and_storage(command: Command) -> None:
    code, out, _ = command("doctor")

    assert code == 0
    for name in ("python", "torch", "ray", "processors", "GPU", "storage", "domain avatars"):
        assert name in out


def test_the_doctor_says_what_to_fix(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    code, out, _ = command("doctor", "--results", str(tmp_path / "file"))

    assert code == 1
    assert "choose a folder you may write with --results" in out


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["plan", "encoder", "--no-price"]])
def test_what_trains_nothing_answers_without_torch_or_ray(arguments: list[str], tmp_path: Path) -> None:
    slow = {"torch", "ray", "matplotlib", *(["pydantic"] if arguments == ["--help"] else [])}
    program = (
        "import sys; from orchestrator.cli import parser as cli\n"
        f"try: cli.main({arguments})\n"
        "except SystemExit: pass\n"
        f"print({slow} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=tmp_path
    )

    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="argparse words its help by the Python version")
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_the_help_is_the_one_on_file(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "90")

    with pytest.raises(SystemExit) as ending:
        cli.main([name, "--help"] if name else [])

    assert ending.value.code == 0
    assert capsys.readouterr().out == (HELP / f"{name or 'asyrp-sweep'}.txt").read_text()


def test_a_study_is_exported(command: Command, finished: Path, tmp_path: Path) -> None:
    code, out, err = command("export", "rates", "--to", "hf", "out")

    assert (code, err) == (0, "")
    assert out.startswith('Exported: out\nLoad it with: datasets.load_dataset("')
    assert (tmp_path / "out" / "README.md").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rates", "--to", "tensorbord", "out"], "did you mean tensorboard?"),
        (["rats", "--to", "hf", "out"], "holds no study: there is no study.json in it; did you mean rates?"),
        (["rates", "--to", "hf", "results"], "holds other files, which are left alone; name another folder"),
        (["rates", "--to", "hf", "/proc/nowhere"], "/proc/nowhere cannot be written: "),
    ],
)
def test_what_cannot_be_exported_is_told_in_a_line(
    command: Command, finished: Path, arguments: list[str], said: str
) -> None:
    code, out, err = command("export", *arguments)

    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


def test_every_export_is_in_the_help() -> None:
    from analysis.export import LIVE, TARGETS

    assert sorted(cli.EXPORTS) == sorted(TARGETS)
    assert sorted(cli.LIVE_LOGS) == sorted(LIVE)


@pytest.mark.parametrize("where", ["tensorbord", "hf"])
def test_a_log_to_nowhere_is_told_before_anything_starts(
    command: Command, space_file: Path, tmp_path: Path, where: str
) -> None:
    code, out, err = command("run", str(space_file), "--inline", "--log-to", where)

    assert (code, out) == (2, "")
    assert f"--log-to: expected tensorboard or wandb; found '{where}'" in err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "encoder", "--sed", "3"],
            "run: unknown argument '--sed'; did you mean --seeds? (see asyrp-sweep run --help)",
        ),
        (["run", "encoder", "again"], "run: unknown argument 'again' (see asyrp-sweep run --help)"),
        (["run"], "run: the following arguments are required: SPACE (see asyrp-sweep run --help)"),
        (
            ["submit", "encoder", "--on", "slrum"],
            "submit: argument --on: expected slurm, ray-job or kuberay; found 'slrum'; did you mean slurm? "
            "(see asyrp-sweep submit --help)",
        ),
    ],
)
def test_what_no_command_takes_is_told_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ending:
        cli.main(arguments)

    assert ending.value.code == 2
    assert capsys.readouterr().err == f"asyrp-sweep {message}\n"


def test_an_unknown_command_is_compared_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["runn", "encoder"])

    assert "found 'runn'; did you mean run? (see asyrp-sweep --help)" in capsys.readouterr().err


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        cli.main(["--version"])

    assert ending.value.code == 0
    assert capsys.readouterr().out == f"asyrp-sweep {version('asyrp-sweep')}\n"


def test_nonsense_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        cli.main(["run", "encoder", "--cpus", "0"])

    assert ending.value.code == 2
    assert "expected a whole number of at least 1; found '0'" in capsys.readouterr().err
