"""The page in a real browser, opened from disk without a network: every control does what it says.

`open_page` fails a test in which the page wrote to the console, raised, opened a dialog or asked for anything.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.labels import number
from analysis.page.assets import report_html
from analysis.page.shape import StudyPage

pytestmark = pytest.mark.browser

Study = tuple[Path, StudyPage]
Open = Callable[..., Any]
PARTS = (
    "answer",
    "claims",
    "effects",
    "failures",
    "curves",
    "samples",
    "parallel",
    "trials",
    "fairness",
    "costs",
)
PARTS += ("methods", "provenance")


def picture(page: Any) -> str:
    """What the curves' canvas shows now."""
    page.wait_for_timeout(100)  # A canvas is drawn with the next frame.
    return str(page.locator("#curves canvas").evaluate("canvas => canvas.toDataURL()"))


def cells(page: Any) -> list[str]:
    """First column of the table of trials."""
    return [text.strip() for text in page.locator("#trials tbody th").all_inner_texts()]


def test_everything_is_there_from_disk_without_a_network(study: Study, open_page: Open) -> None:
    path, data = study

    page = open_page(path).page

    assert page.title() == "encoder: Which reading of the bottleneck feature map edits best?"
    assert [name for name in PARTS if page.locator(f"#{name}").count() != 1] == []
    shown = page.locator("#answer li").all_inner_texts()
    assert shown == [effect["sentence"] for effect in data["effects"]["effects"]]
    assert "Spent so far" in page.locator("header").inner_text()
    assert "Traceback: <b>loss</b> is NaN" in page.locator("#failures pre").inner_text()


def test_numbers_are_written_as_in_every_other_file(study: Study, open_page: Open) -> None:
    path, data = study

    page = open_page(path).page

    titles = page.locator("#trials thead th").all_inner_texts()
    rows = page.locator("#trials tbody tr").all()
    for column in (column for column in data["trials"]["columns"] if column["group"] == "metric"):
        place = titles.index(column["label"])
        shown = [row.locator("th, td").nth(place).inner_text() for row in rows]
        assert shown == ["–" if value is None else number(float(value)) for value in column["values"]]


def test_effects_have_one_scale_however_long_their_words_are(study: Study, open_page: Open) -> None:
    page = open_page(study[0]).page
    page.locator("#effects .word").first.evaluate(
        "word => word.textContent = 'hurts, perhaps by less than matters, n = 6'"
    )

    zeros = page.locator("#effects li .zero").evaluate_all(
        "lines => lines.map(line => line.getBoundingClientRect().x)"
    )

    assert len(zeros) > 1
    assert max(zeros) - min(zeros) < 0.5


def test_a_slider_shows_another_place(study: Study, open_page: Open) -> None:
    page = open_page(study[0]).page
    edit = page.locator("#samples tbody tr").first.locator("img").last
    before = edit.get_attribute("src")
    slider = page.get_by_role("slider", name="epoch")

    slider.focus()
    page.keyboard.press("ArrowLeft")

    assert slider.get_attribute("aria-valuetext") == "1"
    assert edit.get_attribute("src") != before
    assert "epoch 1" in page.locator("#samples [role=status]").inner_text()
    assert "epoch 1" in str(edit.get_attribute("alt"))


def test_a_place_without_a_sample_says_so(study: Study, open_page: Open) -> None:
    page = open_page(study[0]).page

    for name, key in (("epoch", "Home"), ("strength", "Home")):
        page.get_by_role("slider", name=name).focus()
        page.keyboard.press(key)
    page.locator("#sample-seed").select_option("1")

    assert set(page.locator("#samples .none").all_inner_texts()) == {"not stored", "failed"}


def test_a_drag_over_an_axis_selects_trials_everywhere(study: Study, open_page: Open) -> None:
    page = open_page(study[0]).page
    canvas = page.locator("#parallel canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    before = picture(page)
    num_axes = page.locator("#parallel .axes input:checked").count()
    # The first axis is the setting, whose three values stand below each other: only the first is dragged over.
    left = box["x"] + 0.5 * box["width"] / num_axes
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(left, box["y"] + 62)
    page.mouse.down()
    page.mouse.move(left, box["y"] + 110, steps=4)
    page.mouse.up()

    assert page.locator("#parallel [role=status]").inner_text() == "2 of 6 trials selected."
    assert cells(page) == ["pixel_channel"] * 2
    assert page.locator("#trials [role=status]").inner_text() == "2 of 6 trials."
    assert page.locator("#samples thead th").last.inner_text() == "pixel_channel"
    assert picture(page) != before

    canvas.click(position={"x": left - box["x"], "y": 80})
    assert len(cells(page)) == 6


def test_a_range_by_number_does_the_same_and_escape_clears_it(study: Study, open_page: Open) -> None:
    path, data = study
    gains = next(c for c in data["trials"]["columns"] if c["name"] == "counterfactual_gain")["values"]
    page = open_page(path).page
    page.get_by_text("Ranges by number").click()

    least = page.get_by_label("Counterfactual gain, training CLIP ↑ (share of the distance), at least")
    least.fill("0.5")

    kept = sum(isinstance(gain, float) and gain >= 0.5 for gain in gains)
    assert 0 < kept < 5
    assert page.locator("#parallel [role=status]").inner_text() == f"{kept} of 6 trials selected."
    assert len(cells(page)) == kept
    page.keyboard.press("Escape")
    assert page.locator("#parallel [role=status]").inner_text() == "All 6 trials."
    assert len(cells(page)) == 6


def test_words_of_an_axis_can_be_left_out(study: Study, open_page: Open) -> None:
    page = open_page(study[0]).page
    page.get_by_text("Ranges by number").click()

    page.locator("#parallel .ranges").get_by_label("conv").uncheck()

    assert "conv" not in cells(page)
    page.locator("#parallel .ranges").get_by_label("conv").check()
    assert len(cells(page)) == 6


def test_constant_columns_are_hidden_until_asked_for(study: Study, open_page: Open) -> None:
    page = open_page(study[0]).page
    page.get_by_text(re.compile(r"^Axes: \d+ columns")).click()

    box = page.get_by_label("epochs (the same everywhere)")

    assert not box.is_checked()
    box.check()
    page.get_by_text("Ranges by number").click()
    assert page.get_by_label("epochs, at least").is_visible()


def test_the_table_filters_and_says_how_many_are_left(study: Study, open_page: Open) -> None:
    page = open_page(study[0]).page

    page.get_by_label("Filter").fill("pixel_channel 1")

    assert page.locator("#trials [role=status]").inner_text().startswith(f"{len(cells(page))} of 6 trials")
    assert set(cells(page)) == {"pixel_channel"}
    page.get_by_label("Filter").fill("nan in epoch")
    assert cells(page) == ["pixel"]


def test_a_column_sorts_both_ways_with_missing_values_last(study: Study, open_page: Open) -> None:
    page = open_page(study[0]).page
    head = page.locator("#trials thead th", has_text="Counterfactual gain")
    place = page.locator("#trials thead th").all_inner_texts().index(head.inner_text())

    def shown() -> list[str]:
        rows = page.locator("#trials tbody tr").all()
        return [row.locator("th, td").nth(place).inner_text() for row in rows]

    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    upwards = shown()
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"

    assert upwards[-1] == shown()[-1] == "–"
    assert [float(text) for text in upwards[:-1]] == sorted(float(text) for text in upwards[:-1])
    assert shown()[:-1] == upwards[-2::-1]


def test_a_row_opens_its_settings_and_files(study: Study, open_page: Open) -> None:
    page = open_page(study[0]).page

    page.get_by_role("button", name="of trial conv").first.click()

    opened = page.locator("#trials .opened")
    assert opened.locator("tr", has_text="editor.kind").first.inner_text().split() == [
        "editor.kind",
        "conv",
        "pixel_channel",
    ]
    opened.get_by_text(re.compile(r"^All \d+ settings")).click()
    assert "training.batch_size" in opened.inner_text()
    page.get_by_role("button", name="of trial pixel01").click()
    assert "logs/pixel01000000000.log" in page.locator("#trials").inner_text()


def test_a_cell_is_switched_off_everywhere(study: Study, open_page: Open) -> None:
    page = open_page(study[0]).page
    before = picture(page)
    button = page.locator("#curves .legend button", has_text="conv")

    button.click()

    assert button.get_attribute("aria-pressed") == "false"
    assert picture(page) != before
    assert "conv" not in cells(page)
    assert "conv" not in page.locator("#samples thead").inner_text()
    button.click()
    assert picture(page) == before


@pytest.mark.parametrize("control", ["logarithmic", "single seeds"])
def test_a_box_changes_the_curves(study: Study, open_page: Open, control: str) -> None:
    page = open_page(study[0]).page
    before = picture(page)

    page.get_by_label(control).check()

    assert picture(page) != before
    page.get_by_label(control).uncheck()
    assert picture(page) == before


def test_another_column_of_the_curves_can_be_chosen(study: Study, open_page: Open) -> None:
    page = open_page(study[0]).page
    before = picture(page)

    page.get_by_label("Column").select_option("learning_rate")

    assert picture(page) != before
    page.get_by_text("Curves in numbers").click()
    assert page.locator("#curves details .note").inner_text().startswith("Learning rate at")


def test_curves_are_read_by_pointer_and_by_key(study: Study, open_page: Open) -> None:
    page = open_page(study[0]).page
    canvas, reading = page.locator("#curves canvas"), page.locator("#curves .reading")

    canvas.hover(position={"x": 400, "y": 100})
    assert re.match(r"Optimizer steps \d+: pixel_channel: 0\.\d+ \(n = 2\); conv: ", reading.inner_text())
    page.mouse.move(0, 0)
    assert reading.inner_text() == ""

    canvas.focus()
    page.keyboard.press("ArrowRight")
    first = reading.inner_text()
    page.keyboard.press("ArrowRight")
    assert first
    assert first != reading.inner_text()


def test_the_whole_page_can_be_used_by_keyboard(study: Study, open_page: Open) -> None:
    page = open_page(study[0]).page

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "[document.activeElement.closest('section')?.id, document.activeElement.tagName].join(' ')"
            )
        )
    wanted = {
        "effects LI",
        "curves SELECT",
        "curves CANVAS",
        "curves BUTTON",
        "samples INPUT",
        "parallel SUMMARY",
    }
    assert wanted | {"trials INPUT", "trials BUTTON", "trials DIV", "failures PRE"} <= reached


def test_a_page_of_many_trials_shows_200_rows_at_a_time(
    study: Study, open_page: Open, tmp_path: Path
) -> None:
    _, data = study
    (tmp_path / "many.html").write_text(report_html(repeated(data, 75)))

    page = open_page(tmp_path / "many.html").page

    assert page.locator("#trials [role=status]").inner_text() == "450 of 450 trials, 1 to 200 shown."
    assert len(cells(page)) == 200
    page.get_by_role("button", name="Later", exact=True).click()
    page.get_by_role("button", name="Later", exact=True).click()
    assert page.locator("#trials [role=status]").inner_text() == "450 of 450 trials, 401 to 450 shown."
    assert len(cells(page)) == 50


def repeated(page: StudyPage, times: int) -> StudyPage:
    """The page with every trial so many times."""
    trials: Any = {**page["trials"]}
    for name in set(trials) - {"columns", "base", "changes"}:
        trials[name] = trials[name] * times
    trials["columns"] = [{**column, "values": column["values"] * times} for column in trials["columns"]]
    return {**page, "trials": trials}


def test_dark_and_light_follow_the_system(study: Study, open_page: Open) -> None:
    grounds, colours = [], []
    for scheme in ("light", "dark"):
        page = open_page(study[0], color_scheme=scheme).page
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        mark = page.locator("#curves .legend .mark").first
        colours.append(mark.evaluate("mark => getComputedStyle(mark).backgroundColor"))

    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 26)"]
    assert colours == ["rgb(0, 114, 178)", "rgb(74, 163, 223)"]


def test_a_phone_scrolls_only_down(study: Study, open_page: Open) -> None:
    page = open_page(study[0], viewport={"width": 360, "height": 740}).page

    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_paper_is_light_and_shows_what_was_closed(study: Study, open_page: Open) -> None:
    page = open_page(study[0], color_scheme="dark").page

    page.emulate_media(media="print", color_scheme="dark")

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.locator(":root.printing").wait_for()


def test_samples_of_any_kind_are_shown(study: Study, open_page: Open, tmp_path: Path) -> None:
    _, data = study
    held: Any = data["samples"]
    edit = next(index for index, kind in enumerate(held["kinds"]) if kind["name"] == "edit")
    start = [coordinate["start"] for coordinate in held["coordinates"]]
    own = [s for s in held["samples"] if s["kind"] == edit and s["item"] == 0 and s["at"] == start]
    own = [s for s in own if data["trials"]["seeds"][s["trial"]] == 0]
    kinds: list[Any] = [
        {"media": "text", "text": "<i>one</i>"},
        {"media": "table", "table": [["name"], ["<b>two</b>"]]},
        {"media": "file", "source": "data:application/octet-stream;base64,AAA=", "name": "three.bin"},
    ]
    contents = [*held["contents"], *kinds]
    places = {id(sample): len(held["contents"]) + index for index, sample in enumerate(own)}
    changed = [{**s, "content": places.get(id(s), s["content"])} for s in held["samples"]]
    page_data: Any = {**data, "samples": {**held, "samples": changed, "contents": contents}}
    (tmp_path / "kinds.html").write_text(report_html(page_data))

    page = open_page(tmp_path / "kinds.html").page

    row = page.locator("#samples table.tiles > tbody > tr").first
    assert row.locator("pre").inner_text() == "<i>one</i>"
    assert row.locator("table td, table tbody th").last.inner_text() == "<b>two</b>"
    with page.expect_download() as download:
        row.get_by_role("link", name="Save three.bin").click()
    assert download.value.suggested_filename == "three.bin"


UGLY = [
    "</script><script>alert(1)</script>",
    "\"'><img src=x onerror=alert(2)>",
    "שלום \u202egnp.exe",
    "w" * 99,
]


def test_hostile_names_stay_text(
    synthetic: Callable[..., Path],
    write_page: Callable[[Path], Study],
    edit_study_file: Callable[..., None],
    open_page: Open,
    tmp_path: Path,
) -> None:
    folder = synthetic(
        tmp_path / "study",
        effects={name: 0.5 - 0.1 * index for index, name in enumerate(UGLY)},
        num_seeds=1,
        epochs=1,
        batches=2,
        num_images=1,
        failed={(UGLY[1], 0)},
        notes=["<!-- <script>"],
        claims=[{"text": UGLY[0], "axis": "encoder", "better": UGLY[0], "worse": UGLY[2], "source": UGLY[1]}],
    )
    edit_study_file(folder, {"question": UGLY[0] + UGLY[2], "published": {UGLY[1]: UGLY[0]}})

    path, data = write_page(folder)
    page = open_page(path, viewport={"width": 360, "height": 740}).page

    assert page.locator("h1").inner_text() == "</script><script>alert(1)</script>שלום \\u202egnp.exe"
    assert page.locator("script").count() == 2
    assert page.locator("img[src=x]").count() == 0
    assert cells(page) == [cell["label"] for cell in data["cells"]]
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_an_empty_study_has_a_page(
    synthetic: Callable[..., Path], write_page: Callable[[Path], Study], open_page: Open, tmp_path: Path
) -> None:
    path, _ = write_page(synthetic(tmp_path / "study", is_empty=True, num_seeds=2))

    page = open_page(path).page

    assert "0 of 6 trials done, 6 not run." in page.locator("header").inner_text()
    assert "No training curves yet." in page.locator("#curves").inner_text()
    assert page.locator("#parallel").count() == page.locator("#samples").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(study: Study, open_page: Open, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.base", reason="axe-playwright-python is not installed")
    page = open_page(study[0], color_scheme=scheme, bypass_csp=True).page
    page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true; })")
    page.evaluate(axe.AXE_SCRIPT)

    violations = page.evaluate("axe.run().then(result => result.violations)")

    worst = [v for v in violations if v["impact"] in ("serious", "critical")]
    assert json.dumps([(v["id"], [node["html"] for node in v["nodes"]][:3]) for v in worst]) == "[]"
