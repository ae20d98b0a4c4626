"""Reading a diffusers pipeline folder: where its U-Net lies, its weights, its noise schedule."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open

from trainables.h_space.backbones.shapes import (
    CONDITIONAL_CLASS,
    RELEASED_CLASS,
    BackboneError,
    check_config,
    with_defaults,
)
from trainables.h_space.schedule import highest_timestep, linear_betas

WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"
PICKLED_NAME = "diffusion_pytorch_model.bin"
"""Older models' weights; read without running what else may be in the file."""
CONFIG_NAME = "config.json"


@dataclass(frozen=True)
class Schedule:
    """The noise schedule a model was trained with and what it predicts."""

    betas: np.ndarray
    prediction_type: Literal["epsilon", "v_prediction", "sample"]

    @property
    def t_max(self) -> int:
        """The noisiest timestep that can be used."""
        return highest_timestep(np.cumprod(1.0 - self.betas).astype(np.float32), self.prediction_type)

    @property
    def amplification(self) -> np.ndarray:
        """What P_t multiplies an error of epsilon by, at every t."""
        alpha_bar = np.cumprod(1.0 - self.betas)
        return np.sqrt((1 - alpha_bar) / alpha_bar)

    @property
    def mild_below(self) -> int:
        """The timestep from which P_t more than doubles an error of epsilon."""
        return int((self.amplification <= 2).sum())


def local_folder(path_or_hub_id: str | Path, revision: str | None = None) -> Path:
    """The folder itself, or the local copy of a Hugging Face hub repository (downloaded if need be) at a commit."""
    folder = Path(path_or_hub_id)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    patterns = [CONFIG_NAME, "scheduler_config.json", WEIGHTS_NAME, "scheduler/*.json", "unet/config.json"]
    try:
        return Path(
            snapshot_download(
                str(path_or_hub_id), revision=revision, allow_patterns=[*patterns, f"unet/{WEIGHTS_NAME}"]
            )
        )
    except (OSError, HFValidationError) as error:
        raise BackboneError(
            f"{path_or_hub_id} is neither a folder nor a model that could be fetched from the Hugging Face "
            f"hub ({type(error).__name__}). Where there is a network: `hf download {path_or_hub_id}`; "
            f"then name the folder, which must hold unet/config.json, unet/{WEIGHTS_NAME} and "
            "scheduler/scheduler_config.json."
        ) from error


def check_folder(folder: Path, reads_latents: bool = False) -> None:
    """Raises BackboneError for a pipeline folder that cannot be used, as far as its files tell without loading them.

    `reads_latents`: its U-Net has an autoencoder, so that it may read any number of channels.
    """
    config = read_unet_config(folder)
    path = _config_path(folder)
    try:
        check_config(config)
    except BackboneError as error:
        raise BackboneError(f"{path}  {error}") from error
    channels = with_defaults(config)["in_channels"]
    if channels not in (1, 3) and not reads_latents:
        raise BackboneError(
            f"{path}  in_channels: expected 3 (colours) or 1 (grey); found {channels}: a model of latents needs its "
            f"autoencoder, in {folder / 'vae'} or {folder / 'vqvae'}"
        )
    if read_schedule(folder).t_max < 1:
        raise BackboneError(f"{folder}: its noise schedule has no two timesteps that can be used")
    _check_weights(weights_path(path.parent), config)


def read_unet_config(folder: Path) -> dict[str, Any]:
    """The config.json of the U-Net in a pipeline folder. Raises BackboneError where there is none."""
    return read_json(_config_path(folder))


def _config_path(folder: Path) -> Path:
    """In unet/ or (older pipelines) in the folder itself."""
    found = next(
        (path for path in (folder / "unet" / CONFIG_NAME, folder / CONFIG_NAME) if path.is_file()), None
    )
    if found is None:
        raise BackboneError(
            f"{folder / 'unet' / CONFIG_NAME} is missing: expected a folder of a diffusers model"
        )
    return found


def weights_path(unet_folder: Path) -> Path:
    """The weights in a model's own folder. Raises BackboneError where there are none by their usual names."""
    for name in (WEIGHTS_NAME, PICKLED_NAME):
        if (unet_folder / name).is_file():
            return unet_folder / name
    endings = (".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".msgpack")
    others = sorted(path.name for path in unet_folder.iterdir() if path.suffix in endings)
    found = f"; found {', '.join(others[:3])}: save the model whole, under that name" if others else ""
    raise BackboneError(f"{unet_folder / WEIGHTS_NAME} is missing: a diffusers model has it{found}")


def _check_weights(path: Path, config: Mapping[str, Any]) -> None:
    """Whether a weights file is whole and a U-Net's of this configuration, by its header."""
    if path.name == PICKLED_NAME:
        return  # all of it has to be read to know
    try:
        with safe_open(path, framework="np") as file:
            names = set(file.keys())
            missing = [name for name in ("conv_in.weight", "conv_out.weight") if name not in names]
            shape = None if missing else tuple(file.get_slice("conv_in.weight").get_shape()[:2])
    except (OSError, SafetensorError) as error:
        raise BackboneError(
            f"{path} cannot be read as safetensors ({error}); it may be cut off: copy or download it again"
        ) from error
    if missing:
        raise BackboneError(
            f"{path} has no weights {' and '.join(missing)}: expected those of a diffusers U-Net; found "
            f"{', '.join(sorted(names)[:3]) or 'none'}"
        )
    known = with_defaults(config)
    expected = (known["block_out_channels"][0], known["in_channels"])
    if shape != expected:
        raise BackboneError(
            f"{path} does not fit its config: conv_in.weight is {shape}, expected {expected} "
            "(block_out_channels, in_channels)"
        )


def load_unet(folder: Path) -> Any:
    """The U-Net in unet/ or (older pipelines) in the folder itself; every weight must be there and fit."""
    config = read_unet_config(folder)
    check_config(config)
    path = weights_path(_config_path(folder).parent)
    if config.get("_class_name") == RELEASED_CLASS:
        return _load_released(path, config)
    from diffusers.models.unets.unet_2d import UNet2DModel  # seconds, which only who loads a model spends

    if config.get("_class_name") == CONDITIONAL_CLASS:
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        return load_diffusers(UNet2DConditionModel, path.parent)
    return load_diffusers(UNet2DModel, path.parent)


def load_diffusers(kind: Any, folder: Path) -> Any:
    """A model of a diffusers class from its own folder.

    Raises BackboneError, naming the file, where a weight is missing, left over or of another shape.
    """
    path = weights_path(folder)
    try:
        model, report = kind.from_pretrained(
            folder,
            use_safetensors=path.name == WEIGHTS_NAME,
            low_cpu_mem_usage=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
        raise BackboneError(f"{path} cannot be loaded as a diffusers {kind.__name__}: {error}") from error
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[problem]:
            keys = sorted(str(key) for key in report[problem])
            raise BackboneError(
                f"{path} does not fit its config: {problem.replace('_', ' ')} "
                f"{', '.join(keys[:3])}{' and more' if len(keys) > 3 else ''}"
            )
    return model


def _load_released(path: Path, config: Mapping[str, Any]) -> Any:
    """A U-Net with settings that diffusers lacks, as `convert-backbone` writes them."""
    import torch
    from safetensors.torch import load_file

    from trainables.h_space.backbones.released import build_unet

    try:
        with torch.device("meta"):
            unet = build_unet(config)
        unet.load_state_dict(load_file(path), assign=True)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
        raise BackboneError(f"{path} does not fit its config: {error}") from error
    return unet


SCHEDULER_NAMES = ("scheduler/scheduler_config.json", "scheduler_config.json")
"""Where a pipeline keeps its noise schedule; older ones beside the U-Net."""


def read_schedule(folder: Path) -> Schedule:
    """The noise schedule of a pipeline folder. Raises BackboneError where there is none that can be used."""
    places = [folder / name for name in SCHEDULER_NAMES]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise BackboneError(f"{places[0]} is missing: the noise schedule is read from it")
    return read_scheduler(path)


def read_scheduler(path: Path) -> Schedule:
    """The noise schedule of a scheduler_config.json. Raises BackboneError for one that cannot be used."""
    config = read_json(path)
    if not config.keys() & {"beta_schedule", "beta_start", "trained_betas"}:
        raise BackboneError(
            f"{path}  expected a schedule of betas (beta_schedule, beta_start, beta_end); found "
            f"{config.get('_class_name', 'none')}: models of other processes than DDPM cannot be used"
        )
    if config.get("rescale_betas_zero_snr"):
        raise BackboneError(
            f"{path}: rescale_betas_zero_snr is not supported; it makes alpha_bar 0 at the last step"
        )
    prediction_type = config.get("prediction_type", "epsilon")
    if prediction_type not in ("epsilon", "v_prediction", "sample"):
        raise BackboneError(
            f"{path}  prediction_type: expected epsilon, v_prediction or sample; found {prediction_type}"
        )
    return Schedule(_betas(config, path), prediction_type)


def _betas(config: dict[str, Any], path: Path) -> np.ndarray:
    """The betas by the names diffusers gives their schedules, in float64."""
    if config.get("trained_betas") is not None:
        return np.asarray(config["trained_betas"], dtype=np.float64)
    kind = config.get("beta_schedule", "linear")
    count: int = config.get("num_train_timesteps", config.get("timesteps", 1000))  # by its name of 2022
    first, last = config.get("beta_start", 1e-4), config.get("beta_end", 2e-2)
    if kind == "linear":
        return linear_betas(count, first, last)
    if kind == "scaled_linear":
        return linear_betas(count, math.sqrt(first), math.sqrt(last)) ** 2
    if kind == "squaredcos_cap_v2":  # Nichol and Dhariwal 2021, capped as there
        angle = (np.arange(count + 1) / count + 0.008) / 1.008 * np.pi / 2
        alpha_bar = np.cos(angle) ** 2
        betas: np.ndarray = np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)
        return betas
    raise BackboneError(
        f"{path}  beta_schedule: expected linear, scaled_linear or squaredcos_cap_v2; found {kind}"
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object. Raises BackboneError for any other."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise BackboneError(f"{path} is not a JSON object")
    return values
