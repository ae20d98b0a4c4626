"""A command as a trial: what it is given, what is read of it, how it is stopped and resumed, and how it can fail."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from trainables.command import trial as trial_module
from trainables.command.config import CommandConfig
from trainables.command.folders import RunFolder
from trainables.command.trial import CommandTrial
from trainables.trials import TrialFailed, TrialResult

GOOD = """
import json, sys
folder, seed, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(folder + "/curve.jsonl", "w") as curve:
    for epoch in (1, 2):
        print(json.dumps({"epoch": epoch, "loss": width / epoch}), file=curve, flush=True)
json.dump({"accuracy": 0.5 + seed / 100, "num_parameters": 7}, open(folder + "/metrics.json", "w"))
"""
FOREVER = "import time; time.sleep(60)"
IGNORING = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
LEAVES_METRICS = (
    "import json, os; json.dump({'accuracy': 0.5}, open(os.environ['TRIAL_FOLDER'] + '/metrics.json', 'w'))\n"
)

HELPERS = """
import json, math, sys
FOLDER = sys.argv[1]
def metrics(text): open(FOLDER + "/metrics.json", "w").write(text)
def curve(text): open(FOLDER + "/curve.jsonl", "w").write(text)
"""

Build = Callable[..., CommandTrial]


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take rows in as they come, so that no test waits for a whole second."""
    monkeypatch.setattr(trial_module, "STEP_SECONDS", 0.05)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """A trial of a Python script: `build(source, **settings of the configuration)`."""

    def built(
        source: str = GOOD, *, seed: int = 3, start_from: Path | None = None, **given: Any
    ) -> CommandTrial:
        script = tmp_path / "train.py"
        script.write_text(source)
        content = {
            "command": [sys.executable, "-S", str(script), "{folder}", "{seed}", "{width}"],
            "settings": {"width": 4},
            "metrics": {"accuracy": "higher is better"},
            "grace_seconds": 0.2,
            "base_folder": str(tmp_path),
        }
        config = CommandConfig.model_validate({**content, **given})
        return CommandTrial(config, seed, cache_dir=tmp_path / "cache", start_from=start_from)

    return built


def run(trial: CommandTrial) -> TrialResult:
    while not trial.is_done:
        trial.step()
    return trial.finish()


def steps_to(trial: CommandTrial, *, epoch: int) -> dict[str, float]:
    """What the step that reaches an epoch gives."""
    while trial.epoch < epoch:
        metrics = trial.step()
    return metrics


def folder_of(trial: CommandTrial) -> Path:
    assert trial._run is not None
    return trial._run.place.folder


def failure(trial: CommandTrial) -> str:
    with pytest.raises(TrialFailed) as caught:
        run(trial)
    return str(caught.value)


def await_file(path: Path) -> str:
    """The content of a file that a script writes, once it is there."""
    ends = time.monotonic() + 50
    while not (path.is_file() and path.read_text().endswith("\n")):
        assert time.monotonic() < ends, f"{path} never came"
        time.sleep(0.01)
    return path.read_text()


def await_end(pid: int) -> None:
    ends = time.monotonic() + 50
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < ends, f"{process} is still running"
            time.sleep(0.01)


# What it gives


def test_curves_metrics_and_parameters_are_read(build: Build) -> None:
    trial = build()

    result = run(trial)

    assert result.curves == [{"epoch": 1, "loss": 4.0}, {"epoch": 2, "loss": 2.0}]
    assert result.summary.pop("train_seconds") > 0
    assert result.summary == {"accuracy": 0.53}
    assert result.num_parameters == 7
    assert result.notes == []
    assert trial.epoch == 2


def test_a_step_gives_the_last_row(build: Build) -> None:
    trial = build()

    while not trial.is_done:
        metrics = trial.step()

    assert metrics == {"epoch": 2.0, "loss": 2.0}


def test_a_step_ends_with_new_rows_while_the_command_goes_on(build: Build) -> None:
    trial = build(GOOD + FOREVER)

    assert steps_to(trial, epoch=2) == {"epoch": 2.0, "loss": 2.0}
    assert not trial.is_done


def test_values_come_as_words_environment_and_file(build: Build, tmp_path: Path) -> None:
    source = """
import json, os, sys
values = json.load(open(os.environ["TRIAL_CONFIG"]))
seen = {"words": sys.argv[1:], "file": values["rate"]}
seen |= {"environment": os.environ["TRIAL_RATE"], "own": os.environ["MINE"]}
open(os.environ["TRIAL_FOLDER"] + "/seen.png", "w").write(json.dumps(seen))
json.dump({"accuracy": int(os.environ["TRIAL_SEED"])}, open("metrics.json", "w"))
"""
    words = [
        "{python}",
        "{here}/train.py",
        "--name={name}",
        "{flags}",
        "{none}",
        "{{name}}",
        '{"a": {"b": 1}}',
    ]
    settings = {"rate": 1e-4, "name": "a b", "flags": ["--amp", "--fast"], "none": []}
    keep = {"samples": ["seen.png"]}

    result = run(
        build(
            source,
            command=words,
            settings=settings,
            environment={"MINE": "seed {seed}"},
            working_folder="{folder}",
            keep=keep,
        )
    )

    assert result.summary["accuracy"] == 3.0
    assert json.loads(result.samples[0]["image"]["bytes"]) == {
        "words": ["--name=a b", "--amp", "--fast", "{name}", '{"a": {"b": 1}}'],
        "file": 1e-4,
        "environment": "0.0001",
        "own": "seed 3",
    }


def test_a_script_sees_neither_our_packages_nor_ray_s_debugger(
    build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{Path(trial_module.__file__).parents[2]}:{tmp_path}")
    monkeypatch.setenv("PYTHONBREAKPOINT", "ray.util.rpdb.set_trace")
    source = "import os; print(os.environ['PYTHONPATH'], os.environ.get('PYTHONBREAKPOINT')); 1 / 0"

    assert f"  {tmp_path} None\n" in failure(build(source))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_trial_without_a_gpu_sees_none(build: Build, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    source = (
        LEAVES_METRICS
        + "print('sees', os.environ['CUDA_VISIBLE_DEVICES'], os.environ['TRIAL_DEVICE']); 1 / 0"
    )
    trial = build(source)
    trial = CommandTrial(trial.config, 0, cache_dir=trial._cache_dir, device=device)

    assert f"sees {'3' if device == 'cuda' else ''} {device}\n" in failure(trial)


def test_one_text_is_split_like_a_shell_would_and_sees_no_shell(build: Build) -> None:
    trial = build(command="{python} train.py {folder} {seed} '4' '; touch {here}/harm'", settings={})

    run(trial)

    assert not Path(trial.config.base_folder, "harm").exists()


def test_a_shell_is_there_when_asked_for_and_values_are_quoted(build: Build) -> None:
    command = (
        "echo {accuracy} '{}' > /dev/null && echo '{\"accuracy\":' {accuracy} '}' > {folder}/metrics.json"
    )

    result = run(build(command=command, shell=True, settings={"accuracy": 0.25}))

    assert result.summary["accuracy"] == 0.25
    harmful = build(command="echo {text} >&2; exit 1", shell=True, settings={"text": "$(echo gone)"})
    assert "$(echo gone)" in failure(harmful)


def test_samples_and_model_are_kept_and_the_folder_goes(build: Build, tmp_path: Path) -> None:
    source = (
        LEAVES_METRICS
        + """
import pathlib
folder = pathlib.Path(os.environ["TRIAL_FOLDER"])
(folder / "pictures").mkdir()
(folder / "pictures" / "one.png").write_bytes(b"png")
(folder / "pictures" / "two.png").write_bytes(b"p" * 2000)
(folder / "model.pt").write_bytes(b"weights")
(folder / "table.csv").write_text("1,2")
(folder / "pictures" / "outside.png").symlink_to("/etc/hostname")
"""
    )
    keep = {"samples": ["pictures/*.png", "*.gif", "*.csv"], "model": "*.pt", "max_sample_megabytes": 0.001}
    trial = build(source, keep=keep)

    result = run(trial)
    trial.save_model(tmp_path / "kept" / "model")
    folder = folder_of(trial).parent
    del trial

    assert result.samples == [
        {
            "epoch": 1,
            "kind": "sample",
            "media_type": "image/png",
            "image_id": "pictures/one.png",
            "image": {"bytes": b"png", "path": "pictures/one.png"},
        },
        {
            "epoch": 1,
            "kind": "sample",
            "media_type": "text/csv",
            "image_id": "table.csv",
            "content": b"1,2",
        },
    ]
    assert any("pictures/two.png" in note and "max_sample_megabytes" in note for note in result.notes)
    assert "no file matches keep.samples *.gif" in result.notes
    assert (tmp_path / "kept" / "model").read_bytes() == b"weights"
    assert not folder.exists()
    assert list(folder.parent.iterdir()) == []


def test_without_a_model_what_was_run_is_kept(build: Build, tmp_path: Path) -> None:
    trial = build()
    run(trial)

    trial.save_model(tmp_path / "model")

    assert json.loads((tmp_path / "model").read_text())["config"]["settings"] == {"width": 4}


def test_a_warm_start_gives_the_parent_s_file(build: Build, tmp_path: Path) -> None:
    source = LEAVES_METRICS + "assert open(__import__('sys').argv[1]).read() == 'weights'"
    (tmp_path / "parent").write_text("weights")

    run(
        build(source, command=["{python}", "{here}/train.py", "{start_from}"], start_from=tmp_path / "parent")
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results.json", '{"test": {"accuracy": 0.5}}'),
        (
            "scalars.json",
            '{"step": 1, "test": {"accuracy": 0.1}}\n{"step": 2, "test": {"accuracy": 0.5}}\n',
        ),
        ("scalars.json", '[{"test.accuracy": 0.1}, {"test.accuracy": 0.5}]'),
        ("metrics.jsonl", '{"test.accuracy": 0.1}\n{"test.accuracy": 0.5}\n{"loss": 3}\n'),
        ("metrics.csv", "epoch,test.accuracy\n1,0.25\n2,0.5\n3,\n"),
    ],
)
def test_metrics_are_found_in_any_of_the_usual_files(build: Build, name: str, content: str) -> None:
    source = f"import sys; open(sys.argv[1] + '/{name}', 'w').write({content!r})"

    metric = {"better": "higher is better", "key": "test.accuracy"}
    named = {"metrics_file": name} if name == "scalars.json" else {}

    result = run(build(source, metrics={"accuracy": metric}, **named))

    assert result.summary["accuracy"] == 0.5


def test_a_metric_may_be_what_a_script_prints(build: Build) -> None:
    metric = {"better": "higher is better", "pattern": r"accuracy: ([0-9.]+)"}

    result = run(build("print('accuracy: 0.1\\naccuracy: 0.75')", metrics={"accuracy": metric}))

    assert result.summary["accuracy"] == 0.75


@pytest.mark.parametrize(
    ("take", "expected"),
    [
        ({}, 0.5),
        ({"take": "best"}, 0.9),
        ({"take": "best", "of_last": 2}, 0.7),
        ({"take": "mean"}, 0.6),
        ({"take": "mean", "of_last": 2}, 0.6),
        ({"take": "mean", "of_last": 9}, 0.6),
        ({"take": "best", "better": "lower is better"}, 0.3),
    ],
)
def test_of_several_values_the_last_counts_or_the_best_or_their_mean(
    build: Build, take: dict[str, Any], expected: float
) -> None:
    rows = "accuracy\n0.3\n0.9\n0.7\n0.5\n"
    metric = {"better": "higher is better", **take}
    leaves = f"import sys; open(sys.argv[1] + '/metrics.csv', 'w').write({rows!r})"
    prints = "print('accuracy 0.3 accuracy 0.9 accuracy 0.7 accuracy 0.5')"

    left = run(build(leaves, metrics={"accuracy": metric}))
    printed = run(build(prints, metrics={"accuracy": {**metric, "pattern": "accuracy ([0-9.]+)"}}))

    assert left.summary["accuracy"] == pytest.approx(expected)
    assert printed.summary["accuracy"] == pytest.approx(expected)


def test_a_file_of_single_values_has_no_best_one(build: Build) -> None:
    metric = {"better": "higher is better", "take": "best"}

    with pytest.raises(
        TrialFailed, match=r"metrics\.json holds one value of accuracy; `take: best` needs rows"
    ):
        run(build(LEAVES_METRICS, metrics={"accuracy": metric}))


def test_curves_may_be_what_a_script_prints(build: Build) -> None:
    source = (
        LEAVES_METRICS
        + """
import time
print("epoch 1 loss 0.5", flush=True)
print("nothing", flush=True)
time.sleep(0.3)
print("\\repoch 2 loss 0.25\\repoch 3 loss nan")
"""
    )
    trial = build(source, curves_pattern=r"epoch (?P<epoch>\d+) loss (?P<loss>[0-9.]+|nan)")

    assert steps_to(trial, epoch=1) == {"epoch": 1.0, "loss": 0.5}
    rows = run(trial).curves

    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["loss"] for row in rows[:2]] == [0.5, 0.25]


def test_rows_per_item_are_read(build: Build) -> None:
    source = LEAVES_METRICS + (
        "open(os.environ['TRIAL_FOLDER'] + '/items.csv', 'w').write('item,accuracy\\n007,1\\nb,0\\n')"
    )

    result = run(build(source, items_file="items.csv"))

    assert result.evaluations == [
        {"epoch": 1, "image_id": "007", "accuracy": 1.0},
        {"epoch": 1, "image_id": "b", "accuracy": 0.0},
    ]


def test_numbers_that_are_not_declared_are_named(build: Build) -> None:
    result = run(
        build("import sys; open(sys.argv[1] + '/metrics.json', 'w').write('{\"accuracy\": 1, \"extra\": 2}')")
    )

    assert result.notes == ["metrics.json also holds extra, which are not declared as metrics"]


# How it can fail


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("print('a line'); raise SystemExit(3)", ["exit code 3", "  a line"]),
        ("import os; print('said', flush=True); os.kill(os.getpid(), 9)", ["SIGKILL (often: out of memory)", "said"]),
        ("1 / 0", ["exit code 1", "ZeroDivisionError: division by zero"]),
        ("raise SystemExit(1)", ["exit code 1\nIt printed nothing."]),
        ("pass", ["one of metrics.json, ", "it is empty", "metrics_file"]),
        ("open(FOLDER + '/out.txt', 'w')", ["it holds out.txt"]),
        ("metrics('{\"accuracy\": ')", ["metrics.json:1 is not JSON", "Expecting value"]),
        ("metrics('{\"accuracy\": null}')", ["metrics.json: accuracy: expected a number; found nothing"]),
        ("metrics('[1]')", ["expected a JSON object", "found 1"]),
        ("open(FOLDER + '/metrics.json', 'wb').write(b'\\xff\\xfe')", ["metrics.json is not UTF-8 text"]),
        ("metrics(json.dumps({'accuracy': math.nan}))", ["accuracy: expected a finite number; found nan"]),
        ("metrics(json.dumps({'accuracy': '0.9'}))", ["found the text '0.9'; write it without quotes"]),
        ("metrics(json.dumps({'accuracy': 'good'}))", ["accuracy: expected a number; found 'good'"]),
        ("metrics(json.dumps({'accuracy': True}))", ["accuracy: expected a number; found true"]),
        ("metrics(json.dumps({'accuracy': 10**400}))", ["one that is too large"]),
        ("metrics(json.dumps({'acuracy': 1}))", ["the metric accuracy is missing", "did you mean acuracy?"]),
        ("metrics('[' * 100000)", ["nested too deeply"]),
        ("curve('{\"epoch\": 1}\\n{\"epoch\":\\n')", ["curve.jsonl:2 is not JSON"]),
        ("curve('{\"loss\": \"0.5\"}\\n')", ["curve.jsonl:1: loss: expected a number"]),
        ("import shutil; shutil.rmtree(FOLDER)", ["it is empty"]),
        ("import os; open(os.fsencode(FOLDER) + b'/\\xff', 'w')", ["it holds \\udcff"]),
        ("open(FOLDER + '/curve.csv', 'w').write('epoch,loss\\n1,2,3\\n')", ["curve.csv:2: expected 2 cells; found 3"]),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said_with_the_last_lines(build: Build, source: str, told: list[str]) -> None:
    trial = build(HELPERS + source)

    message = failure(trial)

    assert [part for part in told if part not in message] == []
    assert f"Its folder: {folder_of(trial).parent}" in message


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["pyhton", "{seed}"], "pyhton cannot be found on the PATH"),
        (["./absent.sh", "{seed}"], "./absent.sh cannot be found in "),
        (["./plain.sh", "{seed}"], "./plain.sh is not executable; run chmod +x on it"),
        (["./empty.sh", "{seed}"], "./empty.sh is no program; name its interpreter before it"),
        (["./lost.sh", "{seed}"], "./lost.sh: the interpreter that its first line names does not exist"),
        (["{python}", "\0", "{seed}"], "the command could not be run: embedded null byte"),
        (["{python}", "x" * 200_000, "{seed}"], "Argument list too long"),
    ],
)
def test_a_command_that_does_not_start_says_why(
    build: Build, tmp_path: Path, command: list[str], told: str
) -> None:
    for name, content, mode in (
        ("plain.sh", "#!/bin/sh\n", 0o644),
        ("empty.sh", "\x7f", 0o755),
        ("lost.sh", "#!/absent/sh\n", 0o755),
    ):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(mode)

    assert told in failure(build(command=command, settings={}))


def test_a_working_folder_that_is_absent_is_named(build: Build) -> None:
    assert "the working folder /absent does not exist" in failure(build(working_folder="/absent"))


def test_the_time_limit_ends_a_command(build: Build) -> None:
    message = failure(build("print('begun', flush=True)\n" + FOREVER, time_limit_seconds=0.5))

    assert "exceeded its time limit of 0.5 s and was stopped" in message
    assert "  begun" in message


def test_a_failed_trial_leaves_another_one_undisturbed(build: Build) -> None:
    failure(build("raise SystemExit(1)"))

    assert run(build(seed=4)).summary["accuracy"] == 0.54


# What it prints


def test_megabytes_of_output_are_kept_at_both_ends(build: Build) -> None:
    source = (
        "print('first')\nfor number in range(60_000): print(number, 'x' * 100)\nraise SystemExit('the last')"
    )
    trial = build(source)

    message = failure(trial)

    log = folder_of(trial).parent / "output.log"
    assert message.splitlines()[-2] == "  the last"
    assert 2_000_000 < log.stat().st_size < 4_000_000
    text = log.read_text()
    assert text.startswith("first\n0 xxx")
    assert text.endswith("the last\n")
    assert "bytes left out ...]" in text
    assert [path.name for path in log.parent.glob("output*")] == ["output.log"]


def test_a_progress_bar_and_colours_are_quoted_as_a_terminal_shows_them(build: Build) -> None:
    source = (
        "import sys; sys.stdout.write('10%\\r50%\\r\\x1b[31m90%\\x1b[0m\\n\\x07bell\\n'); raise SystemExit(1)"
    )

    assert "  90%\n  \\x07bell" in failure(build(source))


# What it starts, and how it is stopped


@pytest.mark.parametrize("ignores", [False, True])
def test_the_command_and_its_children_are_stopped_with_the_trial(build: Build, ignores: bool) -> None:
    child = (IGNORING if ignores else "import time\n") + "time.sleep(60)"
    source = f"""
import subprocess, sys, os
{IGNORING if ignores else ""}
child = subprocess.Popen([sys.executable, "-S", "-c", {child!r}])
away = subprocess.Popen([sys.executable, "-S", "-c", {child!r}], start_new_session=True)
print('{{"epoch": 1}}', file=open(sys.argv[1] + "/curve.jsonl", "w"))
print(os.getpid(), child.pid, away.pid, file=open(sys.argv[1] + "/pids", "w"), flush=True)
import time; time.sleep(60)
"""
    trial = build(source)
    trial.step()
    pids = [int(pid) for pid in await_file(folder_of(trial) / "pids").split()]

    del trial

    for pid in pids:
        await_end(pid)


def test_sigterm_comes_first_and_the_command_may_clean_up(build: Build, tmp_path: Path) -> None:
    source = f"""
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (open({str(tmp_path / "cleaned")!r}, "w"), sys.exit(0)))
print('{{"epoch": 1}}', file=open(sys.argv[1] + "/curve.jsonl", "w"), flush=True)
time.sleep(60)
"""
    trial = build(source, grace_seconds=10)
    trial.step()

    del trial

    assert (tmp_path / "cleaned").exists()


def test_what_a_command_leaves_running_is_stopped_and_noted(build: Build, tmp_path: Path) -> None:
    source = (
        LEAVES_METRICS
        + """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), file=open(os.environ["TRIAL_FOLDER"] + "/../../daemon", "w"), flush=True)
        __import__("time").sleep(60)
    os._exit(0)
os.wait()
"""
    )

    result = run(build(source))

    assert result.notes == ["the command left processes running (1), which were stopped"]
    await_end(int(await_file(tmp_path / "cache" / "command" / "daemon")))


@pytest.mark.parametrize("kills_children", [False, True])
def test_everything_ends_when_the_worker_is_killed(tmp_path: Path, kills_children: bool) -> None:
    child = "import time; time.sleep(60)"
    script = f"""
import subprocess, sys, os, time
away = subprocess.Popen([sys.executable, "-S", "-c", {child!r}], start_new_session=True)
print(os.getpid(), away.pid, file=open({str(tmp_path / "pids")!r}, "w"), flush=True)
time.sleep(60)
"""
    worker = f"""
import sys
from pathlib import Path
from trainables.command.process import Launch, Running
Running(Launch([sys.executable, "-S", "-c", {script!r}], Path("/"), {{}}, Path({str(tmp_path / "log")!r}))).wait(60)
"""
    process = subprocess.Popen([sys.executable, "-c", worker])
    pids = [int(pid) for pid in await_file(tmp_path / "pids").split()]

    children = psutil.Process(process.pid).children() if kills_children else []  # As Ray does.
    for one in (*children, process):
        one.send_signal(signal.SIGKILL)
    process.wait()

    for pid in pids:
        await_end(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the command dies with its supervisor on Linux alone")
def test_a_killed_supervisor_takes_the_command_along_and_fails_the_trial(build: Build) -> None:
    trial = build(
        "import os, sys; print(os.getpid(), file=open(sys.argv[1] + '/pid', 'w'), flush=True)\n" + FOREVER
    )
    trial._run = trial._start()
    pid = int(await_file(folder_of(trial) / "pid"))

    assert trial._run.running.wait(0.0) is None
    os.kill(trial._run.running._link.said["supervisor"], signal.SIGKILL)

    assert "the process that watches over it ended early: it was killed" in failure(trial)
    await_end(pid)


# How it goes on

RESUMING = """
import json, os, sys
folder = sys.argv[1]
state = os.path.join(folder, "checkpoint")
done = int(open(state).read()) if os.path.exists(state) else 0
curve = open(folder + "/curve.jsonl", MODE)
for epoch in range(done + 1, 5):
    print(json.dumps({"epoch": epoch, "loss": 1 / epoch, "run": done}), file=curve, flush=True)
    if epoch == 3 and done == 0:
        curve.write('{"epoch"'); curve.flush()
        import time; time.sleep(60)
    if epoch != 3: open(state, "w").write(str(epoch))
json.dump({"accuracy": 1}, open(folder + "/metrics.json", "w"))
"""


@pytest.mark.parametrize("mode", ["a", "w"])
@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_an_interrupted_script_goes_on_from_its_own_checkpoint(
    build: Build, tmp_path: Path, mode: str, has_checkpoint: bool
) -> None:
    source = RESUMING.replace("MODE", repr(mode))
    first = build(source, resume=True)
    steps_to(first, epoch=3)
    first.save_checkpoint(tmp_path / "checkpoint")
    rows = list(first.checkpoint_rows(0))
    del first

    second = build(source, resume=True)
    if has_checkpoint:
        second.load_checkpoint(tmp_path / "checkpoint", json.loads(json.dumps(rows)))
        assert second.epoch == 3
    result = run(second)

    assert [(row["epoch"], row["run"]) for row in result.curves] == [(1, 0), (2, 0), (3, 2), (4, 2)]


def test_a_log_that_was_not_looked_for_meanwhile_is_read_at_the_end(build: Build) -> None:
    trial = build()
    trial._look_again = math.inf  # as after a search among very many files

    assert [row["loss"] for row in run(trial).curves] == [4.0, 2.0]


def test_without_resume_the_folder_is_empty_at_each_start(build: Build, tmp_path: Path) -> None:
    source = RESUMING.replace("MODE", "'a'").replace("done == 0", "done == 99")
    first = build(source + FOREVER)
    steps_to(first, epoch=4)
    first.save_checkpoint(tmp_path / "checkpoint")
    rows = list(first.checkpoint_rows(0))
    del first

    second = build(source)
    second.load_checkpoint(tmp_path / "checkpoint", rows)

    assert second.epoch == 0
    assert [row["run"] for row in run(second).curves] == [0.0] * 4


def test_a_broken_log_of_an_interrupted_run_fails_the_trial_once(build: Build) -> None:
    source = RESUMING.replace("MODE", "'a'")
    first = build(source, resume=True)
    steps_to(first, epoch=3)
    (folder_of(first) / "curve.jsonl").write_text("nonsense\n")
    del first

    assert "curve.jsonl:1 is not JSON" in failure(build(source, resume=True))

    again = build(source.replace("done == 0", "done == 99"), resume=True)
    assert [row["run"] for row in run(again).curves] == [0.0] * 4


def test_a_closed_trial_leaves_the_folder_to_the_next_one(build: Build) -> None:
    first = build()
    run(first)
    first.close()
    second = build(GOOD + FOREVER)
    steps_to(second, epoch=2)

    del first

    assert folder_of(second).is_dir()


def test_a_folder_in_use_is_never_shared(build: Build) -> None:
    first = build(GOOD + FOREVER, grace_seconds=0.0)
    steps_to(first, epoch=2)
    second = build(GOOD + FOREVER, grace_seconds=0.0)
    second._take_place = lambda: RunFolder.take(second._cache_dir, folder_of(first).parent.name, 0.1)

    steps_to(second, epoch=2)

    assert folder_of(second) != folder_of(first)
    assert second._notes == [
        f"another process uses the usual folder of this trial; it runs in {folder_of(second).parent}"
    ]


def test_a_failed_trial_starts_anew_even_where_it_could_go_on(build: Build) -> None:
    source = RESUMING.replace("MODE", "'a'").replace("done == 0", "done == 99")
    failure(build(source + "raise SystemExit(1)", resume=True))

    assert [row["run"] for row in run(build(source, resume=True)).curves] == [0.0] * 4


def test_a_checkpoint_of_an_ended_command_has_its_results(build: Build, tmp_path: Path) -> None:
    source = (
        GOOD + "open(folder + '/model', 'w').write('weights'); open(folder + '/note.png', 'w').write('hello')"
    )
    keep = {"samples": ["*.png"], "model": "model"}
    first = build(source, keep=keep)
    while not first.is_done:
        first.step()
    first.save_checkpoint(tmp_path / "checkpoint")
    rows = list(first.checkpoint_rows(0))
    expected = first.finish()
    place = folder_of(first).parent
    del first
    assert not place.exists()

    second = build(source, keep=keep)
    second.load_checkpoint(tmp_path / "checkpoint", rows)
    second.save_model(tmp_path / "model")

    place.mkdir()  # As it is where the first worker was killed before it could clear it away.
    assert second.is_done
    assert second.finish() == expected
    assert not place.exists()
    assert (tmp_path / "model").read_text() == "weights"
