"""The complete configuration of a trial on molecules (all but its seed): what a cell of a space resolves to."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic.fields import FieldInfo

from trainables.molecules.models import MODELS, any_model
from trainables.settings import Settings
from trainables.starts import InitConfig

if TYPE_CHECKING:
    from trainables.molecules.models import ModelSettings as ModelConfig
else:  # The union is built by discovery at import, which no static checker can see.
    from trainables.molecules.models import ModelConfig

TargetName = Literal["mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u", "h", "g", "cv"]


def _as_tuple(value: object) -> object:
    """YAML and JSON know only lists; strict models want tuples."""
    return tuple(value) if isinstance(value, list) else value


def _with_kind(value: object) -> object:
    """A model that names no kind is an egnn."""
    return {"kind": "egnn", **value} if isinstance(value, dict) else value


class TrainingConfig(Settings):
    """Adam on the mean absolute error, its rate lowered to zero once, by a cosine over all steps.

    Departure: the published code takes three steps of its schedule in every epoch, so that its rate falls to zero and
    rises again; it trains for 1,000 epochs.
    """

    num_train: int = Field(default=1000, ge=20)
    """Molecules trained on; the seed draws them from those of the split `train`."""
    epochs: int = Field(default=8, ge=1)
    """How often each of them is seen."""
    batch_size: int = Field(default=32, ge=1)
    """Molecules of an optimizer step; the last batch of an epoch may be smaller."""
    learning_rates: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1), BeforeValidator(_as_tuple)
    ] = (1e-3, 3e-3)
    """A model is trained with each of these, from the same weights on the same batches; the one with the lowest error
    on the validation molecules after the last epoch is the trial's. Every cell should have the same choice: at one
    rate for all, the rate decides which model looks best."""
    rotations: bool = False
    """Turn every molecule at random whenever it is seen."""

    @model_validator(mode="after")
    def _rates_differ(self) -> Self:
        if len(set(self.learning_rates)) < len(self.learning_rates):
            raise ValueError(f"learning_rates names a rate twice: {list(self.learning_rates)}")
        return self


class EvaluationConfig(Settings):
    """Molecules that no training sees, the same for every seed."""

    num_validation: int = Field(default=500, ge=1)
    """Molecules that the learning rate is chosen on."""
    num_test: int = Field(default=1000, ge=2)
    """Molecules that are measured once, after the choice."""


class MoleculesConfig(Settings):
    """One point of a space, fully resolved."""

    schema_version: Literal[1] = 1
    """Raised when a field changes its meaning."""
    data: Literal["subset", "qm9"] = "subset"
    """subset: 6,500 molecules that come with the package, all of the published training split; qm9: all 130,831, from
    the extra `molecules`, in the published split."""
    target: TargetName = "alpha"
    """The property that is predicted; a model learns one."""
    model: Annotated[ModelConfig, BeforeValidator(_with_kind)] = Field(default_factory=MODELS["egnn"])
    """What predicts it."""
    training: TrainingConfig = TrainingConfig()
    """How it is trained."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """What it is measured on."""
    init: InitConfig | None = None
    """A warm start from the model of another cell, or of a file; random weights when left out."""

    def canonical(self) -> Self:
        """The same configuration with what has no effect in it at its default, so that equal cells look equal."""
        inactive = self.model.inactive()
        active: dict[str, Any] = {name: value for name, value in self.model if name not in inactive}
        return self.model_copy(update={"model": type(self.model)(**active)})


def _offer_plugins() -> None:
    """Let cells name the models that plugins have added, or have taken away again."""
    kinds: Any = Annotated[any_model(), BeforeValidator(_with_kind)]
    field = MoleculesConfig.model_fields["model"]
    offered = FieldInfo.from_annotated_attribute(kinds, Field(default_factory=MODELS["egnn"]))
    offered.description = field.description
    MoleculesConfig.model_fields["model"] = offered
    MoleculesConfig.model_rebuild(force=True)


MODELS.when_changed.append(_offer_plugins)
if MODELS.origins:
    _offer_plugins()
