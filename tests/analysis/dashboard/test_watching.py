"""What the dashboard takes for a change of a study."""

from pathlib import Path

import pytest

from analysis.dashboard.watching import LAUNCH_SECONDS, look


@pytest.mark.parametrize("file", ["running.json", "running-2-of-4.json"])
def test_a_launch_or_a_shard_at_work_is_looked_at_again_even_when_nothing_is_written(
    tmp_path: Path, file: str
) -> None:
    (tmp_path / "study.json").write_text("{}")
    now = 2e9
    assert look(tmp_path, now) == look(tmp_path, now + 2 * LAUNCH_SECONDS)

    (tmp_path / file).write_text("{}")

    assert look(tmp_path, now) != look(tmp_path, now + 2 * LAUNCH_SECONDS)
