"""What trials leave to be used: where it is in a study, under the names that results folders had from the first."""

MODEL_FOLDER = "editors"
"""Of a study, with what its trials have trained: the first family called it so."""
START_FILES = ("file", "editor")
"""Keys of a warm start in `study.json` that hold the file that it is from, the present one first."""


def model_file(signature: str) -> str:
    """What a finished trial has trained, within its study's folder."""
    return f"{MODEL_FOLDER}/{signature}.safetensors"
