"""A metric that cannot be told is a mistake in the space, found before anything runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.plan.build import build_plan
from orchestrator.space.config import ConfigError, Space
from trainables.h_space.domains import DomainSummary
from trainables.h_space.layers import Summarise
from trainables.h_space.metrics import NEEDS, Need

Load = Callable[..., Space]


@pytest.fixture
def message(load: Load, summarise: Summarise, space_text: str) -> Callable[..., str]:
    """What is said of the space with another primary metric, in a domain that offers only so much."""

    def of(
        metric: str, attribute: str = "smiling", offers: tuple[Need, ...] = (), evaluation: str = "{}"
    ) -> str:
        def poorer(name: str) -> DomainSummary:
            return replace(summarise(name), offers=frozenset(offers))

        text = space_text.replace("metric: s_dir", f"metric: {metric}")
        text = text.replace("attribute: smiling", f"attribute: {attribute}\n  evaluation: {evaluation}")
        try:
            load(text, summarise=poorer)
        except ConfigError as error:
            return str(error)
        return ""

    return of


@pytest.mark.parametrize(
    ("metric", "need"),
    [("counterfactual_gain", "counterfactual"), ("s_dir_second", "second_clip"), ("probe_success", "labels")],
)
def test_a_primary_metric_needs_what_the_domain_offers(
    message: Callable[..., str], metric: str, need: Need
) -> None:
    refused = message(metric)

    assert refused.startswith(
        f"space.yaml:10  primary.metric: {metric} needs {NEEDS[need]}; domain tiny has none; "
    )
    assert refused.endswith("1 problem. No trial was started.")
    assert message(metric, offers=(need,)) == ""


@pytest.mark.parametrize("metric", ["counterfactual_gain", "probe_success"])
def test_an_attribute_that_cannot_be_drawn_has_no_true_edit(message: Callable[..., str], metric: str) -> None:
    refused = message(metric, attribute="makeup", offers=("counterfactual", "labels"))

    assert f"primary.metric: {metric} needs" in refused
    assert "domain tiny has none for makeup; these can be: " in refused
    assert "s_dir" in refused


def test_the_nearest_metric_that_can_be_told_is_named(message: Callable[..., str]) -> None:
    assert "; did you mean s_dir_from_reconstruction?" in message("s_dir_second_from_reconstruction")


def test_an_optional_metric_must_be_asked_for(message: Callable[..., str]) -> None:
    name = "segmentation_consistency"

    refused = message(name, offers=("segmenter",))

    assert f"primary.metric: {name} is only measured where evaluation.metrics names it" in refused
    assert message(name, offers=("segmenter",), evaluation=f"{{metrics: [{name}]}}") == ""


def test_what_an_evaluation_asks_for_is_checked_where_it_is_written(message: Callable[..., str]) -> None:
    unknown = message("s_dir", evaluation="{metrics: [lpipz]}")
    absent = message("s_dir", evaluation="{metrics: [lpips]}")
    features = message("s_dir", evaluation="{fid_features: inception}")

    assert unknown.startswith(
        "space.yaml:5  baseline.evaluation.metrics: expected a metric; found 'lpipz'; did you mean lpips?"
    )
    assert absent.startswith("space.yaml:5  baseline.evaluation.metrics: lpips needs AlexNet's weights")
    assert features.startswith(
        "space.yaml:5  baseline.evaluation.fid_features: expected clip or auto; inception needs"
    )


def test_the_unit_of_a_margin_does_not_depend_on_what_a_domain_offers(message: Callable[..., str]) -> None:
    refused = message("frechet_distance")

    assert refused.startswith(
        "space.yaml:5  baseline.evaluation.fid_features: expected clip or inception where frechet_distance is the "
        "primary metric; found auto"
    )
    assert message("frechet_distance", evaluation="{fid_features: clip}") == ""
    assert message("cmmd") == message("s_dir") == ""


def test_features_of_sets_are_known_once_a_space_is_loaded(
    load: Load, summarise: Summarise, space_text: str
) -> None:
    def features(*offers: Need) -> set[str]:
        space = load(space_text, summarise=lambda name: replace(summarise(name), offers=frozenset(offers)))
        return {cell.config.evaluation.fid_features for cell in build_plan(space).cells}  # type: ignore[attr-defined]

    assert features() == {"clip"}
    assert features("inception") == {"inception"}


@pytest.mark.parametrize(
    "setting", ["evaluation.num_sample_steps", "training.inversion_refinements", "training.num_train_steps"]
)
def test_a_metric_whose_reference_an_axis_moves_cannot_be_the_primary_one(
    load: Load, space_text: str, setting: str
) -> None:
    text = space_text.replace(
        "path: editor.kind, values: [pixel_channel, conv]", f"path: {setting}, values: [20, 40]"
    )
    text = text.replace("domain: tiny", f"domain: tiny\n  {setting.replace('.', ': {')}: 40}}")

    load(text)  # The original image is the same for all.
    with pytest.raises(ConfigError) as refused:
        load(text.replace("metric: s_dir", "metric: counterfactual_gain"))

    (problem,) = refused.value.problems
    assert problem.where == "primary.metric"
    assert (
        f"counterfactual_gain is measured against a reference of each cell's own, which {setting} moves"
        in str(problem)
    )
    assert "s_dir" in str(problem)


def test_subgroups_need_a_label_of_the_domain_or_a_file_of_groups(
    message: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "teams.csv").write_text("image_id,team\nx,red\n")
    (tmp_path / "names.csv").write_text("name,team\nx,red\n")

    unlabelled = message("s_dir", evaluation="{subgroups: [skin]}")
    mistyped = message("s_dir", evaluation="{subgroups: [teem], subgroup_file: teams.csv}")
    without_ids = message("s_dir", evaluation="{subgroups: [team], subgroup_file: names.csv}")
    absent = message("s_dir", evaluation="{subgroups: [team], subgroup_file: nowhere.csv}")

    assert unlabelled.startswith(
        "space.yaml:5  baseline.evaluation.subgroups: no image of domain tiny is labelled, so skin tells no groups: "
        "name a CSV with columns image_id and skin as evaluation.subgroup_file"
    )
    assert "evaluation.subgroups: expected a label of domain tiny or column of" in mistyped
    assert "found 'teem'; did you mean team?" in mistyped
    assert "evaluation.subgroup_file: expected a CSV of image ids and their groups; " in without_ids
    assert "names.csv:1  expected a column image_id; found name, team" in without_ids
    assert "No such file or directory" in absent
    assert message("s_dir", evaluation="{subgroups: [team], subgroup_file: teams.csv}") == ""


def test_a_figure_of_a_set_metric_by_a_label_needs_that_subgroup(load: Load, space_text: str) -> None:
    figures = "figures:\n  - {kind: subgroups, label: skin, metrics: [s_dir, kernel_distance]}\n"
    text = space_text.replace("attribute: smiling", "attribute: smiling\n  evaluation: {subgroups: [skin]}")

    with pytest.raises(
        ConfigError,
        match=r"space\.yaml:\d+  figures\[0\]\.metrics\[1\]: kernel_distance is measured .* only where",
    ):
        load(space_text + figures)
    assert load(text + figures).config.figures


def test_a_claim_about_a_metric_that_cannot_be_told_is_refused(
    load: Load, summarise: Summarise, space_text: str
) -> None:
    claims = "claims:\n  - {text: it is, axis: encoder, better: conv, worse: pixel_channel, metric: s_dir_second}\n"

    with pytest.raises(ConfigError, match=r"claims\[0\]\.metric: s_dir_second needs a second CLIP model"):
        load(space_text + claims, summarise=lambda name: replace(summarise(name), offers=frozenset()))
