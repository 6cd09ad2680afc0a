"""The simulated log, and the filters of the published one."""

import numpy as np
import pandas as pd
import pytest
from gymnasium.vector import AutoresetMode

from longplay.agents.logs.front_page import FrontPage
from longplay.envs.candidates.retriever import Retriever
from longplay.envs.candidates.scoring import Scorer
from longplay.envs.env import SlateVectorEnv
from longplay.envs.users.world import build_world
from longplay.scripts.studies.signatures import simulate as logs
from longplay.scripts.studies.signatures.simulate import (
    Arrivals,
    _play_clicks,
    filter_as_globo,
    make_text_vectors,
    simulate_log,
)
from longplay.tests.agents.small import unit_vectors
from longplay.tests.envs.worlds import make_catalog, small

USERS = range(40)


@pytest.fixture(scope="module")
def catalog():
    return make_catalog()


@pytest.fixture(scope="module")
def item_vectors(catalog):
    return unit_vectors(catalog)


@pytest.fixture(scope="module")
def world(catalog):
    """A life of six days, so that episodes end often."""
    return build_world(catalog, small(horizon__days=6))


@pytest.fixture(scope="module")
def scorer(world, item_vectors):
    return Scorer(world, item_vectors)


@pytest.fixture(scope="module")
def log(world, item_vectors, scorer):
    return simulate_log(world, item_vectors, FrontPage(scorer, world), USERS, luck=3)


def table(user, minute, item=None):
    """A log of clicks at whole minutes of a window."""
    items = np.arange(1, len(user) + 1) if item is None else item
    clock = np.asarray(minute, float) / 1440.0
    columns = {"user": user, "session": 0, "clock": clock, "item": items, "category": 0, "minutes": 1.0}
    return pd.DataFrame(columns)


class TestSimulateLog:
    def test_rows_are_clicks_in_order(self, log, world):
        assert list(log) == ["user", "session", "clock", "item", "category", "minutes"]
        assert len(log) > 100
        assert (log.groupby("user")["clock"].diff().dropna() > 0).all()
        assert (log.groupby("user")["session"].diff().dropna() >= 0).all()
        assert log["item"].between(1, len(world.catalog)).all()
        assert (log["category"] == world.topics.argmax(axis=1)[log["item"]]).all()
        assert (log["minutes"] > 0).all()

    def test_users_arrive_over_the_whole_horizon(self, log, world):
        first = log.groupby("user")["clock"].min()
        horizon = world.scenario.params.horizon_days
        assert first.min() < horizon / 3
        assert first.max() > 2 * horizon / 3
        assert log["clock"].max() < horizon

    def test_a_life_does_not_depend_on_the_batch(self, log, world, item_vectors, scorer, monkeypatch):
        monkeypatch.setattr(logs, "CHUNK", 7)
        shares = []
        again = simulate_log(world, item_vectors, FrontPage(scorer, world), USERS, luck=3, progress=shares.append)
        pd.testing.assert_frame_equal(again, log)
        assert shares[-1] == 1.0
        assert len(shares) == 6

    def test_luck_moves_it(self, log, world, item_vectors, scorer):
        other = simulate_log(world, item_vectors, FrontPage(scorer, world), USERS, luck=4)
        assert not log["clock"].equals(other["clock"])

    def test_a_late_life_is_the_same_life_moved(self, catalog, item_vectors):
        """Where slates do not read the clock and taste does not drift, only the calendar changes."""

        class Same:
            name, privileged = "same", False

            def act(self, observation):
                return np.tile(np.arange(1, 11), (len(observation["context"]), 1))

        world = build_world(catalog, small(horizon__days=6, taste__drift=0.0))
        lives = []
        for day in (0, 2):
            bare = SlateVectorEnv(world, 40, autoreset_mode=AutoresetMode.DISABLED)
            env = Retriever(Arrivals(bare, np.full(40, day)), item_vectors)
            life = _play_clicks(env, Same(), np.arange(40), luck=5).sort_values(["user", "clock"], ignore_index=True)
            life["clock"] -= day
            lives.append(life[life["clock"] < 3.5].reset_index(drop=True))
        assert len(lives[0]) > 50
        pd.testing.assert_frame_equal(lives[0], lives[1], rtol=0, atol=1e-6)

    def test_nobody_is_refused(self, world, item_vectors, scorer):
        with pytest.raises(ValueError, match="users is empty"):
            simulate_log(world, item_vectors, FrontPage(scorer, world), [])


class TestAsGlobo:
    def test_sessions_are_cut_by_half_an_hour_without_a_click(self):
        found = filter_as_globo(table([0] * 6, [0, 20, 49, 79, 80, 1439]), days=1.0)
        assert found["session"].tolist() == [0, 0, 0, 1, 1]
        assert found["item"].tolist() == [1, 2, 3, 4, 5]  # the last stood alone

    def test_repeats_go_before_single_clicks_do(self):
        found = filter_as_globo(table([0, 0, 1, 1, 1], [0, 1, 0, 1, 1439], item=[7, 7, 7, 8, 9]), days=1.0)
        assert found["user"].tolist() == [1, 1]

    def test_the_window_is_the_last_days_and_its_clock_starts_at_0(self):
        log = table([0, 0, 0, 0], [100, 101, 1440 * 3 + 60, 1440 * 3 + 61])
        found = filter_as_globo(log, days=2.0)
        assert found["clock"].to_numpy() * 1440 == pytest.approx([1440 + 60, 1440 + 61])
        assert found["session"].tolist() == [0, 0]

    def test_users_are_kept_apart(self):
        found = filter_as_globo(table([0, 0, 1, 1], [0, 10, 11, 12], item=[1, 2, 2, 1]), days=1.0)
        assert found["user"].tolist() == [0, 0, 1, 1]
        assert found["session"].tolist() == [0, 0, 0, 0]

    def test_of_a_simulated_log(self, log):
        found = filter_as_globo(log, days=4.0)
        assert found["clock"].between(0, 4).all()
        assert (found.groupby(["user", "session"]).size() >= 2).all()
        assert not found.duplicated(["user", "session", "item"]).any()

    def test_too_short_a_log_is_refused(self):
        with pytest.raises(ValueError, match=r"raise horizon\.days"):
            filter_as_globo(table([0, 0], [0, 1]), days=16.0)
        with pytest.raises(ValueError, match="no clicks"):
            filter_as_globo(table([], []))


def test_cheap_vectors_have_like_items_near(world):
    vectors = make_text_vectors(world, width=16)
    assert vectors.shape == (len(world.catalog), 16)
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -1.0)
    labels = [set(names) for names in world.catalog.topics]
    near = np.mean([bool(labels[i] & labels[j]) for i, j in enumerate(cosine.argmax(axis=1))])
    far = np.mean([bool(labels[i] & labels[j]) for i, j in enumerate(np.roll(np.arange(len(labels)), 7))])
    assert near > 0.95 > 0.7 > far
