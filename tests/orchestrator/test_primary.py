"""A space that says what to judge by where its first choice cannot be told."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.plan.loading import load_space
from orchestrator.space.config import ConfigError, Space
from trainables.h_space.domains import DomainSummary, shipped_domains
from trainables.h_space.layers import Summarise

SPACE = """
question: Which one?
baseline: {domain: avatars, attribute: ATTRIBUTE, editor: {kind: conv}}
axes:
  edit: {path: attribute, values: [ATTRIBUTE, smiling]}
seeds: 1
primary: {metric: counterfactual_gain, margin: 0.05, instead: {metric: s_dir, margin: 0.02}}
"""


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("probe_success", "probe_success needs labelled images"),
        ("s_dirr", "expected a metric; found 's_dirr'"),
    ],
)
def test_a_refused_metric_that_stands_instead_is_named_where_it_stands(
    load: Callable[..., Space], summarise: Summarise, space_text: str, metric: str, said: str
) -> None:
    instead = f"instead:\n    {{metric: {metric}, margin: 0.02}}"
    text = space_text.replace(
        "primary: {metric: s_dir, margin: 0.05}",
        f"primary:\n  metric: counterfactual_gain\n  margin: 0.05\n  {instead}",
    )

    with pytest.raises(ConfigError) as refused:
        load(text, summarise=lambda name: replace(summarise(name), offers=frozenset()))

    assert str(refused.value).startswith(f"space.yaml:13  primary.instead.metric: {said}")
    assert "1 problem." in str(refused.value)


def _primary_of(attribute: str, folder: Path) -> str:
    path = folder / "space.yaml"
    path.write_text(SPACE.replace("ATTRIBUTE", attribute), encoding="utf-8")
    return load_space(path).config.primary.metric


def test_first_choice_is_kept_where_every_cell_can_tell_it(tmp_path: Path) -> None:
    assert _primary_of("goblin", tmp_path) == "counterfactual_gain"


def test_what_stands_instead_is_taken_where_one_cell_cannot(tmp_path: Path) -> None:
    path = tmp_path / "domain.yaml"
    avatars = shipped_domains()["avatars"].parent
    text = (avatars / "domain.yaml").read_text(encoding="utf-8")
    text = text.replace("folder: weights/clip", f"folder: {avatars}/weights/clip")
    text = text.replace("diffusion: weights", f"diffusion: {avatars}/weights")
    path.write_text(text.replace("attributes: [", "attributes: [makeup, "), encoding="utf-8")
    space = tmp_path / "space.yaml"
    named = SPACE.replace("ATTRIBUTE", "makeup").replace("domain: avatars", f"domain: {path}")
    space.write_text(named, encoding="utf-8")

    assert load_space(space).config.primary.metric == "s_dir"


def test_another_mistake_hides_no_second_choice(
    load: Callable[..., Space], summarise: Summarise, space_text: str
) -> None:
    chosen = "primary: {metric: counterfactual_gain, margin: 0.05, instead: {metric: s_dir, margin: 0.02}}"
    text = space_text.replace("primary: {metric: s_dir, margin: 0.05}", chosen)

    def undrawn(name: str) -> DomainSummary:
        return replace(summarise(name), offers=frozenset())

    with pytest.raises(ConfigError) as refused:
        load(text.replace("num_heads: 1}", "num_heads: 1, num_headz: 2}"), summarise=undrawn)
    space = load(text, summarise=undrawn)

    assert "num_headz" in str(refused.value)
    assert "1 problem." in str(refused.value)
    assert space.config.primary.metric == "s_dir"
    assert [why.split(" needs ")[0] for why in space.primary_because] == ["counterfactual_gain"]


def test_metrics_are_found_by_the_names_that_they_had(load: Callable[..., Space], space_text: str) -> None:
    text = space_text.replace("metric: s_dir, margin", "metric: identity_kept, margin")
    text += "figures:\n  - {kind: line, x: encoder, metrics: [fid, kid]}\n"

    space = load(text)

    assert space.config.primary.metric == "clip_similarity_kept"
    assert space.config.figures[0]["metrics"] == ["frechet_distance", "kernel_distance"]


def test_what_stands_instead_may_have_an_instead_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    text = SPACE.replace("ATTRIBUTE", "goblin").replace("counterfactual_gain", "lpips")
    second = "instead: {metric: s_dir_second, margin: 0.02, instead: {metric: judged_gain, margin: 0.02}}"
    path.write_text(text.replace("instead: {metric: s_dir, margin: 0.02}", second), encoding="utf-8")

    assert load_space(path).config.primary.metric == "judged_gain"
