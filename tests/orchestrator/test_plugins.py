"""Plugins: found by plan, checks, schema, workers and the report; their mistakes told in one message with its line."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.figure_checks import check_figures
from orchestrator.cli.parser import main
from orchestrator.execution.tasks import FamilyRef
from orchestrator.ledger import Ledger
from orchestrator.plan.loading import load_space
from orchestrator.space.config import ConfigError, Space
from orchestrator.study.launch import Study, open_study
from orchestrator.study.runner import RunOptions, run_missing
from trainables.h_space.config import CellConfig
from trainables.h_space.editors import EDITORS
from trainables.h_space.metrics import METRICS
from trainables.h_space.optimizers import OPTIMIZERS
from trainables.h_space.segmenters import SEGMENTERS
from trainables.plugins import use
from trainables.registry import plugins_in_use

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"


def files_of_the_page() -> dict[str, str]:
    """Name -> text of every file that the page shows."""
    blocks = re.findall(
        r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    return dict(blocks)


@pytest.fixture(autouse=True)
def _no_plugins_are_left() -> Iterator[None]:
    yield
    use()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the page, in a folder where commands are given."""
    monkeypatch.chdir(tmp_path)
    for name, text in files_of_the_page().items():
        (tmp_path / name).write_text(text)
    return tmp_path


def gate(folder: Path, **changes: str) -> Space:
    text = (folder / "gate.yaml").read_text()
    for change in changes.values():
        old, new = change.split(" -> ")
        assert old in text
        text = text.replace(old, new)
    (folder / "gate.yaml").write_text(text)
    return load_space("gate.yaml", extra_checks=[check_figures])


def signatures(folder: Path) -> dict[str, str]:
    """Cell -> signature of its trial."""
    plan = open_study(load_space("gate.yaml"), folder / "results").plan
    return {trial.cell: trial.signature for trial in plan.trials}


def launched(space: Space, folder: Path, display: Any, **options: Any) -> tuple[Study, int]:
    study = open_study(space, folder / "results")
    return study, run_missing(study, RunOptions(**options), display).exit_code


def launched_with_fakes(folder: Path, display: Any) -> Study:
    space = gate(folder, metric="metric: brightness_change -> metric: counterfactual_gain")
    return launched(space, folder, display, inline=True, trial_class="fake_trials:FakeTrial")[0]


def test_the_pages_example_runs_and_reports(folder: Path, display: Any) -> None:
    study, code = launched(gate(folder), folder, display, inline=True)

    assert code == 0
    records = Ledger(study.ledger_folder).records()
    assert {json.loads(record["config"])["editor"]["kind"] for record in records} == {"conv", "channel_gate"}
    assert all(record["metric_brightness_change"] is not None for record in records)
    assert main(["report", "gate.yaml"]) == 0
    assert (study.folder / "report" / "dots.csv").read_text().count("\n") == 3
    assert (study.folder / "report" / "dots.png").is_file()


def test_a_report_without_the_plugin_says_what_draws_the_figure(folder: Path, display: Any) -> None:
    study = launched_with_fakes(folder, display)

    assert main(["report", str(study.folder)]) == 0

    page = (study.folder / "report" / "report.html").read_text()
    assert "kind dots comes from a plugin (./my_editor.py, ./my_metric.py, ./my_figure.py" in page
    assert main(["report", str(study.folder), "--plugin", "my_figure.py"]) == 0
    assert "Not drawn" not in (study.folder / "report" / "report.html").read_text()


def test_what_travels_finds_the_plugins_again_and_figures_stay(folder: Path) -> None:
    space = gate(folder)
    reference = FamilyRef.of(space.family)
    use()
    assert "channel_gate" not in EDITORS

    found = reference.find()

    assert [name for name, _ in reference.plugins] == ["my_editor.py", "my_metric.py", "my_optimizer.py"]
    assert "brightness_change" in found.metrics
    assert EDITORS["channel_gate"].__doc__ is not None
    config = CellConfig.model_validate(
        {"domain": "avatars", "attribute": "smiling", "editor": {"kind": "channel_gate"}}
    )
    assert config.editor.kind == "channel_gate"


def test_a_space_without_plugins_knows_none_of_another_ones(folder: Path) -> None:
    gate(folder)

    encoder = load_space("encoder")

    assert plugins_in_use() == ()
    assert "channel_gate" not in EDITORS
    assert "brightness_change" not in METRICS
    assert "nadam" not in OPTIMIZERS
    assert "brightness_change" not in encoder.family.metrics
    with pytest.raises(ValueError, match="channel_gate"):
        CellConfig.model_validate(
            {"domain": "avatars", "attribute": "smiling", "editor": {"kind": "channel_gate"}}
        )


def test_a_plugin_counts_in_the_identity_of_the_trials_that_use_it(folder: Path) -> None:
    before = signatures(folder)

    def changed(name: str, old: str, new: str) -> set[str]:
        """The cells whose trial is another one after a change of a file, which is undone."""
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        after = signatures(folder)
        path.write_text(text)
        return {cell for cell in after if after[cell] != before[cell]}

    assert changed("my_editor.py", "nn.SiLU()", "nn.ReLU()") == {"editor=channel_gate"}
    assert changed("my_metric.py", ".mean(dim=(1, 2, 3))", ".amax(dim=(1, 2, 3))") == set(before)
    assert changed("my_optimizer.py", "lr=settings.learning_rate", "lr=1.0") == set(before)
    assert changed("my_figure.py", "figsize=(5, 2.5)", "figsize=(4, 2)") == set()
    assert changed("my_editor.py", "class ChannelGate", "# a comment\nclass ChannelGate") == set()


def test_lists_and_schema_know_what_a_plugin_adds_and_where_it_is_from(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    assert main(["list", "editors", "--plugin", "my_editor.py"]) == 0
    listed = capsys.readouterr().out
    assert main(["schema", "--plugin", "my_editor.py", "--plugin", "my_metric.py"]) == 0
    schema = capsys.readouterr().out

    (line,) = [line for line in listed.splitlines() if line.startswith("channel_gate")]
    assert line.rstrip().endswith("my_editor.py")
    assert "channel_gate" in schema
    assert "brightness_change" in schema


MISTAKES: dict[str, tuple[str, str, str, str]] = {
    "no such import": (
        "my_metric.py",
        "from torch import",
        "from trch import",
        r"my_metric\.py:3 cannot be imported: Mod",
    ),
    "no declaration": (
        "my_metric.py",
        "METRIC = ",
        "MINE = ",
        r"my_metric\.py adds nothing; expected it to declare one of",
    ),
    "another type": (
        "my_figure.py",
        "FIGURE = FigureKind(",
        "FIGURE = str\n_OTHER = FigureKind(",
        r"my_figure\.py:\d+ FIGURE: expected FigureKind; found class str",
    ),
    "another signature": (
        "my_metric.py",
        "_compute(batch: EditBatch)",
        "_compute(a, b)",
        r"my_metric\.py:12 METRIC: expected compute\(batch\); found compute\(a, b\)",
    ),
    "a name of the package": (
        "my_metric.py",
        '"brightness_change"',
        '"s_dir"',
        r"my_metric\.py:12 METRIC: the package has metric s_dir; give another name",
    ),
    "no network": (
        "my_editor.py",
        "def network(",
        "def net(",
        r"my_editor\.py:11 Config: expected a method network\(self, shape, timesteps\)",
    ),
    "no literal kind": (
        "my_editor.py",
        'Literal["channel_gate"]',
        "str",
        r"my_editor\.py:11 Config: expected a literal `kind`",
    ),
    "a network that cannot be made": (
        "my_editor.py",
        "shape.temb_width",
        "shape.temb",
        r"my_editor\.py:29 AttributeError: .*no attribute 'temb'",
    ),
    "no figure": (
        "my_figure.py",
        ", draw=_draw",
        "",
        r"my_figure\.py:\d+ FIGURE: expected `draw`, `text` or both; found neither",
    ),
}


@pytest.mark.parametrize(("name", "old", "new", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_faulty_plugin_is_one_message_with_its_line(
    folder: Path, name: str, old: str, new: str, message: str
) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))

    with pytest.raises(ConfigError, match=message):
        gate(folder)


def test_two_plugins_cannot_share_a_name(folder: Path) -> None:
    (folder / "other.py").write_text((folder / "my_metric.py").read_text())

    with pytest.raises(ConfigError, match=r"other\.py:12 METRIC: my_metric\.py has metric brightness_change"):
        gate(folder, plugins="./my_metric.py -> ./my_metric.py, ./other.py")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("./nothing.py", r"plugins\[0\]: expected a Python file; .*nothing\.py is not there"),
        ("my_editor", r"plugins\[0\]: expected the path of a Python file, such as \./my_metric\.py"),
    ],
)
def test_a_plugin_that_is_not_there_is_told_with_its_line(folder: Path, named: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"gate\.yaml:2  {message}"):
        gate(folder, plugins=f"./my_editor.py -> {named}")


def test_a_figure_that_fails_to_draw_is_told_in_its_place(folder: Path, display: Any) -> None:
    path = folder / "my_figure.py"
    path.write_text(path.read_text().replace("layout=", "lay_out="))
    study = launched_with_fakes(folder, display)

    assert main(["report", "gate.yaml"]) == 0

    assert "Not drawn: my_figure.py:" in (study.folder / "report" / "report.html").read_text()


MODEL = """
from typing import Literal
from trainables.molecules.models import ModelSettings
from trainables.molecules.models.egnn import Config as Egnn

class Config(Egnn):
    kind: Literal["shallow"] = "shallow"
"""


@pytest.mark.slow
def test_molecules_take_a_model_of_a_plugin_and_so_do_rays_workers(
    folder: Path, display: Any, ray_cluster: str
) -> None:
    (folder / "shallow.py").write_text(MODEL)
    (folder / "mine.yaml").write_text(
        "question: Is a shallow one enough?\nfamily: molecules\nplugins: [./shallow.py]\n"
        "baseline: {model: {kind: shallow, width: 8, depth: 1}, training: {num_train: 20, epochs: 1},"
        " evaluation: {num_validation: 5, num_test: 5}}\nseeds: 1\nprimary: {metric: skill, margin: 0.1}\n"
    )

    study, code = launched(load_space("mine.yaml"), folder, display, address=ray_cluster)

    assert code == 0
    (record,) = Ledger(study.ledger_folder).records()
    assert json.loads(record["config"])["model"]["kind"] == "shallow"


AVATARS = Path(__file__).parents[2] / "trainables" / "h_space" / "domains" / "avatars"
SEGMENTER = """
import torch
from trainables.h_space.segmenters import Segmenter

def _load(device):
    return lambda pixels: (pixels.mean(dim=1) > 0).long()

SEGMENTER = Segmenter("bright", ("dark", "bright"), _load)
"""


def test_a_domain_can_name_a_segmenter_of_a_plugin(folder: Path) -> None:
    (folder / "bright.py").write_text(SEGMENTER)

    (folder / "weights").symlink_to(AVATARS / "weights")
    (folder / "mine.yaml").write_text(
        (AVATARS / "domain.yaml").read_text().replace("segmenter: avatars", "segmenter: bright")
    )

    gate(
        folder,
        plugins="./my_editor.py -> ./my_editor.py, ./bright.py",
        domain="domain: avatars -> domain: ./mine.yaml",
    )

    assert SEGMENTERS["bright"].parts == ("dark", "bright")
    said = r"mine.yaml:\d+  segmenter: expected a segmenter; found 'bright'; known: avatars\n"
    with pytest.raises(ConfigError, match=said):
        gate(folder, plugins=", ./bright.py -> ")


INSTALLED = """
import dataclasses
from trainables.h_space.metrics.l1_distance import METRIC as L1

METRIC = dataclasses.replace(L1, name="l1_again")
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a package with an entry point, for this test."""

    def install(source: str) -> None:
        from trainables import plugins

        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "l1_package.py").write_text(source)
        info = tmp_path / "site" / "l1_package-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: l1-package\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[asyrp_sweep.plugins]\nl1_again = l1_package\n")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        plugins.installed_plugins.cache_clear()

    return install


@pytest.fixture(autouse=True)
def _nothing_stays_installed(_no_plugins_are_left: None) -> Iterator[None]:
    yield
    import sys

    from trainables import plugins

    sys.modules.pop("l1_package", None)
    plugins.installed_plugins.cache_clear()


def test_an_installed_plugin_is_always_found_and_measured_where_it_is_named(
    folder: Path, installed: Callable[[str], None]
) -> None:
    before = signatures(folder)
    installed(INSTALLED)

    assert "l1_again" in load_space("gate.yaml").family.metrics
    assert signatures(folder) == before
    named = "num_preview_images: 1 -> num_preview_images: 1, metrics: [l1_again]"
    gate(folder, metrics=named)
    assert not set(signatures(folder).values()) & set(before.values())


def test_a_faulty_installed_plugin_names_its_package(folder: Path, installed: Callable[[str], None]) -> None:
    installed("x = 1")

    with pytest.raises(ConfigError, match=r"plugin l1_again of l1-package: l1_again adds nothing.*uninstall"):
        gate(folder)
