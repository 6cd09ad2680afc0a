"""The help page: its width, its titles, what may be chosen; and that words mean what they meant."""

from dataclasses import dataclass, field
from functools import partial

import pytest
import tyro

from longplay.envs.shared.options import Options, number, word
from longplay.scripts.shared.console import spell
from longplay.scripts.shared.help import _wrap, parse_words, show_choices


@dataclass(frozen=True)
class Cap(Options):
    """How items are capped. One for each topic; and `a_word_that_is_far_too_long.for_a_column_of_the_page_itself`."""

    on: str = word("minutes", "similarity", "minutes")
    """What items are ranked by."""
    cap: int = number(2, 1, 10)
    """Items of a topic at most, which is said at such a length that it
    goes on in a second line, and, since eighty columns are not many, in a third."""


@dataclass
class Arguments:
    """Cap."""

    name: str
    """Folder."""
    kind: "tyro.conf.OmitArgPrefixes[Cap]" = field(default_factory=Cap)
    a_word: str = "one"
    """A word."""


def show(capsys, *words, **options):
    with pytest.raises(SystemExit) as end:
        parse_words(Arguments, words, prog="cap.py", description="Cap.\n\n    python cap.py", **options)
    captured = capsys.readouterr()
    return end.value.code, captured.out + captured.err


def test_boxes_have_one_title_and_what_follows_it(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, page = show(capsys, "--help")
    lines = page.splitlines()
    assert code == 0
    assert {len(line) for line in lines if line[:1] in "╭│╰"} - {0} == {80}
    assert [line.strip("╭╮─ ") for line in lines if line.startswith("╭")] == ["options", "How items are capped"]
    assert "kind options" not in page
    joined = " ".join(page.replace("│", " ").split())
    assert "One for each topic; and" in joined
    assert "--on {similarity, minutes} What items are ranked by. (default: minutes)" in joined
    assert "at such a length that it goes on in a second line" in joined


def test_a_page_in_ascii_is_as_narrow(capsys, monkeypatch):
    @dataclass
    class Greek:
        cap: int = 0
        """λ of the advantages, and γ, and ε of the surrogate, and λ again, and γ once more, and ε."""

    Greek.__doc__ = "With γ, λ and ε, γ, λ and ε, γ, λ and ε, γ, λ and ε, γ, λ and ε, γ, λ and ε, γ."
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        parse_words(Greek, ["--help"], partial(spell, encoding="ascii"), prog="greek.py")
    page = spell(capsys.readouterr().out, "ascii")
    assert {len(line) for line in page.splitlines() if line[:1] in "|+"} - {0} == {80}
    assert max(map(len, page.splitlines())) == 80
    joined = " ".join(page.replace("|", " ").split())
    assert "gamma, lambda and epsilon, gamma." in joined
    assert "and lambda again, and gamma once more, and epsilon. (default: 0)" in joined


@pytest.mark.parametrize("columns", [50, 64])
def test_a_narrow_terminal_is_taken_as_it_is(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    page = show(capsys, "-h")[1]
    assert max(map(len, page.splitlines())) == columns
    assert "--on {similarity, minutes}" in page


def test_words_are_parsed_as_ever(capsys):
    args = parse_words(Arguments, ["--name", "x", "--on", "similarity", "--cap", "3"])
    assert args == Arguments("x", Cap("similarity", 3))
    code, said = show(capsys, "--name", "x", "--on", "length")
    assert code == 2
    assert "on = 'length' is unknown; allowed: 'similarity', 'minutes'" in said
    assert show(capsys, "--nam", "x")[0] == 2


def test_choices_are_named_and_no_others_are_refused_there():
    @dataclass
    class Chosen:
        track: tyro.conf.Positional[str] = "off"

    Chosen.__annotations__["track"] = __import__("typing").Annotated[str, show_choices(("on", "off"))]
    assert parse_words(Chosen, ["--track", "of"]).track == "of"


@pytest.mark.parametrize(
    ("line", "wrapped"),
    [
        ("short", ["short"]),
        ("one two three four", ["one two three", "four"]),
        ("  run --name x --y z", ["  run --name \\", "    x --y z"]),
        ("  run x    # what for it is", ["  # what for it", "  # is", "  run x"]),
    ],
)
def test_an_example_stays_a_command(line, wrapped):
    assert _wrap(line, 15) == wrapped
