"""What was published of the method's settings, and what the methods text of a study says of this family's own.

Facts are those of method.md: sections 7 (losses) and 8 (training), and the common settings of the ablations.
"""

from types import MappingProxyType

from trainables.exchange import PublishedSetting

_UNWEIGHED = (("training.prompt_cosine", False), ("training.lambda_recon", 0.0))

PUBLISHED = MappingProxyType(
    {
        "training.batch_size": PublishedSetting(9, "batch size"),
        "training.num_train_steps": PublishedSetting(40, "steps of inversion and training"),
        "training.inversion_refinements": PublishedSetting(0, "fixed-point iterations of the inversion"),
        "training.trajectory": PublishedSetting("edited", "trajectory of x_t"),
        "training.direction": PublishedSetting("recomputed", "noise of D_t"),
        "training.steps_per": PublishedSetting("timestep", "optimizer step per"),
        "training.accumulation": PublishedSetting(1, "batches per optimizer step"),
        "training.lambda_clip": PublishedSetting(0.8, "CLIP weight"),
        "training.lambda_recon": PublishedSetting(3.0, "reconstruction weight"),
        "training.prompt_cosine": PublishedSetting(True, "reconstruction weight times the prompts' cosine"),
        "training.min_prompt_cosine": PublishedSetting(None, "floor of the prompts' cosine", _UNWEIGHED),
        "training.recon_in": PublishedSetting("x", "reconstruction distance of"),
        "training.clip_loss": PublishedSetting("log", "CLIP loss"),
        "training.clip_reference": PublishedSetting("original", "CLIP reference"),
        "training.templates": PublishedSetting("domain", "prompt templates"),
        "training.optimizer.weight_decay": PublishedSetting(0.0, "weight decay"),
        "training.optimizer.momentum": PublishedSetting(0.0, "momentum"),
        "training.optimizer.schedule": PublishedSetting("step", "learning rate schedule"),
        "training.optimizer.step_epochs": PublishedSetting(3, "epochs per step of the learning rate"),
        "training.optimizer.step_factor": PublishedSetting(0.1, "factor of a step of the learning rate"),
        "evaluation.num_sample_steps": PublishedSetting(40, "sampling steps"),
        "evaluation.delta_h": PublishedSetting("predicted", "Δh at evaluation"),
        "evaluation.t_boost": PublishedSetting(193, "t_boost at evaluation"),
        "precision.unet": PublishedSetting("float32", "precision of the U-Net"),
        "precision.unet_below": PublishedSetting(None, "timesteps with that precision below"),
        "precision.clip": PublishedSetting("float32", "precision of CLIP"),
        "precision.decoder": PublishedSetting("float32", "precision of the decoder"),
        "precision.metrics": PublishedSetting("float32", "precision of networks that only measure"),
        "init": PublishedSetting(None, "initial weights from"),
    }
)
"""Setting -> its published value. Amounts that `SENTENCES` tell (images, epochs, t_edit), and the optimizer and its
rate, which differ among the published runs, are not here."""

SENTENCES = (
    "Editors were trained on the domain {domain} for the attribute {attribute}, on {training.num_images} images "
    "(epochs: {training.epochs}; batch size: {training.batch_size}; {training.optimizer.kind} at learning rate "
    "{training.optimizer.learning_rate}), with {training.num_train_steps} DDIM steps and t_edit {training.t_edit}.",
    "Metrics are means over {evaluation.num_images} held-out images ({evaluation.split} split), edited "
    "at strength {evaluation.primary_strength} in {evaluation.num_sample_steps} steps.",
)
