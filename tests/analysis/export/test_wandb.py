"""An export to W&B, read back from the files that `wandb sync` uploads."""

from pathlib import Path

import pytest
from export_studies import SMALL, Study
from own_readers import by_its_own_reader, read_runs

from analysis.export._trials import StudyTrials


def exported_twice_by_a_process(folder: Path, out: Path) -> str:
    """W&B's threads and exit handlers are not for the process of all tests."""
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'asyrp-sweep[wandb]'")
    program = (
        "import json, sys; from pathlib import Path; from analysis.export import export; "
        "twice = [export(Path(sys.argv[1]), 'wandb', Path(sys.argv[2])) for _ in range(2)]; "
        "assert twice[0] == twice[1]; print(json.dumps(list(twice[1])))"
    )
    return "\n".join(by_its_own_reader(program, folder, out))


def test_wandb_holds_a_run_for_every_trial_grouped_by_cell(make_study: Study, tmp_path: Path) -> None:
    folder, out = make_study(**SMALL, failed={("conv", 1)}, missing={("conv", 2)}), tmp_path / "out"

    told = exported_twice_by_a_process(folder, out)

    runs = read_runs(out)
    assert len(list(out.glob("offline-run-20260301_1200*"))) == len(list(out.iterdir())) - 1 == 5
    assert f"Upload with: wandb sync {out}/offline-run-*" in told
    assert sorted(runs) == [
        *(f"baseline, seed {seed}" for seed in range(3)),
        "encoder=conv, seed 0",
        "encoder=conv, seed 1",
    ]
    trial = next(StudyTrials(folder).trials())
    run = runs["baseline, seed 0"]
    assert (run["group"], run["project"], run["tags"], run["exit"]) == ("baseline", "encoder", ["done"], 0)
    assert (runs["encoder=conv, seed 1"]["tags"], runs["encoder=conv, seed 1"]["exit"]) == (["failed"], 1)
    assert {name: run["config"][name] for name in trial.config} == trial.config
    assert run["config"]["asyrp_sweep"]["axes"] == {"encoder": "pixel_channel"}
    rows = [row for row in run["history"] if "curves/step" in row]
    assert [(row["curves/step"], row["curves/loss_total"]) for row in rows] == [
        (point.step, pytest.approx(point.value)) for point in dict(trial.curves())["loss_total"]
    ]
    assert [row["epoch/step"] for row in run["history"] if "epoch/step" in row] == [1, 2]
    assert run["summary"]["counterfactual_gain"] == pytest.approx(trial.metrics["counterfactual_gain"])
    assert len(run["files"]) == len(trial.pictures)


def test_wandb_takes_what_is_ugly(ugly_study: Path, tmp_path: Path) -> None:
    exported_twice_by_a_process(ugly_study, tmp_path / "out")

    runs = read_runs(tmp_path / "out")

    assert len(runs) == 10
    assert {run["project"] for run in runs.values()} == {"ugly _ study"}
    assert {path.parent for path in (tmp_path / "out").glob("offline-run-*")} == {tmp_path / "out"}
