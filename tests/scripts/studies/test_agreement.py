"""Agreement with simulated users: the measures against cases worked out by hand, and a study that goes on."""

import numpy as np
import pandas as pd
import pytest

from longplay.agents.setting import Setting
from longplay.scripts.studies import agreement
from longplay.scripts.studies.agreement import CEILING, FLOOR, LIKELIEST, READER
from longplay.tests.agents.small import unit_vectors

SMALL = ["--catalog", "items.csv", "--scenario", "remembering.toml", "--users", "3", "--slates", "8"]
ME = "longplay.tests.scripts.studies.test_agreement"


class TakesWhatWasNamedFirst:
    """The first text, or nothing at every third slate."""

    def answer(self, question):
        return None if question.depth % 3 == 2 else question.slots[0]


def takes_nothing(question):
    return None


def fail(question):
    raise RuntimeError("out of words")


def make_answers(rows):
    """(user, slot, simulated, chances of two slots and nothing), 2 for nothing; both slots have a text."""
    frame = pd.DataFrame(rows, columns=["user", "slot", "simulated", "chances"]).assign(slate="a|b")
    for name in ("slot", "simulated"):
        frame[name] = frame[name].astype("Int64").where(frame[name] < 2)
    return frame


HAND = make_answers(
    [
        (1, 0, 0, [0.5, 0.1, 0.4]),
        (1, 0, 1, [0.5, 0.3, 0.2]),
        (2, 2, 0, [0.6, 0.0, 0.4]),
        (2, 2, 2, [0.1, 0.1, 0.8]),
    ]
)


class TestMeasures:
    def test_by_hand(self):
        found = {
            whose: {name: value.mean for name, value in rows.items()}
            for whose, rows in agreement.measure_agreement(HAND).items()
        }
        assert found[READER] == pytest.approx(
            # agreement by chance: slot 0 1/2·1/2, slot 1 0·1/4, nothing 1/2·1/4
            {"same answer": 2 / 4, "click or none": 3 / 4, "kappa": (0.5 - 0.375) / 0.625, "chance": 2.2 / 4}
        )
        # takes something from half of the slates, either text alike: 1/4, 1/4, 1/2
        assert found[FLOOR] == pytest.approx(
            {
                "same answer": (3 * 0.25 + 0.5) / 4,
                "click or none": 0.5,
                "kappa": 0.0,
                "chance": (0.35 + 0.3 + 0.35 + 0.45) / 4,
            }
        )
        squares = [(np.array(row) ** 2).sum() for row in HAND["chances"]]
        assert found[CEILING]["chance"] == pytest.approx(np.mean(squares))
        assert found[CEILING]["same answer"] == pytest.approx((0.5 + 0.3 + 0.6 + 0.8) / 4)
        assert found[CEILING]["click or none"] == pytest.approx((0.6 + 0.8 + 0.6 + 0.8) / 4)
        assert found[LIKELIEST]["same answer"] == pytest.approx(3 / 4)
        assert found[LIKELIEST]["chance"] == pytest.approx((0.5 + 0.5 + 0.6 + 0.8) / 4)

    def test_whoever_says_the_same_agrees_and_whoever_never_differs_has_no_kappa(self):
        same = HAND.assign(slot=HAND["simulated"])
        found = agreement.measure_agreement(same)[READER]
        assert [found[name].mean for name in ("same answer", "click or none", "kappa")] == [1.0, 1.0, 1.0]
        silent = HAND.assign(slot=pd.NA, simulated=pd.NA).astype({"slot": "Int64", "simulated": "Int64"})
        assert np.isnan(agreement.measure_agreement(silent)[READER]["kappa"].mean)

    def test_a_simulated_user_with_other_luck_is_at_the_ceiling_and_one_who_guesses_at_the_floor(self):
        rng = np.random.default_rng(0)
        p = rng.dirichlet(np.ones(3), 6000)

        def draw(chances):
            return (rng.random(len(chances))[:, None] > chances.cumsum(axis=1)).sum(axis=1)

        rows = zip(np.arange(6000) // 60, draw(p), draw(p), p.tolist(), strict=True)
        found = agreement.measure_agreement(make_answers(rows))
        for name in agreement.MEASURES:
            assert found[READER][name].mean == pytest.approx(found[CEILING][name].mean, abs=0.025)
            assert found[READER][name].low < found[CEILING][name].mean < found[READER][name].high
        guess = draw(np.tile([0.35, 0.35, 0.3], (6000, 1)))
        found = agreement.measure_agreement(
            make_answers(zip(np.arange(6000) // 60, guess, draw(p), p.tolist(), strict=True))
        )
        for name in agreement.MEASURES:
            assert found[READER][name].mean == pytest.approx(found[FLOOR][name].mean, abs=0.025)

    def test_an_empty_slot_is_nobodys_guess(self):
        sums = agreement.sum_answers(HAND.assign(slate="a|"))[FLOOR]
        np.testing.assert_allclose(sums[:, 4:7].sum(axis=0), [2.0, 0.0, 2.0])


@pytest.fixture
def study(call, place, monkeypatch):
    """Run the study in the place, without BERT; gives its exit code and words, and its answers."""
    monkeypatch.setattr(Setting, "item_vectors", property(lambda self: unit_vectors(self.world.catalog)))

    def run(name, reader, *words):
        code, said = call(agreement, "--name", name, "--reader", reader, *SMALL, *words, folder=place)
        file = place / "runs" / name / "results.parquet"
        return code, said, pd.read_parquet(file) if file.exists() else None

    return run


class TestStudy:
    def test_it_goes_on_is_added_to_and_its_answers_are_a_reader(self, study, place):
        code, said, answers = study("first", f"{ME}:TakesWhatWasNamedFirst")
        assert code == 0, said
        assert f"{ME}:TakesWhatWasNamedFirst, longplay/Video-v1, scenario remembering.toml" in said
        assert "greedy similarity, fresh: 3 users, " in said
        assert answers.groupby("user").size().max() == 8
        assert set(answers["slot"].dropna()) == {0}
        assert answers.loc[answers["depth"] == 2, "slot"].isna().all()
        # One is lost, as by an interruption, and nobody else is asked again.
        folder = place / "runs" / "first" / "users"
        kept = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
        assert len(kept) == 3
        min(kept).unlink()
        code, _, again = study("first", f"{ME}:TakesWhatWasNamedFirst", "--users", "4")
        assert code == 0
        assert len(list(folder.iterdir())) == 4
        assert [file.stat().st_mtime_ns for file in sorted(kept)[1:]] == [kept[file] for file in sorted(kept)[1:]]
        pd.testing.assert_frame_equal(again[again["user"].isin(answers["user"])], answers)
        code, table, recorded = study("recorded", str(place / "runs/first/results.parquet"), "--users", "4")
        assert code == 0, table
        pd.testing.assert_frame_equal(recorded, again)
        code, said, _ = study("first", str(place / "runs/first/results.parquet"))
        assert code == 2
        assert "was begun with reader = " in said

    def test_lives_are_those_without_a_reader(self, study):
        """Whoever is asked, the simulated user decides: equal slates, equal choices."""
        answers = [study(name, f"{ME}:{name}")[2] for name in ("TakesWhatWasNamedFirst", "takes_nothing")]
        columns = ["user", "session", "depth", "slate", "simulated"]
        pd.testing.assert_frame_equal(answers[0][columns], answers[1][columns])

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--slates", "-1"), "slates = -1 must be at least 1, or 0 for all"),
            (("--rule", "similarty"), "rule = 'similarty' is unknown (did you mean 'similarity'?)"),
            (("--users", "0"), "users = 0 is out of range; the validation split has 1 to 20"),
            (("--reader", "nowhere:Reader"), "reader = 'nowhere:Reader': module nowhere cannot be imported"),
            (("--reader", f"{ME}:fail"), "session 0, slate 0: fail failed with RuntimeError: out of words"),
        ],
    )
    def test_a_wrong_argument_is_named(self, study, place, words, said):
        code, output, answers = study("wrong", f"{ME}:takes_nothing", *words)
        assert code == 2
        assert said in output
        assert answers is None
        assert not list((place / "runs").glob("wrong/users/*"))
