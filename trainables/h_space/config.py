"""The complete configuration of a trial (all but its seed): what a cell of a space resolves to."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator
from pydantic.fields import FieldInfo

from trainables.h_space.attributes import ATTRIBUTES, Attribute
from trainables.h_space.editors import EDITORS, any_editor
from trainables.h_space.optimizers import OPTIMIZERS
from trainables.h_space.precision import PrecisionConfig
from trainables.h_space.timesteps import PUBLISHED_T_MAX
from trainables.settings import Settings

if TYPE_CHECKING:
    from trainables.h_space.editors import EditorSettings as EditorConfig
else:  # The union is built by discovery at import, which no static checker can see.
    from trainables.h_space.editors import EditorConfig


MAX_STEPS = 1000
"""Most steps of a DDIM sequence: as many timesteps as the diffusion models have."""


def _as_tuple(value: object) -> object:
    """YAML and JSON know only lists; strict models want tuples."""
    return tuple(value) if isinstance(value, list) else value


class OptimizerConfig(Settings):
    """How the editor's weights are moved."""

    kind: Literal["adafactor", "adamw", "sgd"] = "adamw"
    """Which optimizer."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """For adafactor the highest step relative to a weight's own size: the step is at most 1/sqrt(n) at step n."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay, as torch's optimizer of this kind takes it."""
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """Momentum of sgd; the published one has none."""
    schedule: Literal["constant", "cosine", "step", "relative"] = "cosine"
    """cosine: to zero over the whole training; step: by `step_factor` every `step_epochs` epochs; relative: 1e-6 n at
    optimizer step n, whatever the learning rate, for adafactor alone (both as published)."""
    step_epochs: int = Field(default=3, ge=1)
    """Epochs between two steps of the schedule step."""
    step_factor: float = Field(default=0.1, gt=0, le=1)
    """What the schedule step multiplies the learning rate by."""

    @model_validator(mode="after")
    def _relative_is_for_adafactor(self) -> Self:
        if self.schedule == "relative" and self.kind != "adafactor":
            raise ValueError(f"schedule relative is for kind adafactor alone; found kind {self.kind}")
        return self

    def inactive(self) -> tuple[str, ...]:
        """Settings without any effect beside the others."""
        momentum = ("momentum",) if self.kind in ("adamw", "adafactor") else ()
        step = () if self.schedule == "step" else ("step_epochs", "step_factor")
        rate = ("learning_rate",) if self.schedule == "relative" else ()
        return (*momentum, *step, *rate)

    def canonical(self) -> Self:
        """The same optimizer with its inactive settings at their defaults."""
        return type(self)(**{name: value for name, value in self if name not in self.inactive()})


class PublishedTimestep(Settings):
    """A timestep of the published noise schedule, where a domain's own model counts others."""

    like: int = Field(ge=0, le=PUBLISHED_T_MAX)
    """It stands for the timestep of equal ᾱ of the domain's diffusion model."""


class TrainingConfig(Settings):
    """One training, as in the published code unless a comment says otherwise (method.md sections 7 and 8)."""

    num_images: int = Field(default=1000, ge=1)
    """Training images; which ones is said by `images`."""
    batch_size: int = Field(default=8, ge=1)
    """Images of a batch."""
    epochs: int = Field(default=1, ge=1)
    """Times that the training goes through its images."""
    num_train_steps: int = Field(default=40, ge=2, le=MAX_STEPS)
    """Length of the DDIM sequence that ends at the model's noisiest timestep, for inversion, training and the unedited
    trajectory alike."""
    inversion_refinements: int = Field(default=0, ge=0)
    """Fixed-point iterations at every step of the inversion, a U-Net pass each; 0 is the published one, which takes a
    pass a step, too. One already makes reconstructions several times closer."""
    t_edit: Annotated[int, Field(ge=0)] | Literal["auto"] | PublishedTimestep = 500
    """The edit is trained and applied while t >= t_edit. auto: found by the published rule (method.md section 5);
    `{like: 513}`: as noisy as that t of the published schedule, a number from when a space is read on."""
    trajectory: Literal["edited", "reference"] = "edited"
    """Where x_t comes from. edited: each timestep goes on from the image that the last one left, as published;
    reference: the cached unedited process, whose timesteps need no order and are shuffled for every batch."""
    direction: Literal["recomputed", "cached"] = "recomputed"
    """epsilon of D_t on the edited trajectory. recomputed: a decoder pass without gradient; cached: the unedited
    process's at the same t, which saves that pass."""
    steps_per: Literal["timestep", "batch"] = "timestep"
    """An optimizer step at every timestep, as published, or one a batch with the losses of its timesteps averaged."""
    accumulation: int = Field(default=1, ge=1)
    """Batches that share an optimizer step, their losses averaged over all their images. The logarithm of
    `clip_loss: log` is taken of each batch's mean, so that they act as one large batch with `plain` alone.
    Departure: the published code accumulates over timesteps, and sums."""
    lambda_clip: float = Field(default=0.8, ge=0)
    """Weight of the directional CLIP loss."""
    lambda_recon: float = Field(default=3.0, ge=0)
    """Weight of the L1 distance to the unedited image."""
    recon_in: Literal["x", "pictures"] = "x"
    """What that distance is of. x: what the diffusion model works on, pixels or latents; pictures: their decode, of a
    model of latents, at the price of a decoder pass more a step. The two are of different size: weigh each anew."""
    prompt_cosine: bool = True
    """Whether lambda_recon is multiplied by the cosine of the two bare prompts, as published."""
    min_prompt_cosine: float = Field(default=0.1, ge=0, le=1)
    """A small CLIP can give a negative prompt cosine, which would reward leaving the image: the floor."""
    clip_loss: Literal["log", "plain"] = "log"
    """log: -ln((2 - L_direction) / 2), the published wrap; plain: L_direction."""
    clip_reference: Literal["original", "decoded", "unedited"] = "original"
    """What the image direction starts from. original: the real image, as published; decoded: of a model of latents,
    the image encoded and decoded again, as blurred by the decoder as every edit is; unedited: the unedited P_t at the
    same t, as texts on the method say."""
    templates: Literal["domain", "bare"] = "domain"
    """Prompts of the text direction that is trained towards: in the domain's templates, or bare. Metrics always use
    the domain's."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """How the editor's weights are moved."""

    @property
    def lowest_t(self) -> int:
        """`t_edit` as a number. Raises ValueError while it is "auto"; `editing_interval.resolved` finds it."""
        if not isinstance(self.t_edit, int):
            raise ValueError(f"training.t_edit is {self.t_edit} and has not been found yet")
        return self.t_edit

    def inactive(self) -> tuple[str, ...]:
        """Settings without any effect beside the others."""
        weighed = (self.prompt_cosine and self.lambda_recon > 0) or self.t_edit == "auto"
        return (
            *(() if self.trajectory == "edited" else ("direction",)),
            *(() if self.lambda_clip > 0 else ("clip_loss", "clip_reference", "templates")),
            *(() if self.lambda_recon > 0 else ("prompt_cosine", "recon_in")),
            *(() if weighed else ("min_prompt_cosine",)),
        )

    def canonical(self) -> Self:
        """The same training with its inactive settings at their defaults, its optimizer's too."""
        active = {name: value for name, value in self if name not in self.inactive()}
        return type(self)(**{**active, "optimizer": self.optimizer.canonical()})


class EvaluationConfig(Settings):
    """What is measured on held-out images once a trial is trained."""

    num_images: int = Field(default=100, ge=1)
    """Held-out images that are measured; which ones is said by `images`."""
    split: Literal["test", "validation"] = "test"
    """test: images that are measured once, by what was settled before; validation: those that settings are chosen by,
    in a search or for learning rates."""
    strengths: Annotated[tuple[float, ...], BeforeValidator(_as_tuple)] = (0.0, 0.5, 1.0)
    """Scale of Delta-h relative to training; 0 is the reconstruction, a negative one edits the other way."""
    num_sample_steps: int = Field(default=40, ge=2, le=MAX_STEPS)
    """Length of the DDIM sequence of a sampling; Delta-h is scaled by the ratio of trained and sampled steps."""
    more_sample_steps: Annotated[
        tuple[Annotated[int, Field(ge=2, le=MAX_STEPS)], ...], BeforeValidator(_as_tuple)
    ] = ()
    """Other lengths that the same editor is evaluated at besides."""
    primary_strength: float = 1.0
    """The strength whose means become the trial's summary metrics."""
    num_preview_images: int = Field(default=3, ge=0)
    """Held-out images whose pictures are kept, after every epoch."""
    preview_strengths: Annotated[
        tuple[Annotated[float, Field(allow_inf_nan=False)], ...], BeforeValidator(_as_tuple)
    ] = ()
    """Further strengths whose pictures of these images are kept after the last epoch, enough for a slider. They are
    generated and not measured."""
    t_boost: int = Field(default=0, ge=0)
    """Quality boost: noise (eta = 1) while t < t_boost, the same in an image's edits and reconstruction; 0 is off."""
    delta_h: Literal["predicted", "mean", "global"] = "predicted"
    """mean: each timestep's Delta-h averaged over the training images, in place of the editor; global: over timesteps
    too."""
    metrics: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    """Metrics that cost enough to be measured only where they are named here; the others always are."""
    fid_features: Literal["auto", "clip", "inception"] = "auto"
    """What sets are compared in, for FID and KID. auto: Inception where the domain names its weights, else its CLIP."""
    subgroups: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    """Labels of the images (skin, gender): metrics of whole sets are measured within each of their groups as well."""
    subgroup_file: str | None = None
    """A CSV with a column image_id and one for each label in `subgroups` that the domain does not have; relative to
    the space's file. It counts by its content."""

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
        if self.num_sample_steps in self.more_sample_steps:
            raise ValueError(
                f"more_sample_steps names {self.num_sample_steps}, which num_sample_steps is already"
            )
        if self.subgroup_file is not None and not self.subgroups:
            raise ValueError("subgroup_file has no meaning where subgroups names none of its columns")
        return self

    def canonical(self) -> Self:
        """The same evaluation without preview strengths that add nothing."""
        shown = dict.fromkeys(self.preview_strengths) if self.num_preview_images else {}
        further = tuple(strength for strength in shown if strength not in self.strengths)
        return self.model_copy(update={"preview_strengths": further})

    @property
    def all_sample_steps(self) -> tuple[int, ...]:
        """Every sampling length, the primary one first."""
        return (self.num_sample_steps, *self.more_sample_steps)


class InitSource(Settings):
    """Whose weights an editor starts from: exactly one of these."""

    attribute: str | dict[str, str] | None = None
    """The same cell trained from scratch for another attribute. A mapping gives each attribute its own (`zombie:
    goblin`); one that is not in it starts from scratch, one whose source is in it too makes a chain."""
    cell: str | dict[str, str | int | float | bool] | None = None
    """Another cell of the plan by its name, or this cell with other values of some axes."""
    editor: str | None = None
    """An editor file; relative to the space's file. It counts by its content, not by its name."""

    @model_validator(mode="after")
    def _exactly_one(self) -> "InitSource":
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"expected one of attribute, cell or editor; found {found}")
        return self


class InitConfig(Settings):
    """A warm start: the editor begins with the weights of another one instead of random ones."""

    model_config = ConfigDict(serialize_by_alias=True)

    source: InitSource = Field(alias="from")
    """Whose weights."""
    epoch: int | None = Field(default=None, ge=1)
    """After how many epochs of the parent's training; its last when left out."""
    control: bool = True
    """Add the cell that trains from scratch for as long as parent and child together."""

    @model_validator(mode="after")
    def _a_file_is_what_it_is(self) -> "InitConfig":
        if self.source.editor is not None and self.epoch is not None:
            raise ValueError("epoch has no meaning for an editor file, which holds one; leave it out")
        return self

    def for_attribute(self, attribute: str) -> "InitConfig | None":
        """What of it concerns a cell of this attribute: its own source, and the rest of its chain.

        None where the attribute has no entry in a mapping: it starts from scratch.
        """
        sources = self.source.attribute
        if not isinstance(sources, dict):
            return self
        chain: dict[str, str] = {}
        while attribute in sources and attribute not in chain:
            chain[attribute] = sources[attribute]
            attribute = sources[attribute]
        if not chain:
            return None
        kept = next(iter(chain.values())) if len(chain) == 1 else chain
        return self.model_copy(update={"source": InitSource(attribute=kept)})


class AttributeText(Settings):
    """The two texts of an edit that the table of attributes does not have, or words otherwise."""

    source: str = Field(min_length=1)
    target: str = Field(min_length=1)
    domain: Literal["in", "unseen"] = "unseen"
    """Whether the diffusion model has seen such images."""


class CellConfig(Settings):
    """One point of a space, fully resolved."""

    schema_version: Literal[1] = 1
    """Version of a cell's form; there is only one."""
    domain: str
    """A shipped domain's name, or the absolute path of a domain YAML."""
    attribute: str
    """The edit: a name of `asyrp-sweep list attributes`, or one that is declared with its texts."""
    editor: EditorConfig
    """Which network predicts Delta-h: its `kind` and settings."""
    training: TrainingConfig = TrainingConfig()
    """How the editor is trained."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """What is measured on held-out images."""
    precision: PrecisionConfig = PrecisionConfig()
    """How exactly the domain's networks compute."""
    images: Literal["by_seed", "fixed"] = "by_seed"
    """by_seed: every seed has training and held-out images of its own, the same in all cells, so that verdicts are
    about images like these; fixed: all seeds have the domain's first ones, and verdicts are about these."""
    init: InitConfig | None = None
    """Random weights when left out."""
    texts: AttributeText | None = None
    """Texts of an attribute that a space or a domain declares; None for what the table has."""
    _image_seed: int | None = PrivateAttr(default=None)

    def with_seed(self, seed: int) -> Self:
        """As the trials of a seed read it: with that seed's images."""
        found = self.model_copy()
        found._image_seed = seed
        return found

    @property
    def has_seed(self) -> bool:
        """Whether `with_seed` made it."""
        return self._image_seed is not None

    @property
    def image_seed(self) -> int | None:
        """The seed that images are drawn by, 0 before `with_seed`; None for the domain's first ones."""
        return None if self.images == "fixed" else self._image_seed or 0

    @property
    def edit(self) -> Attribute:
        """The attribute with its texts. Raises KeyError for a name that is neither declared nor in the table.

        An attribute that words one of the table otherwise is still drawn as that one is.
        """
        if self.texts is None:
            return ATTRIBUTES[self.attribute]
        drawn = ATTRIBUTES[self.attribute].redraw if self.attribute in ATTRIBUTES else {}
        return Attribute(self.attribute, self.texts.source, self.texts.target, self.texts.domain, drawn)


def _offer_plugins() -> None:
    """Let cells name the editors and optimizers that plugins have added, or have taken away again."""
    kinds: Any = Literal[tuple(OPTIMIZERS)]  # a static checker sees no names made at run time
    offered = (
        (OptimizerConfig, "kind", FieldInfo.from_annotated_attribute(kinds, "adamw")),
        (CellConfig, "editor", FieldInfo.from_annotation(any_editor())),
    )
    for model, name, field in offered:
        field.description = model.model_fields[name].description
        model.model_fields[name] = field
    for rebuilt in (OptimizerConfig, TrainingConfig, CellConfig):
        rebuilt.model_rebuild(force=True)


for _registry in (EDITORS, OPTIMIZERS):
    _registry.when_changed.append(_offer_plugins)
    if _registry.origins:
        _offer_plugins()
