"""The settings of a trial that is a command: what to run, what to read of it, what to keep."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from trainables.settings import Settings
from trainables.starts import InitConfig

Scalar = bool | int | float | str | None
Value = Scalar | list[Scalar]
"""A free setting of the script. A list becomes as many words of the command as it has members, perhaps none."""

SettingName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Better = Literal["higher is better", "lower is better"]


class MetricConfig(Settings):
    """A number that the script reports at its end."""

    better: Better
    """Which way is better."""
    key: str | None = None
    """Its name in the script's file where that is another one; `test.accuracy` looks into the mapping `test`."""
    pattern: str | None = None
    """For scripts that only print: a regular expression whose first group is the number, such as `Accuracy: ([0-9.]+)`.
    Its last match in the output counts."""
    take: Literal["last", "best", "mean"] = "last"
    """Which of its values counts, where rows or the output hold several. The best one is chosen by the very number that
    is reported, so it is optimistic, the more so the more rows there are."""
    of_last: int | None = Field(default=None, ge=1)
    """How many of the last values `best` and `mean` look at; all where nothing is given."""
    label: str | None = None
    """How figures and tables call it; its name where nothing is given."""
    unit: str = ""
    """Unit of its numbers."""


def _as_tuple(value: object) -> object:
    """YAML and JSON know only lists; strict models want tuples."""
    return tuple(value) if isinstance(value, list) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


def _as_metric(value: object) -> object:
    """`accuracy: higher is better` is short for the mapping."""
    return {"better": value} if isinstance(value, str) else value


class Kept(Settings):
    """Which files of the trial's folder outlive it. Patterns are globs in that folder; `**` reaches any depth."""

    samples: Texts = ()
    """Files of any kind, stored in the study's samples."""
    model: str | None = None
    """One file, kept as the trial's model: what a later trial may start from."""
    max_sample_megabytes: float = Field(default=20.0, gt=0)
    """Limit for all samples of a trial together; those beyond it are left out, and the trial's notes say which."""
    max_model_megabytes: float = Field(default=2000.0, gt=0)
    """A larger model fails the trial."""


class CommandConfig(Settings):
    """Any script, as a trial.

    The command, `working_folder` and the values of `environment` may hold `{name}` for a setting, `{seed}`, `{folder}`
    (the trial's own folder, where the script leaves its files), `{config}` (a JSON file with all values), `{here}`
    (`base_folder`), `{python}` (the interpreter that runs asyrp-sweep), `{device}` (cpu or cuda) and `{start_from}`
    (the model file that a warm start goes on from, or nothing). `{{name}}` stands for the text `{name}` itself.

    All of these are also environment variables, `TRIAL_` and the name in capitals: `TRIAL_LEARNING_RATE`, `TRIAL_SEED`,
    `TRIAL_FOLDER`, `TRIAL_CONFIG`.
    """

    command: str | Annotated[list[str], Field(min_length=1)]
    """Program and arguments as a list, or one text that is split as a shell would split it. No shell sees it."""
    settings: dict[SettingName, Value] = Field(default_factory=dict)
    """The script's own settings: what axes vary, as `settings.learning_rate`."""
    metrics: dict[
        SettingName,
        Annotated[MetricConfig, BeforeValidator(_as_metric, json_schema_input_type=Better | MetricConfig)],
    ] = Field(min_length=1)
    """What the script reports at its end: names, each with `higher is better`, `lower is better` or a mapping."""
    reads: Annotated[tuple[Literal["environment", "config"], ...], BeforeValidator(_as_tuple)] = ()
    """How the script takes settings that no placeholder carries: from the environment variables, from the JSON file at
    `TRIAL_CONFIG`. Only for the check that every setting reaches the script: both are always there."""
    shell: bool = False
    """Let /bin/sh read the command, for pipes and `&&`. Values are quoted."""
    base_folder: str = ""
    """Where relative paths start; the folder of the space's file where nothing is given."""
    working_folder: str = "{here}"
    """The folder that the command starts in."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Environment variables of the command, beside those of asyrp-sweep's own surroundings."""
    sources: Texts = ()
    """Files that decide the results, as globs in `base_folder`, such as `src/**/*.py`: a trial runs again when one of
    them changes. Files that the command names count anyway."""
    time_limit_seconds: float | None = Field(default=None, gt=0)
    """The command is stopped, and the trial fails, when it runs longer; interruptions do not count."""
    grace_seconds: float = Field(default=10.0, ge=0, le=600)
    """How long a command that is being stopped has between SIGTERM and SIGKILL."""
    metrics_file: str | None = None
    """Where the script leaves its metrics, in its folder, a glob or a path: a JSON object, or rows as JSONL, CSV, a
    JSON list or the files of TensorBoard and W&B, of which the last value counts or what the metric's `take` says.
    Where nothing is given, the first of `METRICS_FILES` that is there."""
    curves_file: str | None = None
    """JSONL or CSV that the script writes while it runs, a line an epoch or a step, or the files of TensorBoard
    and W&B. Where nothing is given, the first of `CURVES_FILES` that is there."""
    curves_pattern: str | None = None
    """For scripts that only print: a regular expression whose named groups are the columns of a row, such as
    `epoch (?P<epoch>[0-9]+): loss (?P<loss>[0-9.]+)`. Every match in the first megabyte of the output counts, and in
    the last."""
    items_file: str | None = None
    """JSONL or CSV with a row for each test item: a column `item` and any of the metrics, for comparisons that are
    paired over items."""
    keep: Kept = Kept()
    """Which files of the trial's folder outlive it."""
    init: InitConfig | None = None
    """A warm start: the script is given the model that another trial kept, as `{start_from}`. The control is added
    where `settings.epochs` says how long a trial trains."""
    resume: bool = False
    """Whether the script goes on by itself from a checkpoint that it finds in `{folder}`. An interrupted trial then
    finds its folder as it left it; otherwise the folder is emptied before the command starts again."""


EVENT_FILES = ("**/*tfevents*", "**/*.wandb")

METRICS_FILES = (
    "metrics.json",
    "results.json",
    "final_metrics.json",
    "all_results.json",
    "metrics.jsonl",
    "metrics.csv",
    *EVENT_FILES,
)
"""Where metrics are looked for, in this order."""

CURVES_FILES = (
    "curve.jsonl",
    "curves.jsonl",
    "history.jsonl",
    "log.jsonl",
    "metrics.jsonl",
    "curve.csv",
    "curves.csv",
    "history.csv",
    "log.csv",
    "progress.csv",
    "metrics.csv",
    *EVENT_FILES,
)
"""Where curves are looked for, in this order."""
