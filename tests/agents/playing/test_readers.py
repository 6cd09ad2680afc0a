"""Readers that come with the package: a person who types, and answers from a table."""

import pandas as pd
import pytest

from longplay.agents.playing.readers import Person, RecordedAnswers, load_reader
from longplay.envs.users.opinions import Consumed, EnoughError, Question, digest_reader

ME = "longplay.tests.agents.playing.test_readers"


def ask(texts=("One film.", "", "Another film."), history=(), **changes):
    fields = {"user": 7, "session": 0, "depth": 0, "day": 2.5, "hour": 12.0, "favourites": ("Sea", "War")}
    ids = tuple(text and f"i{place}" for place, text in enumerate(texts))
    return Question(**fields | changes, texts=texts, items=ids, history=history)


class Steady:
    """Always the first."""

    def answer(self, question):
        return 0


class Choosy(Steady):
    def __init__(self, slot):
        self.slot = slot


READER = Steady()
NUMBER = 3


@pytest.fixture
def person():
    """A person who types these lines; gives them, and what they were told."""

    def make(*lines, width=60):
        left, told = list(lines), []

        def read(prompt):
            told.append(prompt)
            if not left:
                raise EOFError
            return left.pop(0)

        return Person(read, told.append, width), told

    return make


class TestPerson:
    @pytest.mark.parametrize(("line", "slot"), [("1", 0), (" 3 ", 2), ("0", None)])
    def test_a_number_is_a_slot_and_0_is_nothing(self, person, line, slot):
        assert person(line)[0].answer(ask()) == slot

    def test_a_wrong_answer_is_asked_for_again_with_what_is_allowed(self, person):
        someone, told = person("x", "2", "-1", "1.0", "", "4", "1")
        assert someone.answer(ask()) == 0
        wrong = [line for line in told if "is no answer" in line]
        assert wrong[:2] == [f"{word!r} is no answer; allowed: 1, 3, 0 for nothing, q to stop" for word in ("x", "2")]
        assert len(wrong) == 6

    @pytest.mark.parametrize("lines", [("q",), ("Q",), ("5", "q"), ()])
    def test_q_and_the_end_of_input_stop(self, person, lines):
        with pytest.raises(EnoughError):
            person(*lines)[0].answer(ask())

    def test_the_slate_is_shown_with_day_hour_and_what_was_read_last(self, person):
        past = tuple(
            Consumed(f"i{n}", f"Item {n} " + "long " * 30, 0.5, days) for n, days in enumerate((0.0, 0.1, 3, 4))
        )
        someone, told = person("0", "0")
        someone.answer(ask(history=past))
        said = "\n".join(told)
        assert "day 3, 12:00   session 1, slate 1" in said
        assert "you named: Sea, War" in said
        assert "  1. One film." in told
        assert "  3. Another film." in told
        assert [line.rpartition("(")[2] for line in told if "you read" in line] == [
            "50%, just now)",
            "50%, 2 hours ago)",
            "50%, 3 days ago)",
        ]
        assert max(map(len, told)) <= 60
        told.clear()
        someone.answer(ask(history=past, depth=2))
        assert len([line for line in told if "you read" in line]) == 1
        assert not [line for line in told if "you named" in line]

    def test_a_slate_of_nothing_leaves_0(self, person):
        someone, told = person("1", "0")
        assert someone.answer(ask(texts=("", ""))) is None
        assert "'1' is no answer; allowed: 0 for nothing, q to stop" in told


ROWS = {
    "user": [7, 7, 8],
    "session": [0, 0, 0],
    "depth": [0, 1, 0],
    "slate": ["i0||i2", "i0||i2", "i0||i2"],
    "slot": [2, None, 0],
    "share": [0.5, None, None],
}


def write(table, path):
    frame = pd.DataFrame(table)
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


class TestRecordedAnswers:
    @pytest.mark.parametrize("name", ["answers.csv", "answers.parquet"])
    def test_what_was_recorded_is_answered(self, tmp_path, name):
        reader = RecordedAnswers(write(ROWS, tmp_path / name))
        assert reader.answer(ask()) == (2, 0.5)
        assert reader.answer(ask(depth=1)) == (None, None)
        assert reader.answer(ask(user=8)) == (0, None)

    def test_shares_may_be_missing_and_the_digest_is_of_the_file(self, tmp_path):
        bare = {name: values for name, values in ROWS.items() if name != "share"}
        readers = [RecordedAnswers(write(table, tmp_path / f"{n}.csv")) for n, table in enumerate((bare, bare, ROWS))]
        assert readers[0].answer(ask()) == (2, None)
        digests = [digest_reader(reader) for reader in readers]
        assert digests[0] == digests[1] != digests[2]

    def test_a_slate_that_is_not_there_is_refused(self, tmp_path):
        reader = RecordedAnswers(write(ROWS, tmp_path / "answers.csv"))
        with pytest.raises(LookupError, match="the table has no row of this slate"):
            reader.answer(ask(session=4))
        with pytest.raises(LookupError, match=r"answer to the slate 'i0\|\|i2', asked is 'i0\|i1'"):
            reader.answer(ask(texts=("a", "b")))

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"slot": None}, "no column 'slot' among 'user', 'session', 'depth', 'slate', 'share'; add it"),
            ({"user": [7, 7, 7], "depth": [0, 1, 1]}, "user 7, session 0, depth 1 has two answers; keep one"),
            ({"slot": ["first", None, 0]}, "a slot or share is no number .*; give one, or leave it empty"),
        ],
    )
    def test_a_table_with_a_defect_is_refused(self, tmp_path, changes, said):
        table = {name: values for name, values in (ROWS | changes).items() if values is not None}
        with pytest.raises(ValueError, match=said):
            RecordedAnswers(write(table, tmp_path / "answers.csv"))


class TestLoading:
    def test_an_address_is_of_an_object_a_class_or_a_table(self, tmp_path):
        assert load_reader(f"{ME}:READER").answer(ask()) == 0
        assert load_reader(f"{ME}:Steady").answer(ask()) == 0
        assert load_reader(str(write(ROWS, tmp_path / "answers.csv"))).answer(ask()) == (2, 0.5)

    @pytest.mark.parametrize(
        ("address", "said"),
        [
            ("nowhere.csv", "reader = 'nowhere.csv': no such file"),
            ("mine", "reader = 'mine' must be 'package.module:Reader', or the path of a table, .csv or .parquet"),
            ("nowhere_at_all:Reader", "module nowhere_at_all cannot be imported .* put its folder on PYTHONPATH"),
            (f"{ME}:Stady", "has no 'Stady'; define it there, or name another"),
            (f"{ME}:Choosy", "cannot be made without arguments .*slot.*; make one in a module, and name that"),
            (f"{ME}:NUMBER", "reader = 3 is no reader; give an object with a method answer"),
        ],
    )
    def test_an_address_that_leads_to_no_reader_is_refused(self, tmp_path, monkeypatch, address, said):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ValueError, match=said):
            load_reader(address)
