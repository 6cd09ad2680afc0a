"""Distances of a simulated log from a real one, by hand and on the reference; the picture of both."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import longplay
from longplay.scripts.studies.signatures.distances import COLUMNS, compare_signatures, read_ccdf, read_survival_points
from longplay.scripts.studies.signatures.figure import draw_signatures
from longplay.scripts.studies.signatures.measures import measure
from longplay.tests.scripts.studies.signatures.test_measures import DAYS, grow, table


@pytest.fixture(scope="module")
def measured():
    return measure(grow(users=400), DAYS, events=5000)


class TestCompare:
    def test_a_log_is_as_far_from_itself_as_nothing(self, measured):
        found = compare_signatures(measured, json.loads(json.dumps(measured)))
        assert tuple(found.columns) == COLUMNS
        assert (found["distance"].dropna() == 0).all()
        assert found.loc[found["kind"] == "KS", "within"].tolist() == [True, True, None]

    def test_distances_by_hand(self, measured):
        other = json.loads(json.dumps(measured))
        other["choice_logit_or"]["run2"] = measured["choice_logit_or"]["run2"] / 1.1
        other["choice_logit_or"]["session_run1"] = measured["choice_logit_or"]["session_run1"] / 1.2
        del other["session_length_ge2"]["ccdf"]
        other["session_length_ge2"]["hazard"] = {"2": 0.04}
        other["session_length_ge2"]["beta_geometric"] = {"a": 1e-9, "b": 1.0}
        found = compare_signatures(measured, other).set_index("statistic")
        assert found.loc["choice_logit_or.run2", "distance"] == pytest.approx(0.1)
        assert found.loc["choice_logit_or.run2", "within"] is True
        assert found.loc["choice_logit_or.session_run1", "within"] is False
        # Every grown session has six clicks; the other log's lose 4 % at length 2 and then nobody.
        assert found.loc["session_length_ge2.KS", "distance"] == pytest.approx(0.96)
        assert found.loc["session_length_ge2.KS", "within"] is False
        assert "assumed" in found.loc["leave_logit.run3", "note"]

    def test_a_statistic_that_one_side_lacks_is_left_out(self, measured):
        found = compare_signatures(measured, {"churn_overall": 0.4, "unheard_of": 1.0})
        assert found["statistic"].tolist() == ["churn_overall"]

    def test_hazards_extend_the_survival(self):
        points = read_survival_points(
            {"survival_h": {"2": 0.9, "24": 0.6}, "hazard_per_h": {"2-3": 0.1, "22-24": 0.05, "5-6": 1}}
        )
        expected = {2.0: 0.9, 24.0: 0.6, 3.0: 0.9 * np.exp(-0.1), 22.0: 0.6 * np.exp(0.1)}
        assert points == pytest.approx(expected)

    def test_measures_are_plain_json_and_repeatable(self, measured):
        again = measure(grow(users=400), DAYS, events=5000)
        assert json.dumps(again) == json.dumps(measured)

    def test_too_small_a_log_is_refused(self):
        with pytest.raises(ValueError, match="too few to measure"):
            measure(table([0, 0], [0, 0], [1, 2]), DAYS)

    def test_the_picture_draws_both_and_one(self, measured, tmp_path):
        for real in (None, measured):
            distances = None if real is None else compare_signatures(measured, real)
            figure = draw_signatures(measured, real, distances, "a title")
            figure.savefig(tmp_path / "figure.png", dpi=30)
            assert (tmp_path / "figure.png").stat().st_size > 10_000
            legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
            assert legend == (["simulated"] if real is None else ["real", "simulated"])


@pytest.fixture
def reference():
    folder = Path(os.environ.get("LONGPLAY_DATA", Path(longplay.__file__).parents[1] / "shared" / "data"))
    path = folder / "signatures.json"
    if not path.is_file():
        pytest.skip(f"the signatures of real logs are not at {path}; set LONGPLAY_DATA to their folder")
    return json.loads(path.read_text(encoding="utf-8"))["globo"]


class TestReference:
    def test_rebuilt_lengths_have_the_published_mean(self, reference):
        assert 1 + read_ccdf(reference["session_length_ge2"]).sum() == pytest.approx(2.85, abs=0.05)

    def test_every_group_of_the_reference_is_compared(self, measured, reference):
        found = set(compare_signatures(measured, reference)["statistic"].str.split(".").str[0])
        sizes = {"clicks", "users", "sessions", "articles", "noise_floor"}
        assert found == set(reference) - sizes
