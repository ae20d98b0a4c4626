"""No input gives a traceback, and the same settings always have the same identity."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from orchestrator.cli.figure_checks import check_figures
from orchestrator.cli.option_values import cost
from orchestrator.plan.identity import Identity, canonical_text
from orchestrator.plan.loading import load_space
from orchestrator.space.config import ConfigError, Space
from orchestrator.space.units import bytes_of, seconds_of
from trainables.h_space.cli.option_values import numbers, strengths, timestep
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import DomainError, read_domain_file
from trainables.h_space.family import HSpace
from trainables.h_space.layers import Summarise
from trainables.names import wrong_label, wrong_name
from trainables.yaml_tree import read_yaml, write_yaml

quick = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NUMBERS = st.one_of(st.integers(), st.floats(), st.booleans())
# PyYAML writes the three line breaks of YAML 1.1 without quotes, and so writes another text.
TEXTS = st.text(st.characters(exclude_characters="\x85\u2028\u2029"), max_size=8) | st.sampled_from(
    ["1e3", "0o17", "1_000", "12:30", "no", "~", "<<", ".inf", "0x1f", "010", "=", "-", ""]
)
SCALARS = st.one_of(NUMBERS, st.none(), TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
)
YAML_LIKE = st.text(st.sampled_from("ab:-[]{}&*!|>'\"%@`#,? \n\t<.0123456789e+~\\x\x07\ud800é"), max_size=60)
RICH = """
question: q
published: {figure: '1'}
baseline:
  domain: tiny
  attribute: smiling
  editor: {kind: pixel_channel, num_heads: 1}
  training: {epochs: 2, t_edit: 400, optimizer: {kind: adamw}}
  evaluation: {strengths: [0, 1], num_images: 3, num_preview_images: 1, metrics: [], subgroups: []}
  init: {from: {attribute: sad}, epoch: 1}
per_attribute: {goblin: {texts: {source: a, target: b}, per_editor: {conv: {training: {epochs: 3}}}}}
per_domain: {tiny: {training: {epochs: 3}}}
axes:
  encoder: {path: editor.kind, values: [pixel_channel, conv]}
  rate: {path: training.optimizer.learning_rate, values: [0.001, 0.01], when: {encoder: [pixel_channel]}, off: 0.01}
  size: {values: {small: {}, large: {training: {num_images: 12}}}}
constraints: [{not: {encoder: conv, size: large}, because: x}]
design: {kind: one_factor, interactions: [[encoder, size]]}
seeds: [0, 1]
primary: {metric: loss_total, margin: 0.1, alpha: 0.05, instead: {metric: s_dir, margin: 1.0}}
compare: encoder
claims:
  - {text: t, axis: encoder, better: conv, worse: pixel_channel, published: {better: 1.0, worse: 2.0}}
  - {text: u, better: {size: small}, worse: {size: large}}
figures:
  - {kind: effects, name: a}
  - {kind: table, metrics: [s_dir], fixed: {encoder: conv}}
  - {kind: image_grid, rows: epoch, columns: encoder, fixed: {size: small}}
execution: {max_retries: 1, cpus_per_trial: 1}
"""


def places_in(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    keys = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for key in keys:
        yield from places_in(content[key], (*place, key))


PLACES = list(places_in(yaml.safe_load(RICH)))


@quick
@given(YAML_LIKE)
def test_any_text_is_read_or_refused(text: str) -> None:
    tree = read_yaml(text)

    assert tree.content is None or not isinstance(tree.content, float) or tree.content == tree.content


@quick
@given(VALUES)
def test_what_yaml_writes_is_read_back(value: Any) -> None:
    tree = read_yaml(write_yaml({"a": value}))

    assume(not tree.problems)
    assert canonical_text(tree.content["a"]) == canonical_text(_without_zeros(value))


def _without_zeros(value: Any) -> Any:
    """-0.0 is 0.0, and the texts that only YAML 1.1 takes for something else are quoted by what writes it."""
    if isinstance(value, list):
        return [_without_zeros(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_zeros(item) for key, item in value.items()}
    return value + 0.0 if isinstance(value, float) else value


@settings(quick, max_examples=150)
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_any_value_at_any_place_of_a_space_is_taken_or_refused(
    tmp_path: Path, summarise: Summarise, place: tuple[Any, ...], value: Any
) -> None:
    content = yaml.safe_load(RICH)
    block = content
    for key in place[:-1]:
        block = block[key]
    block[place[-1]] = value
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")

    assert _loaded_or_refused(
        lambda: load_space(path, family=HSpace(summarise), extra_checks=[check_figures])
    )


def test_the_space_that_is_changed_is_sound(tmp_path: Path, summarise: Summarise) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(RICH, encoding="utf-8")

    assert load_space(path, family=HSpace(summarise), extra_checks=[check_figures]).config.claims


@quick
@given(setting=st.one_of(YAML_LIKE, YAML_LIKE.map("training.epochs={}".format)))
def test_any_setting_of_the_command_line_is_taken_or_refused(
    tmp_path: Path, space_text: str, summarise: Summarise, setting: str
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(space_text, encoding="utf-8")

    assert _loaded_or_refused(
        lambda: load_space(path, settings=[setting], seeds=setting, family=HSpace(summarise))
    )


def _loaded_or_refused(load: Callable[[], Space]) -> bool:
    try:
        load()
    except ConfigError as error:
        return bool(error.problems)
    return True


@quick
@given(content=st.one_of(st.binary(max_size=60), YAML_LIKE.map(lambda text: text.encode("utf-8", "replace"))))
def test_any_domain_file_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)

    with pytest.raises(DomainError, match=r"mine\.yaml"):
        read_domain_file(str(path))


@quick
@given(st.one_of(st.text(max_size=20), st.from_regex(r"[0-9.:,eE+\-smhdMGiB ]{0,12}", fullmatch=True)))
@pytest.mark.parametrize("parse", [strengths, numbers, timestep, cost, seconds_of, bytes_of])
def test_any_value_of_an_option_is_taken_or_refused(parse: Callable[[str], object], text: str) -> None:
    told = ""
    try:
        parse(text)
    except (argparse.ArgumentTypeError, ValueError) as error:
        told = str(error)

    assert not told or "expected" in told


@quick
@given(st.text(st.characters()))
def test_any_name_is_judged(name: str) -> None:
    assert isinstance(wrong_name(name), str)
    assert isinstance(wrong_label(name), str)


# Identity

CELL = {"domain": "tiny", "attribute": "smiling", "editor": {"kind": "conv"}}
TRAINING: dict[str, st.SearchStrategy[Any]] = {
    "epochs": st.integers(1, 9),
    "batch_size": st.integers(1, 9),
    "t_edit": st.one_of(st.integers(0, 999), st.just("auto")),
    "lambda_clip": st.floats(0, 9),
    "prompt_cosine": st.booleans(),
    "clip_loss": st.sampled_from(["log", "plain"]),
}


def signature_of(training: dict[str, Any], summarise: Summarise) -> str:
    config = CellConfig.model_validate({**CELL, "training": training})
    return Identity(HSpace(summarise), config).signature(0, parent=None)


@quick
@given(training=st.fixed_dictionaries(TRAINING), data=st.data())
def test_order_and_form_change_no_identity(
    summarise: Summarise, training: dict[str, Any], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(list(training)))
    text = yaml.safe_dump({name: training[name] for name in order}, sort_keys=False, default_flow_style=True)

    assert signature_of(read_yaml(text).content, summarise) == signature_of(training, summarise)


@quick
@given(one=st.fixed_dictionaries(TRAINING), other=st.fixed_dictionaries(TRAINING))
def test_every_other_value_is_another_identity(
    summarise: Summarise, one: dict[str, Any], other: dict[str, Any]
) -> None:
    same = one == other

    assert (signature_of(one, summarise) == signature_of(other, summarise)) is same


@quick
@given(one=SCALARS, other=SCALARS)
def test_values_of_different_types_have_different_texts(one: Any, other: Any) -> None:
    assume(one == one and other == other and abs(hash(one)) != abs(hash(float("inf"))))
    try:
        texts = canonical_text(one), canonical_text(other)
    except ValueError:  # infinity, which no file can hold
        return

    assert (texts[0] == texts[1]) is (type(one) is type(other) and repr(one) == repr(other))


def test_zero_has_one_identity(summarise: Summarise) -> None:
    minus, plus = (read_yaml(f"lambda_clip: {text}").content for text in ("-0.0", "0.0"))

    assert signature_of(minus, summarise) == signature_of(plus, summarise)
