"""A metric that cannot be told is a mistake in the space, found before anything runs."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.config import ConfigError, Space
from orchestrator.resolving import Summarise
from trainables.domains import DomainSummary
from trainables.metrics import NEEDS, Need

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


def test_a_claim_about_a_metric_that_cannot_be_told_is_refused(
    load: Load, summarise: Summarise, space_text: str
) -> None:
    claims = "claims:\n  - {text: it is, axis: encoder, better: conv, worse: pixel_channel, metric: s_dir_second}\n"

    with pytest.raises(ConfigError, match=r"claims\[0\]\.metric: s_dir_second needs a second CLIP model"):
        load(space_text + claims, summarise=lambda name: replace(summarise(name), offers=frozenset()))
