"""Results that were measured elsewhere are judged as those of a study, or refused with row and column."""

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.tensorboard import SummaryWriter

from analysis.contrasts import sample_of
from analysis.frames import load_frames
from analysis.labels import use_words
from analysis.outside.question import ask, margin_of, text_of
from analysis.outside.reading import read
from analysis.outside.rows import of_frame
from analysis.outside.verdicts import Verdicts, judge_rows
from analysis.stats import judge
from trainables.errors import UserError

ASKED: dict[str, Any] = {"variant": "model", "metric": "acc", "seed": "seed", "baseline": "a", "margin": 0.02}


def judged(results: Path | Sequence[Path] | pd.DataFrame, **asked: Any) -> Verdicts:
    question = ask(**ASKED | asked)
    if isinstance(results, pd.DataFrame):
        return judge_rows(of_frame(results, question.columns), question)
    return judge_rows(read([results] if isinstance(results, Path) else results, question.columns), question)


def runs(num_seeds: int = 8, better: float = 0.05) -> pd.DataFrame:
    """Two variants; `b` is better, `c` the same."""
    generator = np.random.default_rng(0)
    rows = [
        {"model": model, "seed": seed, "acc": 0.8 + shift + shared + generator.normal(0, 0.003)}
        for seed, shared in enumerate(generator.normal(0, 0.02, num_seeds))
        for model, shift in (("a", 0.0), ("b", better), ("c", 0.0))
    ]
    return pd.DataFrame(rows)


def answers(num_seeds: int, num_items: int = 60) -> pd.DataFrame:
    """Two variants on items that vary; `b` is better."""
    generator = np.random.default_rng(1)
    easy = generator.normal(0, 0.2, num_items)
    rows = [
        {"model": model, "seed": seed, "item": item, "part": item // 6,
         "acc": easy[item] + shift + generator.normal(0, 0.05)}
        for seed in range(num_seeds) for item in range(num_items) for model, shift in (("a", 0.0), ("b", 0.3))
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of results from its text."""

    def to_file(text: str | bytes, name: str = "results.csv") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return to_file


SMALL = "model,seed,acc\na,0,0.5\na,1,0.6\nb,0,0.7\nb,1,0.7\n"


def test_the_trials_of_a_study_get_its_verdicts(make_study: Callable[..., Path], tmp_path: Path) -> None:
    """No second truth: the same rows, written to a CSV, are judged the same to the last bit."""
    frames = load_frames(make_study(failed={("conv", 2)}))
    frames.trials[["cell", "seed", "metric_counterfactual_gain"]].to_csv(tmp_path / "t.csv", index=False)

    found = judged(
        tmp_path / "t.csv", variant="cell", metric="metric_counterfactual_gain", baseline="baseline",
        margin=0.05, missing="count",
    )  # fmt: skip

    samples = [
        sample_of(frames, frames.primary_metric, *pair)
        for pair in (("encoder=conv", "baseline"), ("encoder=pixel", "baseline"))
    ]
    expected = judge(samples, margin=0.05, alpha=0.05)
    assert [one.verdict for one in found.contrasts] == [one.verdict for one in expected]
    assert [one.num_failed for one in found.contrasts] == [1, 0]
    for one, other in zip(found.contrasts, expected, strict=True):
        assert (one.mean, one.interval, one.p_holm, one.p, one.tost_p_holm, one.worst_rank_p) == (
            other.mean, other.interval, other.p_holm, other.p, other.tost_p_holm, other.worst_rank_p,
        )  # fmt: skip


def test_every_kind_of_file_gives_the_same_verdicts(tmp_path: Path) -> None:
    frame = runs()
    frame.to_csv(tmp_path / "r.csv", index=False)
    frame.to_csv(tmp_path / "r.tsv", index=False, sep="\t")
    frame.to_csv(tmp_path / "semicolons.csv", index=False, sep=";")
    frame.to_csv(tmp_path / "marked.csv", index=False, encoding="utf-8-sig")
    frame.to_parquet(tmp_path / "r.parquet")
    frame.assign(seed=frame["seed"].astype("float32")).to_parquet(tmp_path / "floats.parquet")
    frame.to_json(tmp_path / "r.jsonl", orient="records", lines=True, double_precision=15)
    frame.to_json(tmp_path / "r.json", orient="records", double_precision=15)
    expected = judged(frame).as_json()

    for path in sorted(tmp_path.iterdir()):
        found = judged(path).as_json()
        assert [one["verdict"] for one in found["contrasts"]] == ["helps", "equivalent"], path
        for one, other in zip(found["contrasts"], expected["contrasts"], strict=True):
            assert one["difference"] == pytest.approx(other["difference"], abs=1e-12)


def test_fewer_than_six_seeds_give_an_estimate_however_many_items_there_are() -> None:
    [contrast] = judged(answers(num_seeds=5), item="item").contrasts

    assert contrast.is_estimate
    assert contrast.n == 5


def test_seeds_and_items_speak_for_both() -> None:
    found = judged(answers(num_seeds=7), item="item")

    assert found.comparisons[0].over == "both"
    assert "new seeds and new items: 7 seeds and 60 items, 420 pairs" in found.population
    assert found.contrasts[0].verdict == "helps"
    assert found.contrasts[0].n == 7


def test_items_that_every_seed_draws_anew_are_said() -> None:
    frame = answers(num_seeds=7).assign(item=lambda table: 100 * table["seed"] + table["item"])

    assert "7 seeds, each with items of its own (420 items)" in judged(frame, item="item").population


def test_rows_without_a_partner_are_counted_and_said_where_that_is_asked_for() -> None:
    frame = runs().drop(index=[4, 7])

    found = judged(frame, missing="count")

    assert found.contrasts[0].n == 6
    assert "Rows without a partner, left out: 2." in found.population
    assert not any("running" in line for line in found.lines())


def test_one_seed_speaks_for_items_alone_and_says_so() -> None:
    found = judged(answers(num_seeds=1), item="item")

    assert found.contrasts[0].verdict == "helps"
    assert found.contrasts[0].n == 60
    assert "does not speak for new training runs" in found.population


def test_items_need_no_column_of_seeds() -> None:
    frame = answers(num_seeds=1).drop(columns="seed")

    assert judged(frame, seed=None, item="item").contrasts[0].n == 60


def test_items_of_one_cluster_count_as_one_replicate() -> None:
    found = judged(answers(num_seeds=1), item="item", cluster="part")

    assert found.contrasts[0].n == 10
    assert found.contrasts[0].sample.unit == "cluster"


def test_lower_is_better_turns_the_difference() -> None:
    assert judged(runs(), direction="lower").contrasts[0].verdict == "hurts"


def test_only_the_rows_that_are_asked_for_count() -> None:
    frame = pd.concat([runs().assign(split="test"), runs(better=-0.3).assign(split="train")])

    assert judged(frame, where=(("split", "test"),)).sentences == judged(runs()).sentences


def test_a_margin_may_be_a_share_of_the_baseline() -> None:
    found = judged(runs(), margin="5% of baseline")

    assert found.margin == pytest.approx(0.05 * found.baseline_mean)


def test_other_metrics_of_the_context_do_not_change_how_verdicts_show_themselves(tmp_path: Path) -> None:
    found = judged(runs())
    use_words({}, "h_space")

    written = found.write(tmp_path / "out")

    assert {path.name for path in written} == {
        *("effects.png", "effects.svg", "effects.csv", "effects.md"),
        *("contrasts.md", "contrasts.tex", "verdicts.csv", "verdicts.json"),
    }
    assert json.loads((tmp_path / "out" / "verdicts.json").read_text())["contrasts"][0]["verdict"] == "helps"
    assert "<td>helps" in found._repr_html_()
    assert "b helps" in repr(found)
    assert "+0.0496" in repr(found)


def test_names_in_a_file_show_as_they_are_written(write: Callable[..., Path]) -> None:
    rows = [f"{model},{seed},{0.5 + seed / 1000 + gain}" for model, gain in (("my_model", 0), ("<b>|x", 1))
            for seed in range(6)]  # fmt: skip
    found = judged(write("model,seed,acc\n" + "\n".join(rows)), baseline="my_model")

    assert "against my_model" in found.heading
    assert "&lt;b&gt;|x" in found._repr_html_()
    assert r"\|x" in found.markdown()


# Exports of other programs


def test_a_table_of_runs_from_wandb(write: Callable[..., Path]) -> None:
    """As its run table is downloaded: all values quoted, settings and summaries beside each other."""
    rows = [
        f'"run-{model}-{seed}","{state}","-","me","","2026-03-01T10:00:00.000Z","812","","{model}","{seed}","0.001","{acc}"'
        for model, gain in (("small", 0.0), ("large", 0.1))
        for seed in range(7)
        for state, acc in [
            ("crashed", "") if (model, seed) == ("large", 3) else ("finished", 0.7 + gain + seed / 900)
        ]
    ]
    titles = '"Name","State","Notes","User","Tags","Created","Runtime","Sweep","model","seed","lr","val/acc"'
    path = write("\n".join([titles, *rows]), "wandb_export_2026-03-01T12_00_00.000+01_00.csv")
    asked = {"metric": "val/acc", "baseline": "small"}

    with pytest.raises(UserError, match=r"csv:12  column val/acc: no number; --missing count counts it"):
        judged(path, **asked)
    [contrast] = judged(path, **asked, missing="count").contrasts

    assert contrast.verdict == "helps"
    assert (contrast.n, contrast.sample.failed_worse) == (6, 1)


@pytest.fixture
def logged(tmp_path: Path) -> Path:
    """The runs of a table as PyTorch logs them, in `model/seed` folders, and with their settings."""
    for model, seed, acc in runs().itertuples(index=False):
        with SummaryWriter(tmp_path / "logs" / model / f"{seed}.0") as writer:
            writer.add_hparams({"arch": model, "number": seed}, {})
            writer.add_scalar("val/acc", 0.1, 0)
            writer.add_scalar("val/acc", acc, 1)
    (tmp_path / "logs" / "about.json").write_text("{}")
    return tmp_path / "logs"


@pytest.mark.parametrize(
    "asked", [{"variant": "folder", "seed": "file"}, {"variant": "arch", "seed": "number"}]
)
def test_runs_that_were_logged_are_judged_by_their_last_values(logged: Path, asked: dict[str, str]) -> None:
    found, expected = judged(logged, metric="val/acc", **asked), judged(runs())

    assert [one.verdict for one in found.contrasts] == ["helps", "equivalent"]
    for one, other in zip(found.as_json()["contrasts"], expected.as_json()["contrasts"], strict=True):
        assert one["difference"] == pytest.approx(other["difference"], abs=1e-6)


def test_a_run_that_logged_no_value_is_a_failed_one(logged: Path) -> None:
    (log,) = (logged / "b" / "0.0").glob("*tfevents*")
    log.write_bytes(b"")  # as of a run that crashed at once
    asked = {"variant": "folder", "seed": "file", "metric": "val/acc"}

    with pytest.raises(UserError, match=r"logs/b/0.0  column val/acc: no number; --missing count counts it"):
        judged(logged, **asked)
    contrast, _ = judged(logged, **asked, missing="count").contrasts

    assert (contrast.n, contrast.sample.failed_worse) == (7, 1)


def test_a_damaged_log_names_its_run(logged: Path) -> None:
    (log,) = (logged / "b" / "3.0").glob("*tfevents*")
    log.write_bytes(b"acc: 0.5\n" * 9)

    with pytest.raises(UserError, match=r"b/3.0  events.out.tfevents\S+, byte \d+: expected a record"):
        judged(logged, variant="folder", seed="file", metric="val/acc")


def lm_eval_run(folder: Path, model: str, seed: int, gain: float, with_results: bool = True) -> None:
    """What `lm_eval --output_path OUT --log_samples` leaves of a run with two tasks."""
    date = f"2026-03-0{seed + 1}T10-00-00.{seed:06d}"
    own = folder / model.replace("/", "__")
    own.mkdir(parents=True, exist_ok=True)
    accuracy = {}
    for task in ("arc_easy", "piqa"):
        samples = []
        for document in range(40):
            right = float((document * 7 + seed) % 10 < 5 + 10 * gain)
            samples.append(
                {"doc_id": document, "doc": {"question": f"q {document}"}, "target": "0",
                 "arguments": {"gen_args_0": {"arg_0": "q", "arg_1": " a"}}, "resps": [[["-1.0", "True"]]],
                 "filtered_resps": [["-1.0", "True"]], "filter": "none", "metrics": ["acc"],
                 "doc_hash": f"{document:064x}", "prompt_hash": "0" * 64, "target_hash": "0" * 64, "acc": right}
            )  # fmt: skip
        accuracy[task] = float(np.mean([sample["acc"] for sample in samples]))
        text = "".join(json.dumps(sample) + "\n" for sample in samples)
        (own / f"samples_{task}_{date}.jsonl").write_text(text)
    if with_results:
        results = {
            "results": {
                task: {"alias": task, "acc,none": value, "acc_stderr,none": 0.07} for task, value in accuracy.items()
            },
            "config": {"model": "hf", "model_args": f"pretrained={model}", "random_seed": seed, "numpy_seed": seed,
                       "torch_seed": 1234, "fewshot_seed": seed},
            "model_name": model,
            "model_name_sanitized": model.replace("/", "__"),
        }  # fmt: skip
        (own / f"results_{date}.json").write_text(json.dumps(results, indent=2))


def test_samples_of_lm_evaluation_harness_know_their_model_task_and_seed(tmp_path: Path) -> None:
    for seed in range(6):
        lm_eval_run(tmp_path, "org/small", seed, 0.0)
        lm_eval_run(tmp_path, "org/large", seed, 0.2)

    found = judged(
        tmp_path, seed="fewshot_seed", item="task,doc_id", baseline="org/small", cluster=None, margin=0.05
    )

    assert found.num_rows == 2 * 6 * 2 * 40
    assert found.comparisons[0].num_items == 80
    assert found.contrasts[0].mean == pytest.approx(0.2, abs=0.04)


def test_samples_without_their_results_are_of_the_model_that_their_folder_names(tmp_path: Path) -> None:
    lm_eval_run(tmp_path, "small", 0, 0.0, with_results=False)
    lm_eval_run(tmp_path, "large", 0, 0.2, with_results=False)

    found = judged(tmp_path, seed=None, item="task,doc_id", cluster="task", baseline="small")

    assert found.contrasts[0].name == "large"
    assert found.contrasts[0].is_estimate  # two tasks


def test_results_of_lm_evaluation_harness_have_a_row_per_task(tmp_path: Path) -> None:
    paths = []
    for model, gain in (("small", 0.0), ("large", 0.2)):
        for seed in range(6):
            lm_eval_run(tmp_path, model, seed, gain)
        paths += sorted((tmp_path / model).glob("results_*.json"))

    found = judged(paths, seed="fewshot_seed", item="task", baseline="small", over="seeds", margin=0.01)

    assert found.contrasts[0].n == 6
    assert found.contrasts[0].verdict == "helps"


# What is refused


@pytest.mark.parametrize(
    ("text", "asked", "message"),
    [
        ("", {}, r"results.csv  is empty; expected a line of column names"),
        ("\n\n", {}, r"results.csv  is empty"),
        ("model,seed,acc\n", {}, r"holds no results, only names of columns"),
        (SMALL, {"metric": "ac"}, r"no column 'ac'; did you mean acc\?; its columns: model, seed, acc"),
        (SMALL.replace("a,", "a" * 300 + ","), {"baseline": "A"}, r"there are a{100}\.\.\. \(300 characters\), b"),
        (SMALL, {"baseline": "A"}, r"column model: no row has the baseline 'A'; .*there are a, b"),
        (SMALL, {"item": "doc"}, r"no column 'doc'"),
        ("model,seed,acc\na,0,1\na,1,1\n", {}, r"column model: every row is of 'a'; expected another variant"),
        (SMALL + "c,0,0.5\n", {}, r"csv:6  column model: the only row of 'c'; one value has no spread"),
        (SMALL + "b,1,0.8\n", {}, r"csv:6  column acc: a second row for model b, seed 1; the first is line 5"),
        (SMALL + "b,2,0.8\n", {}, r"csv:6  column seed: 'a' has no row for seed 2, so this value has no partner"),
        (SMALL + "b,1 .0,x\n", {}, r"csv:6  column acc: expected a finite number; found 'x'"),
        (SMALL.replace("0.5", "nan"), {}, r"csv:2  column acc: no number; --missing count counts it"),
        (SMALL.replace("0.5", ""), {}, r"csv:2  column acc: no number"),
        (SMALL.replace("0.5", "inf"), {}, r"csv:2  column acc: expected a finite number; found 'inf'"),
        (SMALL.replace("0.5", '"0,5"'), {}, r"csv:2  column acc: expected a finite number; found '0,5'; write 0.5"),
        (SMALL.replace("a,0,", "a,,"), {}, r"csv:2  column seed: empty; expected a name or a number"),
        (SMALL.replace("a,0,", ",0,"), {}, r"csv:2  column model: empty"),
        (SMALL + "b,2\n", {}, r"csv:6  expected 3 values, as in the line of column names; found 2"),
        (SMALL + "\n\nb,2,0.7,9\n", {}, r"csv:8  expected 3 values"),
        (SMALL + 'b,"2,0.7\n', {}, r"csv:6  is not CSV: a quotation mark is opened here and never closed"),
        ("model,seed,acc,acc\na,0,1,1\n", {}, r"csv:1  column acc: two columns have this name"),
        ("model;seed;acc\na;0;x\n", {"baseline": "b"}, r"csv:2  column acc: expected a finite number; found 'x'"),
        (SMALL.replace("b,0", "b,7").replace("b,1", "b,8"), {}, r"column seed: .*; 'b' and 'a' share none"),
        ("model,seed,item,acc\na,0,1,1\na,0,2,1\nb,0,1,1\nb,0,2,\n", {"item": "item"},
         r"csv:5 .*give the item the value"),
        ("model,seed,item,acc\na,0,1,1\na,0,2,1\nb,0,1,1\nb,0,3,1\n", {"item": "item"},
         r"csv:3  column item: 'b' has no row for seed 0, item 2, so this value has no partner \(2 such rows in all\)"),
        ("model,seed,item,doc,acc\na,0,1,x,1\na,0,2,x,1\nb,0,1,y,1\nb,0,2,x,1\n", {"item": "item", "cluster": "doc"},
         r"csv:4  column doc: item 1 is in 'y', and line 2 in 'x'; an item is in one cluster"),
        ("model,seed,item,acc\na,0,1,1\na,0,2,1\nb,0,1,1\nb,0,2,1\n", {},
         r"a second row for model a, seed 0; the first is line 2; where rows differ in another column, .*--item: item"),
        (SMALL, {"where": (("seed", "9"),)}, r"column seed: no row has '9'"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_judged_is_refused_with_its_line_and_column(
    write: Callable[..., Path], text: str, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        judged(write(text), **asked)


def test_a_line_is_counted_as_an_editor_counts_it(write: Callable[..., Path]) -> None:
    text = 'model,seed,note,acc\na,0,"two\nlines",1\n\na,1,x,oops\n'

    with pytest.raises(UserError, match=r"csv:5  column acc: expected a finite number; found 'oops'"):
        judged(write(text))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("model,seed,acc\na,0,1\nb\xe9,0,1\n".encode("latin-1"), "r.csv", r"r.csv:3  byte 0xe9 is not UTF-8"),
        (SMALL.encode("utf-16"), "r.csv", r"is text in UTF-16; save it as UTF-8"),
        (b"PAR1 not really", "r.parquet", r"is not a Parquet file that can be read"),
        (b'{"model": "a"}\n{"model": \n', "r.jsonl", r"r.jsonl:2  is not JSON"),
        (b"[1]\n", "r.jsonl", r"r.jsonl:1  expected an object with a value for each column"),
        (b"[1]\n", "r.json", r"expected an object"),
        (b'{"a": 1}\n', "r.json", r"expected a list of objects"),
        (b"[" * 100_000, "r.json", r"is no JSON that can be read"),
        (b"x", "r.xlsx", r"cannot tell what kind of file this is; expected a name ending in .csv"),
        (b"", "r.parquet", r"is not a Parquet file"),
        (b"", "r.jsonl", r"is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    write: Callable[..., Path], content: bytes, name: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        judged(write(content, name))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"margin": "1%"}, r'--margin: 1% of what\? Write a number .* or "1% of baseline"'),
        ({"margin": "1 pp"}, r"--margin: expected a number above 0 in the unit of the metric"),
        ({"margin": "-0.1"}, r"--margin: expected a number above 0"),
        ({"margin": "nan"}, r"--margin: expected a number above 0"),
        ({"margin": True}, r"--margin: expected a number above 0"),
        ({"alpha": 1.5}, r"--alpha: expected a number between 0 and 1; found 1.5"),
        ({"seed": None}, r"--seed: required without --item"),
        ({"cluster": "doc"}, r"--cluster: groups items"),
        ({"over": "both"}, r"--over both: needs --item"),
        ({"over": "seed"}, r"--over: expected seeds, items or both; found 'seed'; did you mean seeds\?"),
        ({"seed": "model"}, r"--seed: column 'model' is the variant already"),
        ({"metric": "val_loss"}, r"--direction: say whether 'val_loss' is better lower or higher"),
    ],
)
def test_a_question_that_means_nothing_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ask(**ASKED | asked)


def test_a_share_of_a_baseline_that_is_not_positive_is_refused() -> None:
    frame = runs().assign(acc=lambda table: table["acc"] - 5)

    with pytest.raises(
        UserError, match="a share of the baseline means something only where its mean is above 0"
    ):
        judged(frame, margin="5% of baseline")


quick = settings(
    max_examples=150, derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
FIELDS = st.sampled_from(
    ["a", "b", "0", "1", "2", "0.5", "1e3", "nan", "inf", "", " ", '"x', '"a,b"', "\x00", "é", "True"]
)
LINES = st.lists(st.lists(FIELDS, min_size=1, max_size=5), max_size=10)
ENTRIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["model", "seed", "acc"]), inner)
    ),
)


def is_judged_or_refused(results: Path | pd.DataFrame, **asked: Any) -> None:
    """Any other exception fails the test."""
    with contextlib.suppress(UserError):
        found = judged(results, **asked)
        found.lines()
        json.dumps(found.as_json(), allow_nan=False)
        found.markdown()
        found.csv()


@quick
@given(lines=LINES, delimiter=st.sampled_from(",;\t"), item=st.sampled_from([None, "item"]),
       missing=st.sampled_from(["refuse", "count"]))  # fmt: skip
def test_no_csv_gives_a_traceback(
    tmp_path: Path, lines: list[list[str]], delimiter: str, item: str | None, missing: str
) -> None:
    path = tmp_path / "any.csv"
    text = "\n".join(delimiter.join(line) for line in [["model", "seed", "acc", "item"], *lines])
    path.write_text(text, encoding="utf-8")

    is_judged_or_refused(path, item=item, missing=missing)


@quick
@given(
    content=st.binary(max_size=60),
    ending=st.sampled_from(["csv", "tsv", "txt", "jsonl", "json", "parquet"]),
    start=st.sampled_from([b"", b"model,seed,acc\n", b"PAR1", b'{"model":', b"\xef\xbb\xbf"]),
)
def test_no_bytes_give_a_traceback(tmp_path: Path, content: bytes, ending: str, start: bytes) -> None:
    path = tmp_path / f"any.{ending}"
    path.write_bytes(start + content)

    is_judged_or_refused(path)


@quick
@given(entries=st.lists(ENTRIES, max_size=8), is_lines=st.booleans())
def test_no_json_gives_a_traceback(tmp_path: Path, entries: list[Any], is_lines: bool) -> None:
    path = tmp_path / ("any.jsonl" if is_lines else "any.json")
    path.write_text("\n".join(map(json.dumps, entries)) if is_lines else json.dumps(entries))

    is_judged_or_refused(path, missing="count")


@quick
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 2), st.floats(-1e300, 1e300)),
        min_size=1, max_size=40, unique_by=lambda row: row[:3],
    ),
    over=st.sampled_from([None, "seeds", "items", "both"]), missing=st.sampled_from(["refuse", "count"]),
)  # fmt: skip
def test_no_frame_gives_a_traceback(rows: list[tuple[Any, ...]], over: str | None, missing: str) -> None:
    frame = pd.DataFrame(rows, columns=["model", "seed", "item", "acc"])

    is_judged_or_refused(frame, item="item", over=over, missing=missing)


@quick
@given(
    text=st.text(max_size=12) | st.sampled_from(["1%", "1% of baseline", "% of baseline", "1e-3", "0", "1_0"])
)
def test_no_margin_gives_a_traceback(text: str) -> None:
    with contextlib.suppress(UserError):
        assert margin_of(text)[0] > 0


@pytest.mark.parametrize("value", [3, 3.0, "3", " 3 ", np.int64(3), np.float32(3)])
def test_the_same_name_from_every_kind_of_file(value: object) -> None:
    assert text_of(value) == "3"
