"""The error of the decomposition: exactly 0 where what is only seen does not tire, and not where it does."""

import re

import numpy as np
import pytest

from longplay.envs.candidates.scoring import Scorer
from longplay.envs.users.world import build_world
from longplay.scripts.studies import slateq_bias
from longplay.tests.agents.small import make_setting
from longplay.tests.envs.worlds import make_catalog, small


@pytest.fixture(scope="module")
def setting():
    return make_setting(build_world(make_catalog(), small()))


@pytest.fixture
def here(setting, monkeypatch):
    """Items whose vectors need no BERT."""
    monkeypatch.setattr(slateq_bias, "Setting", lambda env: setting)
    monkeypatch.setattr(slateq_bias, "load_world", lambda setting: None)


def test_without_tiring_of_what_is_seen_the_error_is_exactly_0(here, call):
    code, words = call(slateq_bias, "--users", 60, "--moments", 2, "--seen", 0.0, 0.5)
    assert code == 0, words
    rows = re.findall(r"(0|0\.5) (any|alike) (\d+) (\d+\.\d) ([+-]\d+\.\d+) \[([+-]\d+\.\d+), ([+-]\d+\.\d+)\]", words)
    assert [row[:2] for row in rows] == [("0", "any"), ("0", "alike"), ("0.5", "any"), ("0.5", "alike")]
    for seen, _, users, to_come, *error in rows:
        assert 2 <= int(users) <= 60
        assert float(to_come) > 0
        assert (np.array(error, float) == 0).all() == (seen == "0")


def test_lives_differ_only_where_what_is_seen_tires(setting):
    args = slateq_bias.Arguments(users=60)
    for seen in (0.0, 0.5):
        whole, other = slateq_bias.measure_differences(setting, args, seen, False, 2)
        assert np.array_equal(whole, other) == (seen == 0)
        assert whole.shape == other.shape


def test_each_moment_is_of_other_lives(setting, monkeypatch):
    firsts, seen = [], slateq_bias.choose_slates

    def noted(scorer, observation):
        firsts[-1].append(observation["history_ids"].copy())
        return seen(scorer, observation)

    monkeypatch.setattr(slateq_bias, "choose_slates", noted)
    args = slateq_bias.Arguments(users=60)
    for moment in (0, 0, 1):
        firsts.append([])
        slateq_bias.measure_differences(setting, args, 0.0, False, moment)
    assert np.array_equal(firsts[0][0], firsts[1][0])
    assert not np.array_equal(firsts[0][0], firsts[2][0])


def test_a_replaced_slate_keeps_what_was_taken_at_its_place(setting):
    scorer = Scorer(setting.world, setting.item_vectors)
    candidates = np.tile(np.arange(1.0, 61.0, dtype=np.float32), (3, 1))
    slates = np.tile(np.arange(1, 11), (3, 1))
    choice = np.array([4, -1, 0])
    out = slateq_bias.replace_others(scorer, {"candidates": candidates}, slates, choice, True, np.random.default_rng(0))
    np.testing.assert_array_equal(out[1], slates[1])  # nothing was taken
    for b in (0, 2):
        others = np.delete(out[b], choice[b])
        assert out[b, choice[b]] == slates[b, choice[b]]
        assert len(set(others)) == 9
        assert others.min() > 10
        topic = scorer.main_topic[slates[b, choice[b]]]
        alike = (scorer.main_topic[11:61] == topic).sum()
        assert (scorer.main_topic[others] == topic).sum() == min(9, alike)
