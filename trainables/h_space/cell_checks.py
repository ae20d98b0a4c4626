"""What is wrong with a cell beyond the form of its settings: names that no domain knows, editors that cannot be."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trainables.exchange import Asked, Finding, InSpace, Outside
from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import DomainError, DomainSummary
from trainables.h_space.domains.networks import unfit_files
from trainables.h_space.editors import num_parameters
from trainables.h_space.layers import Summarise
from trainables.h_space.metric_checks import check_asked, check_grouped, check_named, check_unit
from trainables.h_space.workload import lowest_trained_t, trained_timesteps
from trainables.names import wrong_name
from trainables.registry import origin_of, plugins_in_use
from trainables.sources import error_in
from trainables.wording import did_you_mean, expected, look_up, one_of
from trainables.yaml_tree import Loc

_SEGMENTERS = Path(__file__).with_name("segmenters")
"""Looked at, not imported: they need torch."""


def check_cell(
    settings: Mapping[str, Any],
    config: CellConfig | None,
    asked: Asked,
    summarise: Summarise,
    errors: Mapping[str, DomainError],
) -> Iterator[Finding]:
    """The cell's names are known, and its domain has what is asked. `errors` are of domains that cannot be read."""
    domain = settings.get("domain")
    if isinstance(domain, str):
        summarise(domain)  # so that `errors` knows
    yield from _check_names(settings, summarise, errors)
    if config is None or not isinstance(domain, str) or domain in errors:
        return
    summary: DomainSummary = summarise(domain)
    if config.texts is not None or config.attribute in ATTRIBUTES:
        yield from check_asked(config, summary)
        yield from check_unit(config, asked.primary)
        for place, message in check_named(config, summary, asked.metrics):
            yield InSpace(place), message
        for place, message in check_grouped(config, asked.figures):
            yield InSpace(place), message
    yield from _about_decoding(config, settings, summary)
    if outside := list(_outside_schedule(config, summary)):
        yield from outside
        return
    yield from _about_precision(config, asked, summary)
    by_place: dict[Loc, list[str]] = {}
    if wrong := _unbuildable(config, summary):
        by_place[("editor", "kind")] = [wrong]
    for message in config.editor.check(summary.shape):
        by_place.setdefault(_place_named_in(message, config.editor), []).append(message)
    yield from ((place, "; ".join(messages)) for place, messages in by_place.items())


def _about_decoding(
    config: CellConfig, settings: Mapping[str, Any], summary: DomainSummary
) -> Iterator[Finding]:
    """Settings that have a meaning for models of latents alone."""
    asked = {
        ("training", "recon_in"): config.training.recon_in == "pictures",
        ("training", "clip_reference"): config.training.clip_reference == "decoded",
        ("precision", "decoder"): config.precision.decoder != "float32",
    }
    for place, is_asked in asked.items():
        if is_asked and summary.latents is None:
            found = look_up(settings, place)
            yield (
                place,
                f"{found}: the diffusion model of domain {summary.name} works on pixels and decodes nothing",
            )


def _about_precision(config: CellConfig, asked: Asked, summary: DomainSummary) -> Iterator[Finding]:
    """What a device cannot compute, and errors that a model multiplies at timesteps that nobody named."""
    precision, schedule = config.precision, summary.schedule
    for part, found in precision:
        if found == "float16" and not asked.has_gpu:
            yield (
                ("precision", part),
                "float16 is for GPUs (execution.gpus_per_trial); a CPU computes in bfloat16",
            )
    is_bounded = precision.unet == "float32" or precision.unet_below is not None
    if is_bounded or schedule is None or schedule.prediction_type != "epsilon":
        return
    growth, t_edit = schedule.amplification, lowest_trained_t(config)
    yield (
        ("precision", "unet"),
        f"{precision.unet}: the diffusion model of domain {summary.name} predicts epsilon, and P_t multiplies its "
        f"errors by {growth[t_edit]:.1f} to {growth[summary.t_max]:.0f} at the trained timesteps, {t_edit} to "
        f"{summary.t_max}; say up to where with precision.unet_below: {schedule.mild_below} for timesteps at which it "
        f"at most doubles them, {summary.t_max + 1} for all",
    )


def _outside_schedule(config: CellConfig, summary: DomainSummary) -> Iterator[Finding]:
    """Timesteps that the domain's diffusion model does not have, and sequences longer than all of them."""
    training, evaluation, t_max = config.training, config.evaluation, summary.t_max
    steps = max(evaluation.all_sample_steps)
    asked: list[tuple[Loc, int, int]] = [
        (("training", "t_edit"), lowest_trained_t(config), t_max),
        (("training", "num_train_steps"), training.num_train_steps, t_max + 1),
        (("precision", "unet_below"), config.precision.unet_below or 1, t_max + 1),
        (("evaluation", "t_boost"), evaluation.t_boost, t_max + 1),
        (("evaluation", "num_sample_steps"), steps, t_max + 1),
    ]
    for place, found, most in asked:
        if found > most:
            known = f"the diffusion model of domain {summary.name} has timesteps 0 to {t_max}"
            yield place, f"{expected(f'at most {most}', found)}: {known}"


def _unbuildable(config: CellConfig, summary: DomainSummary) -> str:
    """Why the network of a plugin's editor cannot be made, or nothing: nobody but its author knows what it asks for."""
    plugin = origin_of("editor", config.editor.kind)
    if plugin is None or config.editor.check(summary.shape):
        return ""
    try:
        num_parameters(config.editor, summary.shape, trained_timesteps(config, summary.t_max))
    except Exception as error:
        return error_in(plugin.name, error)
    return ""


def _check_names(
    settings: Mapping[str, Any], summarise: Summarise, errors: Mapping[str, DomainError]
) -> Iterator[Finding]:
    """The cell's domain can be read and its attribute is offered there."""
    domain, attribute = settings.get("domain"), settings.get("attribute")
    if isinstance(domain, str) and domain in errors:
        for said in errors[domain].said:
            if isinstance(said, str):
                yield ("domain",), said
            else:
                yield Outside(said.file, said.where, said.line), said.message
    elif isinstance(domain, str):
        yield from _check_segmenter(summarise(domain))
        yield from _check_network_files(summarise(domain))
    if not isinstance(attribute, str):
        return
    place: Loc = ("attribute",)
    if settings.get("texts") is not None:
        if wrong := wrong_name(attribute):
            yield place, wrong
        return
    if attribute not in ATTRIBUTES:
        yield place, f"{expected('an attribute', attribute, ATTRIBUTES)} (all: asyrp-sweep list attributes)"
    elif isinstance(domain, str) and attribute not in summarise(domain).attributes:
        offered = summarise(domain).attributes
        yield place, f"domain {domain} does not offer {attribute!r}{did_you_mean(attribute, offered)}"


def _check_segmenter(summary: DomainSummary) -> Iterator[Finding]:
    """The package, or a plugin in use, has the segmenter that the domain's file names."""
    name, source = summary.segmenter, summary.source
    known = {path.stem for path in _SEGMENTERS.glob("[!_]*.py")}
    if name is None or source is None or name in known:
        return
    if plugins_in_use():
        from trainables.h_space.segmenters import SEGMENTERS  # imports torch

        known |= SEGMENTERS.keys()
    if name not in known:
        said = source.problem(
            ("segmenter",), f"{expected('a segmenter', name, known)}; known: {one_of(sorted(known))}"
        )
        yield Outside(said.file, said.where, said.line), said.message


def _check_network_files(summary: DomainSummary) -> Iterator[Finding]:
    """The files of the networks that measure hold what they are named for, and can be read here."""
    if summary.source is None:
        return
    for key, message in unfit_files(summary.source):
        said = summary.source.problem((key,), message)
        yield Outside(said.file, said.where, said.line), said.message


def _place_named_in(message: str, editor: BaseModel) -> Loc:
    """The editor's setting that a message speaks of, or the editor as a whole."""
    words = message.replace(".", " ").replace(",", " ").split()
    return next((("editor", name) for name in type(editor).model_fields if name in words), ("editor",))
