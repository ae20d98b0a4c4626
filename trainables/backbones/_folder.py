"""Reading a diffusers pipeline folder: where its U-Net lies, its weights, its noise schedule."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from trainables.diffusion import linear_betas

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel

WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"


class BackboneError(Exception):
    """A diffusion model that cannot be loaded or cannot be used; says which file or setting."""


@dataclass(frozen=True)
class Schedule:
    """The noise schedule a model was trained with and what it predicts."""

    betas: np.ndarray
    prediction_type: Literal["epsilon", "v_prediction", "sample"]


def local_folder(path_or_hub_id: str | Path) -> Path:
    """The folder itself, or the local copy of a Hugging Face hub repository (downloaded if need be)."""
    folder = Path(path_or_hub_id)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    patterns = ["config.json", "scheduler_config.json", WEIGHTS_NAME, "scheduler/*.json", "unet/config.json"]
    try:
        return Path(
            snapshot_download(str(path_or_hub_id), allow_patterns=[*patterns, f"unet/{WEIGHTS_NAME}"])
        )
    except (OSError, HFValidationError) as error:
        raise BackboneError(
            f"{path_or_hub_id} is neither a folder nor a model that could be fetched from the Hugging Face "
            f"hub ({type(error).__name__}). Where there is a network: `hf download {path_or_hub_id}`; "
            f"then name the folder, which must hold unet/config.json, unet/{WEIGHTS_NAME} and "
            "scheduler/scheduler_config.json."
        ) from error


def load_unet(folder: Path) -> "UNet2DModel":
    """The U-Net in unet/ or (older pipelines) in the folder itself; every weight must be there and fit."""
    unet_folder = folder / "unet" if (folder / "unet").is_dir() else folder
    for name in ("config.json", WEIGHTS_NAME):
        if not (unet_folder / name).is_file():
            raise BackboneError(f"{unet_folder / name} is missing: a diffusers U-Net has it")
    class_name = _read_json(unet_folder / "config.json").get("_class_name")
    if class_name != "UNet2DModel":
        raise BackboneError(f"{unet_folder / 'config.json'}: expected a UNet2DModel; found {class_name}")
    from diffusers.models.unets.unet_2d import UNet2DModel  # seconds, which only who loads a model spends

    unet, report = UNet2DModel.from_pretrained(
        unet_folder,
        use_safetensors=True,
        low_cpu_mem_usage=False,
        local_files_only=True,
        output_loading_info=True,
    )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[problem]:
            keys = sorted(str(key) for key in report[problem])
            raise BackboneError(
                f"{unet_folder / WEIGHTS_NAME} does not fit its config: {problem.replace('_', ' ')} "
                f"{', '.join(keys[:3])}{' and more' if len(keys) > 3 else ''}"
            )
    return cast("UNet2DModel", unet)


def read_schedule(folder: Path) -> Schedule:
    """The noise schedule in scheduler/scheduler_config.json, or beside the U-Net in older folders."""
    places = [folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json"]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise BackboneError(f"{places[0]} is missing: the noise schedule is read from it")
    config = _read_json(path)
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
    count: int = config.get("num_train_timesteps", 1000)
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


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BackboneError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise BackboneError(f"{path} is not a JSON object")
    return values
