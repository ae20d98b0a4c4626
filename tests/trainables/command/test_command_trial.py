"""A command as a trial: what it is given, and what is read of what it leaves."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_trials import FOREVER, GOOD, LEAVES_METRICS, Build, failure, folder_of, run, steps_to

from trainables.command import trial as trial_module
from trainables.command.trial import CommandTrial
from trainables.trials import TrialFailed

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
