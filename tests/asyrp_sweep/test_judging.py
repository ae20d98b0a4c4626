import pandas as pd
import polars as pl
import pytest

from asyrp_sweep import UserError, judge

ROWS = [
    {"model": model, "seed": seed, "acc": 0.5 + gain + seed / 1000}
    for model, gain in (("a", 0.0), ("b", 0.1))
    for seed in range(6)
]
ASKED = {"variant": "model", "seed": "seed", "metric": "acc", "baseline": "a", "margin": 0.01}


@pytest.mark.parametrize(
    "table", [ROWS, pd.DataFrame(ROWS), pl.DataFrame(ROWS), pl.DataFrame(ROWS).to_arrow()]
)
def test_any_table_is_judged(table: object) -> None:
    [contrast] = judge(table, **ASKED).contrasts

    assert contrast.verdict == "helps"


def test_files_are_judged(tmp_path: object) -> None:
    path = f"{tmp_path}/r.csv"
    pd.DataFrame(ROWS).to_csv(path, index=False)

    assert judge(path, **ASKED).sentences == judge(ROWS, **ASKED).sentences
    assert judge([path], **ASKED).sentences == judge(ROWS, **ASKED).sentences


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(UserError, match="expected a data frame, or what makes one; found int"):
        judge(3, **ASKED)


def test_verdicts_show_themselves_as_a_table() -> None:
    found = judge(ROWS, **ASKED)

    assert [column.header for column in found.__rich__().columns][:2] == ["cell", "verdict"]
    assert list(found.frame()["verdict"]) == ["helps"]
    assert found.figure().axes
