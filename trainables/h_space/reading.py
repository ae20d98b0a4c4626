"""What readers of results need to know of the coordinates and samples of edits."""

from trainables.exchange import Coordinate, SampleKind

COORDINATES = (
    Coordinate(
        "strength",
        "strength",
        meaning="Negative strengths were never trained; reconstr. is the reconstruction (strength 0).",
        neutral=0.0,
        neutral_label="reconstr.",
        size="s_dir",
        ends=("− {attribute} (not trained)", "+ {attribute} (trained)"),
        setting="evaluation.primary_strength",
    ),
    Coordinate(
        "num_sample_steps",
        "sampling steps",
        meaning="Steps of the reverse process that makes a picture.",
        setting="evaluation.num_sample_steps",
    ),
)
SAMPLE_KINDS = (
    SampleKind("edit", "edits"),
    SampleKind("original", "originals", "original", "original", is_reference=True),
    SampleKind("reconstruction", "reconstructions", "reconstruction", "reconstr.", is_reference=True),
    SampleKind(
        "counterfactual",
        "true edits",
        "true edit",
        "true edit",
        is_reference=True,
        only_shared=True,
        note="True edits are drawn from the image's own description.",
    ),
)
