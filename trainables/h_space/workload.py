"""How much work a trial's settings ask for, in the units of its cost."""

from trainables.h_space.config import CellConfig
from trainables.h_space.timesteps import timestep_sequence, training_timesteps


def lowest_trained_t(config: CellConfig) -> int:
    """t_edit; 0, where it is at most, while it is still to be found."""
    t_edit = config.training.t_edit
    return t_edit if isinstance(t_edit, int) else 0


def trained_timesteps(config: CellConfig, t_max: int) -> tuple[int, ...]:
    """Timesteps that a training visits, `t_max` being the model's noisiest; all where t_edit is still to be found."""
    steps = training_timesteps(config.training.num_train_steps, lowest_trained_t(config), t_max)
    return tuple(t for t, _ in steps)


def image_steps(config: CellConfig, t_max: int) -> int:
    """Images x timesteps that a training visits."""
    return config.training.num_images * config.training.epochs * len(trained_timesteps(config, t_max))


def sample_steps(config: CellConfig) -> int:
    """Images x strengths x steps that an evaluation visits."""
    evaluation = config.evaluation
    measured = evaluation.num_images * len(evaluation.strengths) * sum(evaluation.all_sample_steps)
    return measured + shown_pictures(config) * evaluation.num_sample_steps


def shown_pictures(config: CellConfig) -> int:
    """Pictures that an evaluation makes to be looked at, without measuring them."""
    evaluation = config.evaluation
    return evaluation.num_preview_images * len(evaluation.preview_strengths)


def measured_pictures(config: CellConfig) -> int:
    """Pictures that an evaluation measures: each image's edits, and a reconstruction where it depends on the seed."""
    evaluation = config.evaluation
    per_image = len(evaluation.strengths) + (evaluation.t_boost > 0)
    return evaluation.num_images * per_image * len(evaluation.all_sample_steps)


def sampling_passes(config: CellConfig, t_max: int) -> tuple[int, int]:
    """(plain, edited) steps of one image each that generate what an evaluation shows, previews included.

    A strength of 0 is the reconstruction, which is read, not made, except with `t_boost`.
    """
    evaluation = config.evaluation
    plain = edited = 0
    num_edits = evaluation.num_images * sum(strength != 0 for strength in evaluation.strengths)
    num_previews = min(evaluation.num_preview_images, evaluation.num_images) * (config.training.epochs - 1)
    for num_steps in evaluation.all_sample_steps:
        is_primary = num_steps == evaluation.num_sample_steps
        pictures = num_edits + (num_previews + shown_pictures(config) if is_primary else 0)
        acting = sum(t >= lowest_trained_t(config) for t in timestep_sequence(num_steps, t_max))
        edited += pictures * acting
        plain += pictures * (num_steps - acting)
        if evaluation.t_boost:
            plain += evaluation.num_images * num_steps
    return plain, edited
