"""A bundle of evidence: whatever is changed in it is found, and told apart by what was done."""

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.contrasts import judge_study, verdict_sentence
from analysis.evidence.bundle import json_bytes, packed, unpacked
from analysis.evidence.checking import Outcome, check, write_bundle
from analysis.export import export
from analysis.frames import load_frames
from trainables.errors import UserError

CLAIM = {"text": "pixel_channel edits more", "axis": "encoder", "better": "pixel_channel", "worse": "conv",
         "metric": "l1_distance"}  # fmt: skip


@pytest.fixture(scope="module")
def study(synthetic: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells, six seeds, one of them failed, and a claim about another metric."""
    folder = tmp_path_factory.mktemp("evidence") / "study"
    effects = {"pixel_channel": 0.6, "conv": 0.4}
    failed = {("conv", 3)}
    return synthetic(
        folder, effects=effects, num_seeds=7, num_images=1, epochs=1, batches=3, failed=failed, claims=[CLAIM]
    )


@pytest.fixture(scope="module")
def bundle(study: Path) -> Path:
    path = study.parent / "study.evidence.zip"
    assert write_bundle(study, path).state == "verified"
    return path


@pytest.fixture(scope="module")
def files(bundle: Path) -> dict[str, bytes]:
    return dict(unpacked(bundle).files)


@pytest.fixture
def altered(files: dict[str, bytes], tmp_path: Path) -> Callable[[dict[str, bytes]], Outcome]:
    """Check the bundle with other files, under a manifest that fits them."""

    def check_with(changes: dict[str, bytes]) -> Outcome:
        path = tmp_path / "altered.zip"
        path.write_bytes(packed({**files, **changes}))
        return check(path)

    return check_with


def numbers(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every number in a document."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from numbers(value, (*place, name))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from numbers(value, (*place, index))
    elif isinstance(document, int | float) and not isinstance(document, bool):
        yield place


def with_change(content: bytes, *places: tuple[Any, ...]) -> bytes:
    """A JSON file with the numbers at some places changed."""
    document = json.loads(content)
    for *around, last in places:
        inner = document
        for part in around:
            inner = inner[part]
        inner[last] = inner[last] * 1.01 + 1
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def test_a_study_gives_its_own_verdicts(study: Path, files: dict[str, bytes]) -> None:
    frames = load_frames(study)
    [expected] = judge_study(frames).contrasts

    [found] = json.loads(files["verdicts.json"])["contrasts"]

    assert (found["verdict"], found["mean"], found["interval"]["low"]) == (
        expected.verdict, expected.mean, expected.interval.low,
    )  # fmt: skip
    assert found["sentence"] == verdict_sentence(frames, expected)


def test_the_same_study_gives_the_same_bytes(study: Path, bundle: Path, tmp_path: Path) -> None:
    write_bundle(study, tmp_path / "again.zip")

    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()


def test_a_bundle_says_nothing_of_the_machine(files: dict[str, bytes]) -> None:
    assert not any(b"node-1" in content for content in files.values())
    assert json.loads(files["code.json"])[0]["git_commit"] == "abc1234"


def test_no_code_of_a_study_is_run_to_check_it(
    files: dict[str, bytes], altered: Callable[[dict[str, bytes]], Outcome], tmp_path: Path
) -> None:
    (tmp_path / "family.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')")
    document = json.loads(files["study.json"]) | {"family": str(tmp_path / "family.py"), "metrics": {}}

    altered({"study.json": json.dumps(document).encode()})

    assert not (tmp_path / "was_run").exists()


def test_every_changed_byte_is_found(bundle: Path, tmp_path: Path) -> None:
    content = bundle.read_bytes()
    path = tmp_path / "changed.zip"
    for index in range(0, len(content), 97):
        path.write_bytes(content[:index] + bytes([content[index] ^ 1]) + content[index + 1 :])
        try:
            assert check(path).state == "damaged"
        except UserError:
            assert index < 400  # in the manifest's or the format's own words


@settings(max_examples=60, derandomize=True, deadline=None, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(start=st.integers(0, 40_000), cut=st.integers(0, 400), put=st.binary(max_size=40))
def test_no_change_gives_a_traceback_or_is_missed(
    bundle: Path, tmp_path: Path, start: int, cut: int, put: bytes
) -> None:
    content = bundle.read_bytes()
    changed = content[:start] + put + content[start + cut :]
    path = tmp_path / "changed.zip"
    path.write_bytes(changed)

    try:
        state = check(path).state
    except UserError:
        state = "damaged"
    assert (state == "verified") == (changed == content)


def test_a_changed_number_is_damage_unless_the_manifest_was_written_again(
    bundle: Path, files: dict[str, bytes], tmp_path: Path
) -> None:
    """Every number of every JSON file, one at a time."""
    for name in ("study.json", "origin.json", "verdicts.json", "code.json"):
        for place in numbers(json.loads(files[name])):
            path = tmp_path / "changed.zip"
            with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(path, "w") as target:
                for info in source.infolist():
                    own = source.read(info)
                    target.writestr(info, with_change(own, place) if info.filename == name else own)

            outcome = check(path)

            assert outcome.state == "damaged"
            assert outcome.differences == (f"{name} has another SHA-256 than the manifest says",)


def test_every_changed_number_of_the_verdicts_is_named(
    files: dict[str, bytes], altered: Callable[[dict[str, bytes]], Outcome]
) -> None:
    places = list(numbers(json.loads(files["verdicts.json"])))

    outcome = altered({"verdicts.json": with_change(files["verdicts.json"], *places)})

    assert outcome.state == "altered"
    assert len(outcome.differences) == len(places) > 50


def test_every_changed_number_of_the_plan_is_found(
    files: dict[str, bytes], altered: Callable[[dict[str, bytes]], Outcome]
) -> None:
    places = list(numbers(json.loads(files["study.json"])))

    states = {
        place: altered({"study.json": with_change(files["study.json"], place)}).state for place in places
    }

    assert set(states.values()) == {"altered"}


@pytest.mark.parametrize("name", ["trials", "curves", "evaluations"])
def test_every_changed_number_of_the_rows_is_found(
    files: dict[str, bytes], altered: Callable[[dict[str, bytes]], Outcome], name: str
) -> None:
    """In every column; of the judged metric in every row, where it also shows in the verdict if it is of a pair."""
    table = pq.read_table(pa.BufferReader(files[f"{name}.parquet"]))
    for column, field in enumerate(table.schema):
        if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
            continue
        values = table.column(column).to_pylist()
        is_judged = field.name == "metric_counterfactual_gain"
        known = [row for row, value in enumerate(values) if value is not None]
        for row in known if is_judged else known[:1]:
            changed = [*values[:row], values[row] + 1, *values[row + 1 :]]
            outcome = altered(
                {f"{name}.parquet": parquet(table.set_column(column, field, pa.array(changed, field.type)))}
            )

            assert outcome.state == "altered", field.name
            if is_judged and table.column("seed")[row].as_py() != 3:  # whose partner failed
                assert any("contrasts 1 mean" in line for line in outcome.differences)


def parquet(table: pa.Table) -> bytes:
    written = pa.BufferOutputStream()
    pq.write_table(table, written)
    return bytes(written.getvalue().to_pybytes())


def test_a_number_changed_by_a_forger_shows_in_the_verdicts(
    files: dict[str, bytes], altered: Callable[[dict[str, bytes]], Outcome]
) -> None:
    table = pq.read_table(pa.BufferReader(files["trials.parquet"]))
    column = table.column_names.index("metric_counterfactual_gain")
    values = table.column(column).to_pylist()
    values[0] += 0.001

    outcome = altered(
        {"trials.parquet": parquet(table.set_column(column, table.schema.field(column), [values]))}
    )

    assert any(line.startswith("verdicts.json contrasts 1 mean: ") for line in outcome.differences)
    assert any("rests_on trials" in line for line in outcome.differences)


@pytest.mark.parametrize("name", ["trials", "evaluations"])
@pytest.mark.parametrize("change", ["missing", "twice"])
def test_a_row_that_is_missing_or_added_is_found(
    files: dict[str, bytes], altered: Callable[[dict[str, bytes]], Outcome], name: str, change: str
) -> None:
    table = pq.read_table(pa.BufferReader(files[f"{name}.parquet"]))
    rows = table.slice(1) if change == "missing" else pa.concat_tables([table, table.slice(0, 1)])

    assert altered({f"{name}.parquet": parquet(rows)}).state == "altered"


@pytest.mark.parametrize("name", ["README.md", "space.yaml"])
def test_a_changed_text_is_found(
    files: dict[str, bytes], altered: Callable[[dict[str, bytes]], Outcome], name: str
) -> None:
    outcome = altered({name: files[name] + b" "})

    assert outcome.differences == (f"{name} is another than follows from its rows",)


def test_a_file_that_is_missing_or_added_is_found(
    bundle: Path, files: dict[str, bytes], altered: Callable[[dict[str, bytes]], Outcome], tmp_path: Path
) -> None:
    path = tmp_path / "less.zip"
    path.write_bytes(packed({name: content for name, content in files.items() if name != "trials.parquet"}))

    assert altered({"note.txt": b"trust me"}).differences == ("note.txt belongs to no bundle",)
    assert check(path).state == "altered"


def test_a_bundle_of_another_version_is_refused(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "later.zip"
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(path, "w") as target:
        for info in source.infolist():
            target.writestr(info, source.read(info).replace(b'"version": 1\n', b'"version": 2\n'))

    with pytest.raises(
        UserError, match=r"evidence bundle of version 2; this asyrp-sweep reads version 1: check it with"
    ):
        check(path)


def test_verdicts_of_another_release_are_said_to_be_so(
    files: dict[str, bytes], altered: Callable[[dict[str, bytes]], Outcome]
) -> None:
    origin = json.loads(files["origin.json"])
    origin["judged_by"]["asyrp-sweep"] = "9.0"

    lines = altered({"origin.json": json_bytes(origin)}).lines()

    assert any("its verdicts were computed by asyrp-sweep 9.0, numpy" in line for line in lines)


def test_a_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="is a folder; expected a file that `export STUDY --to evidence FILE` wrote"
    ):
        check(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK", b"{}", b"PK\x03\x04 something else"])
def test_another_file_is_no_bundle(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.zip"
    path.write_bytes(content)

    with pytest.raises(
        UserError, match=r"is no evidence bundle; `asyrp-sweep export STUDY --to evidence FILE`"
    ):
        check(path)


def test_the_page_says_whether_the_plan_was_there_before_the_first_trial(
    study: Path, edit_study_file: Callable[[Path, dict[str, Any]], None], tmp_path: Path
) -> None:
    history = [
        {"hash": "a", "since": "2026-02-01T00:00:00+00:00"},
        {"hash": "b", "since": "2026-04-01T00:00:00+00:00"},
    ]
    document = (study / "study.json").read_text()
    pages = []
    for hashes in (history[:1], history):
        edit_study_file(study, {"plan_hashes": hashes})
        pages.append(write_bundle(study, tmp_path / "e.zip").page)
    (study / "study.json").write_text(document)

    assert "the plan was fixed at 2026-02-01T00:00:00+00:00, before any had run" in pages[0]
    assert "the plan was changed once after that, last at 2026-04-01T00:00:00+00:00" in pages[1]


def test_a_search_has_no_evidence(
    make_study: Callable[..., Path], edit_study_file: Callable[[Path, dict[str, Any]], None], tmp_path: Path
) -> None:
    folder = make_study()
    edit_study_file(folder, {"design": "optuna"})

    with pytest.raises(UserError, match="is a search, which compares nothing"):
        write_bundle(folder, tmp_path / "e.zip")


def test_a_study_without_trials_is_evidence_of_nothing_and_still_verified(
    make_study: Callable[..., Path], tmp_path: Path
) -> None:
    assert write_bundle(make_study(is_empty=True), tmp_path / "e.zip").state == "verified"


def test_an_export_replaces_an_earlier_one_and_nothing_else(study: Path, tmp_path: Path) -> None:
    place, other = tmp_path / "new" / "e.zip", tmp_path / "notes.txt"
    other.write_text("mine")

    export(study, "evidence", place)
    place.write_bytes(place.read_bytes()[:500])
    lines = export(study, "evidence", place)

    assert lines[0].startswith("verified")
    assert check(place).state == "verified"
    assert [path.name for path in place.parent.iterdir()] == ["e.zip"]
    with pytest.raises(UserError, match="is another file, which is left alone; name another file"):
        export(study, "evidence", other)
    with pytest.raises(UserError, match="is a folder, which is left alone"):
        export(study, "evidence", tmp_path)
