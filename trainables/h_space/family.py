"""The family of h-space editors, the default one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainables.exchange import Asked, Beyond, Finding, Layer, Metric, Start, Timing, Winner, Work
from trainables.family import Family, paths_of
from trainables.h_space import cell_checks, layers, starts, tuning
from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import DomainError, DomainSummary, domain_summary, shipped_domains
from trainables.h_space.editor_schema import any_editor
from trainables.h_space.editors import EDITORS, num_parameters
from trainables.h_space.identity import code, identity
from trainables.h_space.layers import Summarise
from trainables.h_space.metric_checks import images_asked, is_measured, looked_at, untold
from trainables.h_space.metrics import METRICS, SetMetric
from trainables.h_space.published import PUBLISHED, SENTENCES
from trainables.h_space.reading import COORDINATES, SAMPLE_KINDS
from trainables.h_space.renamed_metrics import setting_with_new_names, with_new_names
from trainables.h_space.stand_ins import stand_in, stand_in_settings
from trainables.h_space.timesteps import PUBLISHED_T_MAX
from trainables.h_space.workload import image_steps, sample_steps, trained_timesteps
from trainables.trials import TrialRun
from trainables.wording import did_you_mean, expected, look_up, one_of
from trainables.yaml_tree import Loc

RECONSTRUCTED_BY = (
    *("training.num_train_steps", "training.inversion_refinements"),
    *("evaluation.num_sample_steps", "evaluation.t_boost"),
)
"""Settings that move a cell's own reconstructions. How an edit differs from one tells nothing beside another cell's."""
_OF_THE_TRAINER = (
    "is measured by the CLIP that trained the editors: an edit that this network alone sees counts too"
)
LOSSES = {
    "loss_total": "Total training loss (weighted)",
    "loss_direction": "Directional CLIP loss, 1 − cos",
    "loss_recon": "Reconstruction loss",
}
"""Columns of the curves whose mean over the last epoch is in a trial's summary."""

_num_parameters = lru_cache(maxsize=4096)(num_parameters)
"""Building an editor without memory still takes milliseconds, and many cells have the same one."""

_NOT_SHARED: Any = {
    "editor": True,
    "init": True,
    "training": {
        *("batch_size", "epochs", "optimizer", "accumulation", "steps_per", "trajectory", "direction"),
        *("lambda_clip", "lambda_recon", "prompt_cosine", "clip_loss", "templates"),
    },
}
"""Settings that have no part in the trajectory cache."""

_NOT_TIMED: Any = {
    "attribute": True,
    "texts": True,
    "init": True,
    "training": {
        *("epochs", "num_images", "num_train_steps", "t_edit", "inversion_refinements", "steps_per"),
        *("lambda_clip", "lambda_recon", "prompt_cosine", "min_prompt_cosine", "batch_size", "accumulation"),
    },
    "evaluation": {
        *("num_images", "strengths", "num_sample_steps", "more_sample_steps", "primary_strength"),
        *("num_preview_images", "preview_strengths", "t_boost", "delta_h", "subgroups", "subgroup_file"),
    },
}
"""Settings that say how often the timed pieces are done, or that change no piece's time."""


class HSpace(Family):
    """Editors f_t of the bottleneck of a frozen diffusion model (Kwon et al. 2023)."""

    SpaceKeys = layers.SpaceKeys
    epochs_path = "training.epochs"
    example = MappingProxyType(
        {
            "domain": "avatars",
            "attribute": "smiling",
            "editor": {"kind": "conv"},
            "training": {"num_images": 2, "batch_size": 1, "epochs": 2, "num_train_steps": 3},
            "evaluation": {"num_images": 2, "num_sample_steps": 3, "num_preview_images": 1},
        }
    )
    work_unit = MappingProxyType({"image_steps": "images x timesteps that the training visits"})
    confounding = ("evaluation.t_boost",)
    text_settings = (("domain",), ("attribute",))
    published = PUBLISHED
    sentences = SENTENCES
    coordinates = COORDINATES
    sample_kinds = SAMPLE_KINDS
    curve_labels = MappingProxyType({**LOSSES, "image_steps": "Images × timesteps seen"})
    fairness = MappingProxyType({"l1_distance": "L1 to reconstruction"})
    packages = (
        *("torchvision", "diffusers", "open_clip_torch", "dicebear-core", "dicebear-styles", "resvg-py"),
    )

    def __init__(self, summarise: Summarise = domain_summary) -> None:
        super().__init__(
            "h_space", CellConfig, description="editors of the bottleneck of a frozen diffusion model"
        )
        self._summarise = summarise
        self._errors: dict[str, DomainError] = {}

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Metrics of an edit, those of plugins too."""
        return _metrics()

    @property
    def curve_metrics(self) -> Mapping[str, Metric]:
        """The losses."""
        description = "Mean over the batches of the last epoch."
        return {
            name: Metric(name, f"{label}, last epoch", "", False, description)
            for name, label in LOSSES.items()
        }

    def setting_paths(self) -> tuple[str, ...]:
        """Dotted paths of the settings of a cell, those of every editor included."""
        return _setting_paths()

    # The schema of a space's file

    def fill_space_schema(self, properties: dict[str, Any], cell: dict[str, Any]) -> None:
        """What is said by attribute may hold more than a cell; what is said by domain is one."""
        properties["per_attribute"]["additionalProperties"] = {"type": "object"}
        properties["per_domain"]["additionalProperties"] = cell

    def setting_schema(
        self, name: str, schema: dict[str, Any], defs: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Names of attributes and domains as examples; the settings of every editor together."""
        about: dict[str, Any] = {key: schema[key] for key in ("title", "description") if key in schema}
        if name == "editor":
            return any_editor(defs)
        if name == "attribute":
            return {**about, "type": "string", "examples": list(ATTRIBUTES)}
        if name == "domain":
            return {**about, "type": "string", "examples": list(shipped_domains())}
        return None

    # A cell's settings

    def tolerant(self) -> "HSpace":
        """With an empty summary for a domain that cannot be read, so that other checks go on."""
        found = copy(self)
        found._errors = {}

        def summarise(name: str) -> DomainSummary:
            try:
                return self._summarise(name)
            except DomainError as error:
                found._errors[name] = error
                return DomainSummary(name, "", BottleneckShape(1, 1, 1, 1), tuple(ATTRIBUTES), {}, {}, {})

        found._summarise = summarise
        return found

    def absolute(self, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Paths of a domain's YAML, of an editor to start from, of a file of subgroups."""
        return layers.with_absolute_paths(settings, folder)

    def layers(self, space: Any, chosen: Mapping[str, Any]) -> Sequence[Layer]:
        """What domain and attribute say. Raises DomainError when the domain is unknown."""
        return layers.layers(space, chosen, self._summarise)

    def settled(self, settings: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Without known texts, without the settings of other editors, timesteps the domain's own."""
        return layers.settled(settings, self._summarise)

    def unused(self, dropped: str, cells: Sequence[Mapping[str, Any]]) -> str:
        """Which editors have the setting."""
        kinds = dict.fromkeys(str(look_up(cell, ("editor", "kind"))) for cell in cells)
        name = dropped.removeprefix("editor.")
        return f": {one_of(kinds)} has no {name} (only {one_of(layers.owners(name))})"

    def renamed(self, content: dict[str, Any], given: Sequence[Any], folder: Path) -> tuple[Any, Any]:
        """With the domain's stand-ins in place of attributes that it does not offer, and metrics by their new names."""
        names = self._stand_ins(content, given, folder)
        return with_new_names(stand_in(content, names)), setting_with_new_names(
            stand_in_settings(given, names)
        )

    def _stand_ins(self, content: Mapping[str, Any], given: Sequence[Any], folder: Path) -> Mapping[str, str]:
        written = content.get("baseline")
        chosen = dict(written) if isinstance(written, Mapping) else {}
        chosen |= {setting.path: setting.value for setting in given if setting.path == "domain"}
        domain = self.absolute(chosen, folder).get("domain")
        try:
            return self._summarise(domain).stand_ins if isinstance(domain, str) else {}
        except DomainError:
            return {}  # its own check says so, with the line

    def canonical(self, config: Any) -> CellConfig:
        """Each block with what has no effect at its default; features of sets by the name of their network."""
        init = None if config.init is None else config.init.for_attribute(config.attribute)
        evaluation = config.evaluation
        if evaluation.fid_features == "auto":
            has_inception = "inception" in self._summarise(config.domain).offers
            features = "inception" if has_inception else "clip"
            evaluation = evaluation.model_copy(update={"fid_features": features})
        found: CellConfig = config.model_copy(
            update={
                "editor": config.editor.canonical(),
                "training": config.training.canonical(),
                "evaluation": evaluation.canonical(),
                "precision": config.precision.canonical(),
                "init": init,
            }
        )
        return found

    def findings(self, settings: Mapping[str, Any], config: Any, asked: Asked) -> Iterator[Finding]:
        """Names that no domain knows, metrics that cannot be computed, editors that cannot be built."""
        return cell_checks.check_cell(settings, config, asked, self._summarise, self._errors)

    def space_findings(self, space: Any, baseline: Mapping[str, Any]) -> Iterator[tuple[Loc, str]]:
        """What is said of a misspelt domain would never be heard. A name like no other may be one not in use now."""
        unknown = space.per_domain.keys() - shipped_domains().keys()
        if not unknown or not isinstance(baseline.get("domain"), str):
            return
        try:
            own = self._summarise(baseline["domain"]).name
        except DomainError:  # told where the domain is named
            return
        known = [*shipped_domains(), own]
        for name in sorted(unknown - {own}):
            if did_you_mean(name, known):
                yield ("per_domain", name), expected("the name of a domain", name, known)

    def misfit(self, config: Any) -> str:
        """What keeps the editor from being built for this bottleneck."""
        return "; ".join(config.editor.check(self._summarise(config.domain).shape))

    def unmeasured(self, metric: str, config: Any) -> str:
        """What a metric needs that the domain does not have, or not for this attribute."""
        return untold(METRICS[metric], config, self._summarise(config.domain)) if metric in METRICS else ""

    def notes(self, config: Any) -> tuple[str, ...]:
        """Notes of the editor."""
        return tuple(config.editor.notes())

    def remarks(self, configs: Sequence[Any]) -> Iterator[str]:
        """Networks that are not computed in float32; what of the pictures in folders is left out or changed."""
        for config in configs:
            summary = self._summarise(config.domain)
            if lowered := config.precision.in_words():
                yield f"{summary.name}: {lowered}, all else in float32"
            if summary.latents is not None and summary.latents.remark:
                yield f"{summary.name}: {summary.latents.remark}"
            if summary.pictures is None:
                continue
            yield from summary.pictures.remarks
            for _, count, split in images_asked(config):
                looked = looked_at(summary.pictures, config, split, count)
                for line in looked.remarks(*summary.image_size):
                    yield f"{split} images of {summary.name}: {line}"

    def num_parameters(self, config: Any) -> int:
        """Weights of the editor."""
        return _num_parameters(
            config.editor,
            self._summarise(config.domain).shape,
            trained_timesteps(config, self._t_max(config)),
        )

    # Identity and warm starts

    def uses(self, config: Any) -> Iterable[tuple[str, str]]:
        """Editor, optimizer, the metrics that are measured, and the domain's segmenter and judge."""
        summary = self._summarise(config.domain)
        measuring = (("segmenter", summary.segmenter), ("judge", summary.judge))
        return [
            ("editor", config.editor.kind),
            ("optimizer", config.training.optimizer.kind),
            *(("metric", name) for name, metric in METRICS.items() if is_measured(metric, config)),
            *((what, name) for what, name in measuring if name is not None),
        ]

    def identity(self, config: Any) -> dict[str, Any]:
        """A domain counts by its name and what it reads, so that moving its YAML changes nothing."""
        return identity(config, self._summarise(config.domain))

    def code(self, config: Any) -> str:
        """Of the training, the evaluation, the editor and the metrics of this cell."""
        return code(config, self._summarise(config.domain))

    def start(self, config: Any) -> Start | None:
        """As the cell's `init` says."""
        return starts.start_of(config)

    def check_start(self, start: Start, config: Any) -> None:
        """The attribute that is started from is offered."""
        starts.check_start(start, config, self._summarise(config.domain))

    def unlike(self, config: Any, parent: Any) -> str:
        """Weights fit only an editor of the same settings."""
        difference = starts.unlike(config.editor, parent.editor)
        return f"another editor: {difference}" if difference else ""

    def check_file(self, file: Path, config: Any) -> None:
        """The file holds an editor with the cell's settings, made for its bottleneck."""
        starts.check_file(file, config, self._summarise(config.domain).shape)

    # Running. These import torch and the models: planning does not.

    def trial(
        self, config: Any, seed: int, *, cache_dir: Path, device: str = "cpu", start_from: Path | None = None
    ) -> TrialRun:
        """Train an editor, then measure it on held-out images."""
        from trainables.h_space.trial import Trial

        return Trial(config, seed, cache_dir=cache_dir, device=device, start_from=start_from)

    def preparation(self, configs: Sequence[Any], cache_dir: Path) -> Iterator[Sequence[Any]]:
        """First whether latents are scaled rightly, then what finds `t_edit: auto`, then trajectories and texts, then
        what is seen in unedited pictures. Raises UserError where latents are not, or nothing gives t_edit.
        """
        from trainables.errors import UserError
        from trainables.h_space.editing_interval import IntervalError, interval_tasks
        from trainables.h_space.latents_check import check_scaling, read_scaling, scaling_tasks
        from trainables.h_space.trajectories import merged, picture_tasks, preparation_tasks

        scalings = scaling_tasks(config.domain for config in configs)
        measured = [task for task in scalings if read_scaling(task, cache_dir) is None]
        intervals = (task for config in configs for task in interval_tasks(config, cache_dir))
        yield [*measured, *dict.fromkeys(intervals)]
        for scaling in scalings:
            check_scaling(scaling, cache_dir)
        try:
            found = [task for config in configs for task in preparation_tasks(config, cache_dir)]
        except IntervalError as error:
            raise UserError(f"training.t_edit auto: {error}") from error
        yield merged(found)
        yield picture_tasks(configs, cache_dir)

    def run_preparation(self, task: Any, cache_dir: Path, device: str) -> None:
        """Measure a scaling, invert and cache images, find t_edit, embed texts, or look at unedited pictures."""
        from trainables.h_space.latents_check import ScalingTask, run_scaling
        from trainables.h_space.trajectories import run_preparation

        if isinstance(task, ScalingTask):
            run_scaling(task, cache_dir, device)
        else:
            run_preparation(task, cache_dir, device)

    def with_seed(self, config: Any, seed: int) -> CellConfig:
        """With the seed's images."""
        found: CellConfig = config.with_seed(seed)
        return found

    def shared(self, config: Any) -> str:
        """What of a cell has a part in the trajectory cache, with the seed that its images are drawn by."""
        return f"{config.model_dump_json(exclude=_NOT_SHARED)}{config.image_seed}"

    def to_prepare(self, trials: Sequence[Any]) -> Sequence[Any]:
        """A cached trajectory serves every t_edit above its own, so the lowest one of each kind is enough."""
        lowest: dict[str, Any] = {}
        for trial in trials:
            config = trial.config.with_seed(trial.seed)
            settings = config.model_dump_json(exclude={"editor": True, "training": {"t_edit"}})
            key = f"{settings}{config.image_seed}"
            t_edit, known = trial.config.training.t_edit, lowest.get(key)
            if known is None or (isinstance(t_edit, int) and t_edit < _t_edit(known.config)):
                lowest[key] = trial
        return list(lowest.values())

    # Price

    def kind(self, config: Any) -> tuple[str, ...]:
        """Trials alike in domain and editor cost alike per image and timestep."""
        return (config.domain, config.editor.kind)

    def work(self, config: Any) -> Work:
        """Images x trained timesteps; images x strengths x sampling steps, those that are only shown included."""
        return Work(image_steps(config, self._t_max(config)), sample_steps(config))

    def epoch_work(self, config: Any) -> int:
        """Images x timesteps that an epoch visits."""
        return int(config.training.num_images) * len(trained_timesteps(config, self._t_max(config)))

    def preparation_work(self, configs: Sequence[Any], cache_dir: Path) -> Mapping[str, float]:
        """Passes of the U-Net, pictures and texts; nothing where the domain's files are not here to tell."""
        from trainables.h_space.trajectories import preparation_work

        try:
            return {name: float(count) for name, count in vars(preparation_work(configs, cache_dir)).items()}
        except DomainError:
            return {}

    def preparation_bytes(self, configs: Sequence[Any], cache_dir: Path) -> int:
        """Of the trajectory cache; nothing where the domain's files are not here to tell."""
        from trainables.h_space.room import preparation_bytes

        try:
            return preparation_bytes(configs, cache_dir)
        except DomainError:
            return 0

    def pilot_identity(self, config: Any) -> dict[str, Any]:
        """Domain, and the settings that change a piece's time. Raises DomainError where the domain cannot be read."""
        summary = self._summarise(config.domain)
        dumped = config.model_dump(mode="json", exclude=_NOT_TIMED)
        dumped["training"]["optimizer"].pop("learning_rate", None)
        return {
            "domain": summary.fingerprint,
            "cell": {**dumped, "domain": summary.name},
            "batch": min(config.training.batch_size, config.training.num_images),
        }

    def pilot(self, config: Any, device: str, num_threads: int) -> dict[str, Any]:
        """Train, sample and measure a batch of noise for a few timesteps."""
        from trainables.h_space.pilot import timed

        return timed(config, device, num_threads)

    def timing(self, config: Any, pilot: Mapping[str, Any]) -> Timing:
        """A pilot's pieces, as often as a trial of this configuration does them."""
        from trainables.h_space.pilot import timing

        return timing(config, pilot, self._t_max(config))

    def _t_max(self, config: CellConfig) -> int:
        """The noisiest timestep of the domain's model; that of most where its files are not here to tell."""
        try:
            return self._summarise(config.domain).t_max
        except DomainError:
            return PUBLISHED_T_MAX

    # Search

    pruned_by = "loss_direction"
    search_settings = MappingProxyType({"evaluation": {"split": "validation"}})
    model_name = "editor"
    model_use = "asyrp-sweep edit PHOTO --editor {}"

    def retest(
        self, default: dict[str, Any], tuned: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any], Sequence[Mapping[str, Any]]]:
        """On test images, with pictures of both at the same strengths."""
        return tuning.retest(default, tuned)

    def winner(self, config: Any, beyond: Beyond) -> Winner:
        """An entry for the attribute."""
        return tuning.winner(config, beyond)

    # Results

    def curve_columns(self) -> tuple[str, ...]:
        """Those that figures can draw."""
        return ("loss_direction", "loss_total", "loss_recon", "learning_rate")

    def further_columns(self) -> Mapping[str, Mapping[str, Any]]:
        """The cost of training, losses by timestep, the noise of edits, and the shifts along other attributes."""
        return {
            "curves": {"image_steps": 0, "timesteps": [0], "loss_direction_per_t": [0.0]},
            "evaluations": {"t_boost": 0, "attribute_shifts": ""},
        }

    def measured_columns(self, configs: Iterable[Any]) -> tuple[Sequence[str], Sequence[str]]:
        """Those of the metrics that a cell can tell."""
        told = {
            name: metric
            for config in configs
            for name, metric in METRICS.items()
            if not untold(metric, config, self._summarise(config.domain))
        }
        rows = [name for metric in told.values() for name in metric.row_columns]
        summary = [name for metric in told.values() for name in metric.summary_columns]
        return rows, [*LOSSES, "train_seconds", *summary]


@lru_cache(maxsize=1)
def _metrics() -> Mapping[str, Metric]:
    return {
        name: Metric(
            name,
            metric.label,
            metric.unit,
            metric.higher_is_better,
            metric.description,
            isinstance(metric, SetMetric),
            RECONSTRUCTED_BY if metric.reference == "reconstruction" else (),
            _OF_THE_TRAINER if metric.is_of_trainer else "",
        )
        for name, metric in METRICS.items()
    }


@lru_cache(maxsize=1)
def _setting_paths() -> tuple[str, ...]:
    of_editors = {f"editor.{path}" for editor in EDITORS.values() for path in paths_of(editor)}
    of_cell = {
        path for path in paths_of(CellConfig) if path.partition(".")[0] not in ("editor", "schema_version")
    }
    return tuple(sorted(of_cell | of_editors))


def _t_edit(config: CellConfig) -> int:
    """t_edit; above every number while it is to be found."""
    t_edit = config.training.t_edit
    return t_edit if isinstance(t_edit, int) else 10**9


METRICS.when_changed.append(_metrics.cache_clear)
EDITORS.when_changed.append(_setting_paths.cache_clear)

FAMILY = HSpace()
