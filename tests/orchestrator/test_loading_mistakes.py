"""Each mistake in a space is told once, with its line, in words that say what to write instead."""

import pytest
from space_messages import Load, message_of, replaced

from trainables.h_space.editors import EDITORS
from trainables.h_space.layers import owners
from trainables.wording import one_of

# One mistake each: (what the valid space says, what it says instead, the whole message)
MISTAKES = {
    "unknown top-level key": (
        "seeds: 2",
        "seeds: 2\ndesing: product",
        "space.yaml:9  desing: unknown setting; did you mean design?",
    ),
    "unknown editor setting": (
        "num_heads",
        "nheads",
        "space.yaml:5  baseline.editor.nheads: unknown setting for pixel_channel; did you mean num_heads?",
    ),
    "misspelt attribute": (
        "smiling",
        "smilling",
        "space.yaml:4  baseline.attribute: expected an attribute; found 'smilling'; did you mean smiling? "
        "(all: asyrp-sweep list attributes)",
    ),
    "heads that do not divide the width": (
        "num_heads: 1",
        "num_heads: 3",
        "space.yaml:5  baseline.editor.num_heads: num_heads 3 does not divide the width 64 of the pixel tokens; "
        "num_heads 3 does not divide the width 16 of the channel tokens",
    ),
    "wrong type": (
        "num_heads: 1",
        "num_heads: two",
        "space.yaml:5  baseline.editor.num_heads: expected a whole number; found 'two'",
    ),
    "out of bounds": (
        "margin: 0.05",
        "margin: 0",
        "space.yaml:9  primary.margin: expected more than 0; found 0",
    ),
    "comparing along no axis": (
        "seeds: 2",
        "seeds: 2\ncompare: encodr",
        "space.yaml:9  compare: expected an axis of this space; found 'encodr'; did you mean encoder?",
    ),
    "misspelt domain": (
        "seeds: 2",
        "seeds: 2\nper_domain: {avatar: {training: {num_images: 8}}}",
        "space.yaml:9  per_domain.avatar: expected the name of a domain; found 'avatar'; did you mean avatars?",
    ),
    "unknown setting of a domain": (
        "seeds: 2",
        "seeds: 2\nper_domain: {tiny: {training: {num_image: 8}}}",
        "space.yaml:9  per_domain.tiny.training.num_image: unknown setting; did you mean num_images?",
    ),
    "repeated key": (
        "seeds: 2",
        "seeds: 2\nseeds: 3",
        "space.yaml:9  seeds: repeated key; it is already on line 8",
    ),
    "unknown metric": (
        "metric: s_dir",
        "metric: sdir",
        "space.yaml:9  primary.metric: expected a metric; found 'sdir'; did you mean s_dir? "
        "(all: asyrp-sweep list metrics)",
    ),
    "unknown axis path": (
        "path: editor.kind",
        "path: editor.kinds",
        "space.yaml:7  axes.encoder.path: expected the path of a setting; found 'editor.kinds'; "
        "did you mean editor.kind?",
    ),
    "axis path of a whole block": (
        "path: editor.kind",
        "path: training.optimizer",
        "space.yaml:7  axes.encoder.path: expected one setting; training.optimizer holds several, such as "
        "training.optimizer.kind",
    ),
    "unknown editor on an axis": (
        "conv]",
        "convv]",
        f"space.yaml:7  axes.encoder.values[1]: expected {one_of(EDITORS)}; found 'convv'; did you mean conv?",
    ),
    "axis value of a wrong type": (
        "conv]",
        "null]",
        "space.yaml:7  axes.encoder.values[1]: expected text, a number or true/false; found nothing",
    ),
    "axis value twice": (
        "conv]",
        "conv, conv]",
        "space.yaml:7  axes.encoder.values: expected each value once; found 'conv' twice",
    ),
    "listed values without a path": (
        "path: editor.kind, ",
        "",
        "space.yaml:7  axes.encoder: listed values need a `path`, the setting they are values of",
    ),
    "baseline not on its axis": (
        "[pixel_channel, conv]",
        "[pixel, conv]",
        "space.yaml:7  axes.encoder.values: expected the baseline's own editor.kind among them, pixel_channel; "
        "found pixel or conv; add it: values: [pixel_channel, pixel, conv], or change the baseline: "
        "baseline: {editor: {kind: pixel}}",
    ),
    "two axes that set the same": (
        "axes:\n",
        "axes:\n  model: {values: {a: {editor: {kind: pixel_channel}}, b: {editor: {kind: pixel}}}}\n",
        "space.yaml:8  axes.encoder: sets editor.kind, which axis model sets too; an axis varies its own settings",
    ),
    "setting that no cell uses": (
        "kind: pixel_channel, num_heads: 1}\naxes:\n  encoder: {path: editor.kind, values: [pixel_channel, conv]}",
        "kind: conv, num_heads: 1}",
        "space.yaml:5  baseline.editor.num_heads: no cell uses it: conv has no num_heads "
        f"(only {one_of(owners('num_heads'))})",
    ),
    "more steps than there are timesteps": (
        "axes:",
        "  training: {num_train_steps: 1000000}\naxes:",
        "space.yaml:6  baseline.training.num_train_steps: expected at most 1000; found 1000000",
    ),
    "a kind of editor that is a list": (
        "path: editor.kind, values: [pixel_channel, conv]",
        "values: {a: {}, b: {editor: {kind: [conv]}}}",
        f"space.yaml:7  axes.encoder.values.b.editor.kind: expected {one_of(EDITORS)}; found a list",
    ),
    "block written as one value": (
        "{kind: pixel_channel, num_heads: 1}",
        "pixel_channel",
        "space.yaml:5  baseline.editor: expected a mapping; found 'pixel_channel'",
    ),
    "unknown domain": (
        "domain: tiny",
        "domain: tinny",
        "space.yaml:3  baseline.domain: 'tinny' is not a domain (shipped: tiny, wide)",
    ),
    "no attribute": (
        "  attribute: smiling\n",
        "",
        "space.yaml:2  baseline.attribute: required, but missing",
    ),
    "mistake in a named value": (
        "axes:\n",
        "axes:\n  size: {values: {small: {}, large: {training: {t_edit: -1}}}}\n",
        "space.yaml:7  axes.size.values.large.training.t_edit: expected at least 0, 'auto' or a mapping; found -1",
    ),
    "seeds that are no number": (
        "seeds: 2",
        "seeds: six",
        "space.yaml:8  seeds: expected a count or a list of seeds; found 'six'",
    ),
    "claim about another axis": (
        "seeds: 2",
        "claims: [{text: more is better, axis: heads, better: 2, worse: 1}]\nseeds: 2",
        "space.yaml:8  claims[0].axis: expected an axis of this space; found 'heads'",
    ),
    "claim about another value": (
        "seeds: 2",
        "claims: [{text: conv wins, axis: encoder, better: convv, worse: pixel_channel}]\nseeds: 2",
        "space.yaml:8  claims[0].better: expected a value of axis encoder; found 'convv'; did you mean conv?",
    ),
    "claim at a misspelt coordinate": (
        "seeds: 2",
        "claims: [{text: at half, axis: encoder, better: conv, worse: pixel_channel, strenght: 0.5}]\nseeds: 2",
        "space.yaml:8  claims[0].strenght: unknown setting; did you mean strength?",
    ),
    "claim at a coordinate that is no number": (
        "seeds: 2",
        "claims: [{text: at half, axis: encoder, better: conv, worse: pixel_channel, strength: half}]\nseeds: 2",
        "space.yaml:8  claims[0].strength: expected a number; found 'half'",
    ),
    "lists as the values of an axis": (
        "path: editor.kind, values: [pixel_channel, conv]",
        "path: evaluation.strengths, values: [[0, 1], [1]]",
        "space.yaml:7  axes.encoder.values: expected texts, numbers or true/false; found a list or a mapping among "
        "them; leave out `path` and name each value as a group of settings: values: {name_1: {evaluation: "
        "{strengths: [0, 1]}}, name_2: {evaluation: {strengths: [1]}}}",
    ),
    "two values that read alike": (
        "{path: editor.kind, values: [pixel_channel, conv]}\n",
        "{values: {a: {}, b: {training: {epochs: 3}}, 'b,x=d': {training: {epochs: 4}}}}\n"
        "  x: {values: {c: {}, d: {training: {num_images: 3}}}}\ndesign: product\n",
        "space.yaml:6  axes: two cells would be called encoder=b,x=d; expected values that read differently",
    ),
    "axes that differ in capitals alone": (
        "axes:\n",
        "axes:\n  Encoder: {path: training.epochs, values: [1, 2]}\n",
        "space.yaml:8  axes.encoder: expected names that differ in more than capitals; Encoder is there already",
    ),
    "groups that differ in capitals alone": (
        "axes:\n",
        "axes:\n  size: {values: {a: {}, A: {training: {epochs: 3}}}}\n",
        "space.yaml:7  axes.size.values.A: expected names that differ in more than capitals; a is there already",
    ),
    "a name on two lines": (
        "axes:\n",
        'axes:\n  size: {values: {small: {}, "la\\nrge": {training: {epochs: 3}}}}\n',
        "space.yaml:7  axes.size.values.la\nrge: expected a name on one line; found the character U+000A in "
        "'la\\nrge'",
    ),
    "a range that no number spans": (
        "path: editor.kind, values: [pixel_channel, conv]",
        "path: training.lambda_clip, values: {low: -1e308, high: 1e308}",
        "space.yaml:7  axes.encoder.values: expected a narrower range; found low -1e+308 and high 1e+308",
    ),
    "more seeds than a plan can have": (
        "seeds: 2",
        "seeds: 1000000000000",
        "space.yaml:8  seeds: expected at most 10,000 seeds; found 1,000,000,000,000",
    ),
    "a number in quotes": (
        "margin: 0.05",
        "margin: '0.05'",
        "space.yaml:9  primary.margin: expected a number; found '0.05'; write 0.05 without quotes",
    ),
    "a margin in a unit of its own": (
        "margin: 0.05",
        "margin: 5 %",
        "space.yaml:9  primary.margin: expected a number in the metric's own unit (asyrp-sweep list metrics), such as "
        "0.05; found '5 %'",
    ),
    "a margin that is no number": (
        "margin: 0.05",
        "margin: .nan",
        "space.yaml:9  primary.margin: expected a finite number; found .nan",
    ),
    "figure without a kind": (
        "seeds: 2",
        "figures: [{by: encoder}]\nseeds: 2",
        "space.yaml:8  figures[0]: expected a `kind` (all: asyrp-sweep list figures)",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_once_with_its_line_and_the_way_out(load: Load, space_text: str, case: str) -> None:
    old, new, message = MISTAKES[case]

    found = message_of(load, replaced(space_text, old, new))

    assert found == f"{message}\n1 problem. No trial was started."
