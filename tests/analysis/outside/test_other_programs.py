"""Results that W&B, TensorBoard and lm-evaluation-harness leave are judged."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from outside_results import judged, runs
from torch.utils.tensorboard import SummaryWriter

from trainables.errors import UserError

# Exports of other programs


def test_a_table_of_runs_from_wandb(write: Callable[..., Path]) -> None:
    """As its run table is downloaded: all values quoted, settings and summaries beside each other."""
    rows = [
        f'"run-{model}-{seed}","{state}","-","me","","2026-03-01T10:00:00.000Z","812","","{model}","{seed}","0.001","{acc}"'
        for model, gain in (("small", 0.0), ("large", 0.1))
        for seed in range(7)
        for state, acc in [
            ("crashed", "") if (model, seed) == ("large", 3) else ("finished", 0.7 + gain + seed / 900)
        ]
    ]
    titles = '"Name","State","Notes","User","Tags","Created","Runtime","Sweep","model","seed","lr","val/acc"'
    path = write("\n".join([titles, *rows]), "wandb_export_2026-03-01T12_00_00.000+01_00.csv")
    asked = {"metric": "val/acc", "baseline": "small"}

    with pytest.raises(UserError, match=r"csv:12  column val/acc: no number; --missing count counts it"):
        judged(path, **asked)
    [contrast] = judged(path, **asked, missing="count").contrasts

    assert contrast.verdict == "helps"
    assert (contrast.n, contrast.sample.failed_worse) == (6, 1)


@pytest.fixture
def logged(tmp_path: Path) -> Path:
    """The runs of a table as PyTorch logs them, in `model/seed` folders, and with their settings."""
    for model, seed, acc in runs().itertuples(index=False):
        with SummaryWriter(tmp_path / "logs" / model / f"{seed}.0") as writer:
            writer.add_hparams({"arch": model, "number": seed}, {})
            writer.add_scalar("val/acc", 0.1, 0)
            writer.add_scalar("val/acc", acc, 1)
    (tmp_path / "logs" / "about.json").write_text("{}")
    return tmp_path / "logs"


@pytest.mark.parametrize(
    "asked", [{"variant": "folder", "seed": "file"}, {"variant": "arch", "seed": "number"}]
)
def test_runs_that_were_logged_are_judged_by_their_last_values(logged: Path, asked: dict[str, str]) -> None:
    found, expected = judged(logged, metric="val/acc", **asked), judged(runs())

    assert [one.verdict for one in found.contrasts] == ["helps", "equivalent"]
    for one, other in zip(found.as_json()["contrasts"], expected.as_json()["contrasts"], strict=True):
        assert one["difference"] == pytest.approx(other["difference"], abs=1e-6)


def test_a_run_that_logged_no_value_is_a_failed_one(logged: Path) -> None:
    (log,) = (logged / "b" / "0.0").glob("*tfevents*")
    log.write_bytes(b"")  # as of a run that crashed at once
    asked = {"variant": "folder", "seed": "file", "metric": "val/acc"}

    with pytest.raises(UserError, match=r"logs/b/0.0  column val/acc: no number; --missing count counts it"):
        judged(logged, **asked)
    contrast, _ = judged(logged, **asked, missing="count").contrasts

    assert (contrast.n, contrast.sample.failed_worse) == (7, 1)


def test_a_damaged_log_names_its_run(logged: Path) -> None:
    (log,) = (logged / "b" / "3.0").glob("*tfevents*")
    log.write_bytes(b"acc: 0.5\n" * 9)

    with pytest.raises(UserError, match=r"b/3.0  events.out.tfevents\S+, byte \d+: expected a record"):
        judged(logged, variant="folder", seed="file", metric="val/acc")


def lm_eval_run(folder: Path, model: str, seed: int, gain: float, with_results: bool = True) -> None:
    """What `lm_eval --output_path OUT --log_samples` leaves of a run with two tasks."""
    date = f"2026-03-0{seed + 1}T10-00-00.{seed:06d}"
    own = folder / model.replace("/", "__")
    own.mkdir(parents=True, exist_ok=True)
    accuracy = {}
    for task in ("arc_easy", "piqa"):
        samples = []
        for document in range(40):
            right = float((document * 7 + seed) % 10 < 5 + 10 * gain)
            samples.append(
                {"doc_id": document, "doc": {"question": f"q {document}"}, "target": "0",
                 "arguments": {"gen_args_0": {"arg_0": "q", "arg_1": " a"}}, "resps": [[["-1.0", "True"]]],
                 "filtered_resps": [["-1.0", "True"]], "filter": "none", "metrics": ["acc"],
                 "doc_hash": f"{document:064x}", "prompt_hash": "0" * 64, "target_hash": "0" * 64, "acc": right}
            )  # fmt: skip
        accuracy[task] = float(np.mean([sample["acc"] for sample in samples]))
        text = "".join(json.dumps(sample) + "\n" for sample in samples)
        (own / f"samples_{task}_{date}.jsonl").write_text(text)
    if with_results:
        results = {
            "results": {
                task: {"alias": task, "acc,none": value, "acc_stderr,none": 0.07} for task, value in accuracy.items()
            },
            "config": {"model": "hf", "model_args": f"pretrained={model}", "random_seed": seed, "numpy_seed": seed,
                       "torch_seed": 1234, "fewshot_seed": seed},
            "model_name": model,
            "model_name_sanitized": model.replace("/", "__"),
        }  # fmt: skip
        (own / f"results_{date}.json").write_text(json.dumps(results, indent=2))


def test_samples_of_lm_evaluation_harness_know_their_model_task_and_seed(tmp_path: Path) -> None:
    for seed in range(6):
        lm_eval_run(tmp_path, "org/small", seed, 0.0)
        lm_eval_run(tmp_path, "org/large", seed, 0.2)

    found = judged(
        tmp_path, seed="fewshot_seed", item="task,doc_id", baseline="org/small", cluster=None, margin=0.05
    )

    assert found.num_rows == 2 * 6 * 2 * 40
    assert found.comparisons[0].num_items == 80
    assert found.contrasts[0].mean == pytest.approx(0.2, abs=0.04)


def test_samples_without_their_results_are_of_the_model_that_their_folder_names(tmp_path: Path) -> None:
    lm_eval_run(tmp_path, "small", 0, 0.0, with_results=False)
    lm_eval_run(tmp_path, "large", 0, 0.2, with_results=False)

    found = judged(tmp_path, seed=None, item="task,doc_id", cluster="task", baseline="small")

    assert found.contrasts[0].name == "large"
    assert found.contrasts[0].is_estimate  # two tasks


def test_results_of_lm_evaluation_harness_have_a_row_per_task(tmp_path: Path) -> None:
    paths = []
    for model, gain in (("small", 0.0), ("large", 0.2)):
        for seed in range(6):
            lm_eval_run(tmp_path, model, seed, gain)
        paths += sorted((tmp_path / model).glob("results_*.json"))

    found = judged(paths, seed="fewshot_seed", item="task", baseline="small", over="seeds", margin=0.01)

    assert found.contrasts[0].n == 6
    assert found.contrasts[0].verdict == "helps"
