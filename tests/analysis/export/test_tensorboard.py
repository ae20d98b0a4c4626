"""An export to TensorBoard, as TensorBoard's own reader reads it."""

import math
from pathlib import Path
from typing import Any

import pytest
from export_studies import SMALL, Study
from own_readers import by_its_own_reader

from analysis.export import export
from analysis.export._trials import StudyTrials

READ_EVENTS = """
import json, sys
from tensorboard.backend.event_processing import data_provider, event_multiplexer, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups

kinds = (event_multiplexer, plugin_event_multiplexer)
multiplexers = [kind.EventMultiplexer().AddRunsFromDirectory(sys.argv[1]).Reload() for kind in kinds]
events, multiplexer = multiplexers
runs = {}
for run, tags in events.Runs().items():
    scalars = {tag: [(event.step, event.value) for event in events.Scalars(run, tag)] for tag in tags["scalars"]}
    images = {tag: [(event.step, event.width) for event in events.Images(run, tag)] for tag in tags["images"]}
    runs[run] = {"scalars": scalars, "images": images, "texts": tags["tensors"]}
provider = data_provider.MultiplexerDataProvider(multiplexer, sys.argv[1])
context = backend_context.Context(base_plugin.TBContext(logdir=sys.argv[1], data_provider=provider))
request = RequestContext()
columns = get_experiment.Handler(request, context, "x", api_pb2.GetExperimentRequest(experiment_name="x")).run()
wanted = [api_pb2.ColParams(hparam=column.name) for column in columns.hparam_infos]
wanted += [api_pb2.ColParams(metric=column.name) for column in columns.metric_infos]
asked = api_pb2.ListSessionGroupsRequest(
    start_index=0, slice_size=100, allowed_statuses=[0, 1, 2, 3], aggregation_type=1, col_params=wanted
)
groups = {
    group.name: {
        "hparams": {name: str(value).strip() for name, value in group.hparams.items()},
        "metrics": {value.name.tag: value.value for value in group.metric_values},
        "sessions": {session.name: session.status for session in group.sessions},
    }
    for group in list_session_groups.Handler(request, context, "x", asked).run().session_groups
}
print(json.dumps({"runs": runs, "groups": groups, "columns": [c.display_name for c in columns.metric_infos]}))
"""


def read_events(folder: Path) -> dict[str, Any]:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    found: dict[str, Any] = by_its_own_reader(READ_EVENTS, folder)
    return found


def test_tensorboard_shows_curves_pictures_and_cells_with_their_seeds(
    make_study: Study, tmp_path: Path
) -> None:
    folder = make_study(**SMALL, failed={("conv", 1)}, missing={("conv", 2)})
    export(folder, "tensorboard", tmp_path / "out")

    found = read_events(tmp_path / "out")

    trials = {trial.cell + str(trial.seed): trial for trial in StudyTrials(folder).trials()}
    run = found["runs"]["baseline/seed=1"]
    by_row = dict(trials["baseline1"].curves())["loss_total"]
    assert run["scalars"]["curves/loss_total"] == [[p.step, pytest.approx(p.value)] for p in by_row]
    assert [step for step, _ in run["scalars"]["epoch/learning_rate"]] == [1, 2]
    assert run["images"]["samples/edit/face-0, strength 1"] == [[1, 32], [2, 32]]
    assert run["images"]["samples/edit/face-0, strength 0.5"] == [[2, 32]]
    assert "encoder=conv/seed=2" not in found["runs"]
    gains = [trials[f"baseline{seed}"].metrics["counterfactual_gain"] for seed in range(3)]
    groups = found["groups"]
    mean = sum(gains) / 3
    deviation = math.sqrt(sum((gain - mean) ** 2 for gain in gains) / 2)
    assert groups["baseline"]["sessions"] == {f"baseline/seed={seed}": 1 for seed in range(3)}
    assert groups["baseline"]["metrics"]["metric/counterfactual_gain"] == pytest.approx(mean)
    assert groups["baseline"]["metrics"]["seeds/deviation of counterfactual_gain"] == pytest.approx(deviation)
    assert groups["baseline"]["metrics"]["seeds/number done"] == 3
    assert groups["encoder=conv"]["sessions"] == {"encoder=conv/seed=0": 1, "encoder=conv/seed=1": 2}
    assert groups["encoder=conv"]["hparams"] == {"encoder": 'string_value: "conv"'}
    assert found["columns"][:2] == [
        "seeds done",
        "Counterfactual gain, training CLIP (share of the distance)",
    ]


def test_tensorboard_opens_what_is_ugly(ugly_study: Path, tmp_path: Path) -> None:
    lines = export(ugly_study, "tensorboard", tmp_path / "out")

    found = read_events(tmp_path / "out")

    (cell,) = {run.split("/")[0] for run in found["runs"] if "curves/lo/ss " in found["runs"][run]["scalars"]}
    run = found["runs"][f"{cell}/seed=0"]
    assert [step for step, _ in run["scalars"]["curves/lo/ss "]] == [1, 2]
    assert math.isnan(run["scalars"]["epoch/lo/ss "][0][1])
    assert run["scalars"]["curves/other"] == [[3, math.inf]]
    assert run["images"] == {"samples/image/tiff/a/b c": [[0, 3]]}
    assert len(found["groups"]) == 5
    assert any("4 samples are no pictures" in line for line in lines)
    assert {path.parent.parent.parent for path in (tmp_path / "out").rglob("*.seeds")} == {tmp_path / "out"}


WATCH_EVENTS = """
import json, sys
from pathlib import Path
from tensorboard.backend.event_processing import event_multiplexer
from analysis.export._trials import StudyTrials
from analysis.export.tensorboard import EventsSink

study, out = StudyTrials(Path(sys.argv[1])), Path(sys.argv[2])
trial, multiplexer, seen = next(study.trials()), event_multiplexer.EventMultiplexer(), []

def look():
    multiplexer.AddRunsFromDirectory(str(out))
    multiplexer.Reload()
    run = f"{trial.cell}/seed={trial.seed}"
    tags = multiplexer.Runs()[run]["scalars"]
    epochs = multiplexer.Scalars(run, "epoch/loss_total")
    seen.append([[event.step for event in epochs], epochs[0].value, "curves/loss_total" in tags])

for first, last in ((1, 2), (2, 2)):  # The second launch goes on from a checkpoint of epoch 1.
    with EventsSink(study.folder, out) as sink:
        for epoch in range(first, last + 1):
            sink.epoch(trial, epoch, {"loss_total": 100.0 * epoch})
            look()
with EventsSink(study.folder, out) as sink:
    sink.write(trial)
    look()
    sink.finish(study)
    look()
print(json.dumps(seen))
"""


def test_a_tensorboard_at_work_follows_a_trial_and_shows_no_epoch_twice(
    make_study: Study, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    folder = make_study(**SMALL)

    *going_on, whole, finished = by_its_own_reader(WATCH_EVENTS, folder, tmp_path / "out")

    first = dict(next(StudyTrials(folder).trials()).epoch_means())["loss_total"][0].value
    assert going_on == [[[1], 100.0, False], [[1, 2], 100.0, False], [[1, 2], 100.0, False]]
    assert whole == finished == [[1, 2], pytest.approx(first), True]
