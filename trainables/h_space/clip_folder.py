"""A folder in open_clip's layout: its files, checked without loading a weight."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from trainables.errors import UserError

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
VOCABULARY_FILE = "vocab.txt"


class ClipNotFoundError(UserError):
    """The CLIP files are not where they should be, cannot be read, or cannot be downloaded from here."""


def check_clip_folder(folder: Path) -> dict[str, Any]:
    """The configuration of a folder in open_clip's layout.

    Raises ClipNotFoundError where a file is missing or cannot be used, as far as that shows without loading weights.
    """
    config_path, weights_path = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    missing = [path.name for path in (config_path, weights_path) if not path.is_file()]
    if missing:
        raise ClipNotFoundError(
            f"{folder}: no {' and no '.join(missing)}; expected a folder in open_clip's layout"
        )
    try:
        with safe_open(weights_path, framework="np"):
            pass
        config: dict[str, Any] = json.loads(config_path.read_text(encoding="utf-8"))
        _ = dict(config["model_cfg"]), config["preprocess_cfg"]["mean"], config["preprocess_cfg"]["std"]
    except (OSError, SafetensorError) as error:
        raise ClipNotFoundError(
            f"{weights_path} cannot be read as safetensors ({error}); it may be cut off: copy or download it again"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ClipNotFoundError(
            f"{config_path} is no configuration of open_clip: expected JSON with model_cfg and preprocess_cfg "
            f"({type(error).__name__}: {error})"
        ) from error
    return config
