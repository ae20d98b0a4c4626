"""The complete configuration of a trial (all but its seed): what a cell of a space resolves to."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from trainables.settings import Settings

if TYPE_CHECKING:
    from trainables.editors import EditorSettings as EditorConfig
else:  # The union is built by discovery at import, which no static checker can see.
    from trainables.editors import EditorConfig

TRAINING_VERSION = 1
"""Raised when the same configuration would give other numbers; part of every trial's signature."""


def _as_tuple(value: object) -> object:
    """YAML and JSON know only lists; strict models want tuples."""
    return tuple(value) if isinstance(value, list) else value


class OptimizerConfig(Settings):
    """How the editor's weights are moved."""

    kind: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    """cosine: to zero over the whole training; step: tenfold decay every 3 epochs (the published one)."""


class TrainingConfig(Settings):
    """One training, as in the published code unless a comment says otherwise (method.md sections 7 and 8)."""

    num_images: int = Field(default=1000, ge=1)
    batch_size: int = Field(default=8, ge=1)
    epochs: int = Field(default=1, ge=1)
    num_train_steps: int = Field(default=40, ge=2)
    """Length of the DDIM sequence S(n, 999), for inversion, training and the unedited trajectory alike."""
    t_edit: int = Field(default=500, ge=0, le=999)
    """The edit is trained and applied while t >= t_edit."""
    lambda_clip: float = Field(default=0.8, ge=0)
    lambda_recon: float = Field(default=3.0, ge=0)
    """Multiplied by the cosine of the two bare prompts, which is taken as `min_prompt_cosine` when lower."""
    min_prompt_cosine: float = Field(default=0.1, ge=0, le=1)
    """A small CLIP can give a negative prompt cosine, which would reward leaving the image: the floor."""
    clip_loss: Literal["log", "plain"] = "log"
    """log: -ln((2 - L_direction) / 2), the published wrap; plain: L_direction."""
    optimizer: OptimizerConfig = OptimizerConfig()


class EvaluationConfig(Settings):
    """What is measured on held-out images once a trial is trained."""

    num_images: int = Field(default=100, ge=1)
    strengths: Annotated[tuple[float, ...], BeforeValidator(_as_tuple)] = (0.0, 0.5, 1.0)
    """Scale of Delta-h relative to training; 0 is the reconstruction."""
    num_sample_steps: int = Field(default=40, ge=2)
    primary_strength: float = 1.0
    """The strength whose means become the trial's summary metrics."""
    num_preview_images: int = Field(default=3, ge=0)
    """Held-out images whose pictures are kept, after every epoch."""

    @model_validator(mode="after")
    def _primary_is_evaluated(self) -> "EvaluationConfig":
        if self.primary_strength not in self.strengths:
            raise ValueError(
                f"primary_strength {self.primary_strength} is not among strengths {list(self.strengths)}"
            )
        if self.num_preview_images > self.num_images:
            raise ValueError(
                f"num_preview_images {self.num_preview_images} exceeds num_images {self.num_images}"
            )
        return self


class CellConfig(Settings):
    """One point of a space, fully resolved."""

    schema_version: Literal[1] = 1
    domain: str
    """A shipped domain's name, or the absolute path of a domain YAML."""
    attribute: str
    editor: EditorConfig
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
