"""Tables: intervals, alignment, Markdown."""

import pytest
from rich.console import Console

from longplay.agents.stats import Interval
from longplay.scripts.shared.tables import (
    FRAMED,
    MARK,
    TIGHT,
    explain_labels,
    format_interval,
    make_frame,
    make_table,
    render_frame,
    write_markdown,
)


def render(table):
    console = Console(width=60)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_an_interval_is_its_mean_and_its_bounds():
    interval = Interval(1.25, -0.5, 3.0)
    assert format_interval(interval) == "1.2500 [-0.5000, 3.0000]"
    assert format_interval(interval, "+.1f") == "+1.2 [-0.5, +3.0]"
    assert format_interval(interval, "+.0f", ".1f") == "+1 [-0.5, 3.0]"
    assert format_interval(None, ".0%") == ""


def test_a_label_follows_or_a_mark_that_is_explained():
    once, twice = Interval(1.25, 0.5, 3.0, "users only"), Interval(1.25, 0.5, 3.0)
    assert format_interval(once, "+.1f") == "+1.2 [+0.5, +3.0] users only"
    assert format_interval(once, "+.1f", mark=MARK) == "+1.2 [+0.5, +3.0]*"
    assert format_interval(twice, "+.1f", mark=MARK) == "+1.2 [+0.5, +3.0]"
    assert explain_labels([twice, None, "x"], MARK) == ""
    assert explain_labels([twice, once], MARK).startswith(
        "* users only: a method was trained once, so there are no seeds"
    )


def test_letters_align_columns_and_the_last_goes_on():
    table = make_table("title", ("name", "a", "b"), "lr", [("x", "1.0", "2"), ("long name", "10.0", "30")])
    assert [column.justify for column in table.columns] == ["left", "right", "right"]
    lines = render(table)
    assert lines[0] == "title"
    assert lines[1].split() == ["name", "a", "b"]
    assert lines[-2:] == [" x            1.0    2", " long name   10.0   30"]


@pytest.mark.parametrize("width", [20, 30, 60])
def test_no_figure_is_cut_off_where_the_terminal_is_too_narrow(width):
    rows = [("PPO weights gamma=0.95", "+278 [204, 361]*", "-495 [-669, -356]*")]
    console = Console(width=width)
    for style in ({"padding": 0}, TIGHT, FRAMED):
        with console.capture() as capture:
            console.print(make_table(None, ("policy", "a", "b"), "lr", rows, **style))
        shown = capture.get()
        assert "…" not in shown
        for character in "0123456789[]*=":
            assert shown.count(character) == sum(cell.count(character) for cell in rows[0]), (width, style)


def test_styles():
    columns, rows = ("a", "b"), [("1", "2")]
    assert render(make_table(None, columns, "l", rows, **TIGHT))[-1] == "1  2"
    assert render(make_table(None, columns, "l", rows, **FRAMED))[0].startswith("┏")


def test_markdown_has_a_head_and_titles(tmp_path):
    frame = make_frame([{"policy": "a", "minutes": "1"}, {"policy": "b"}], "first")
    write_markdown([frame, make_frame([{"x": "y"}], "second")], tmp_path / "tables.md", "head")
    assert (tmp_path / "tables.md").read_text() == (
        "head\n\n**first**\n\n| policy | minutes |\n|---|---:|\n| a | 1 |\n| b |  |\n\n"
        "**second**\n\n| x |\n|---|\n| y |\n"
    )


def test_brackets_and_bars_in_cells_stay(tmp_path):
    frame = make_frame([{"before": "`x[np.argmax(a)] | y`", "after": "[red]z[/red]"}], "title")
    shown = " ".join(render(render_frame(frame)))
    assert "x[np.argmax(a)] | y" in shown
    assert "[red]z[/red]" in shown
    write_markdown([frame], tmp_path / "table.md")
    assert (tmp_path / "table.md").read_text().splitlines()[-1] == "| `x[np.argmax(a)] \\| y` | [red]z[/red] |"
