"""The logging policy, the simulated log, and the filters of the published one."""

import numpy as np
import pandas as pd
import pytest
from gymnasium.vector import AutoresetMode

from longplay.agents.base import Agent, select_users
from longplay.agents.logs.front_page import FrontPage, FrontPageOptions
from longplay.envs.candidates.retriever import Retriever
from longplay.envs.candidates.scoring import Scorer
from longplay.envs.env import SlateVectorEnv
from longplay.envs.users.world import build_world
from longplay.scripts.studies.signatures import simulate as logs
from longplay.scripts.studies.signatures.simulate import Arrivals, _play, as_globo, simulate_log, text_vectors
from longplay.tests.envs.worlds import small

USERS = range(40)


@pytest.fixture(scope="module")
def visible(states):
    observation, _ = states
    return {key: value for key, value in observation.items() if key != "latent"}


@pytest.fixture(scope="module")
def log(world, item_vectors, scorer):
    return simulate_log(world, item_vectors, FrontPage(scorer, world), USERS, luck=3)


def table(user, minute, item=None):
    """A log of clicks at whole minutes of a window."""
    items = np.arange(1, len(user) + 1) if item is None else item
    clock = np.asarray(minute, float) / 1440.0
    columns = {"user": user, "session": 0, "clock": clock, "item": items, "category": 0, "minutes": 1.0}
    return pd.DataFrame(columns)


class TestFrontPage:
    def test_is_an_agent_that_reads_nothing_hidden(self, scorer, world, visible):
        policy = FrontPage(scorer, world)
        assert isinstance(policy, Agent)
        assert not policy.privileged
        assert policy.act(visible).shape == (len(visible["context"]), world.scenario.shape.slate)

    def test_slates_hold_each_item_once_and_none_read_lately(self, scorer, world, visible):
        for slate, history in zip(FrontPage(scorer, world).act(visible), visible["history_ids"], strict=True):
            assert len(set(slate)) == len(slate)
            assert slate.min() >= 1
            assert not set(slate) & set(history.astype(int))

    def test_a_slate_depends_on_its_own_row_alone(self, scorer, world, visible):
        policy = FrontPage(scorer, world)
        some = np.arange(len(visible["context"])) % 3 == 1
        assert np.array_equal(policy.act(select_users(visible, some)), policy.act(visible)[some])

    def test_the_seed_moves_the_slates(self, scorer, world, visible):
        slates = [FrontPage(scorer, world, seed=seed).act(visible) for seed in (0, 0, 1)]
        assert np.array_equal(slates[0], slates[1])
        assert not np.array_equal(slates[0], slates[2])

    def test_popularity_fills_slates_from_the_top(self, scorer, world, visible):
        ranks = world.catalog.popularity
        means = [
            ranks[
                FrontPage(scorer, world, FrontPageOptions(popularity=p, interest=0.0, related=0.0)).act(visible) - 1
            ].mean()
            for p in (0.0, 0.7, 5.0)
        ]
        assert means[0] < means[1] < means[2]
        assert means[2] > 0.9

    def test_interest_shows_topics_that_were_read(self, scorer, world, visible):
        def familiar(policy):
            read = scorer.main_topic[visible["history_ids"].astype(int)]
            valid = visible["history_ids"] > 0
            shown = scorer.main_topic[policy.act(visible)]
            return np.mean((shown[:, :, None] == read[:, None, :])[np.broadcast_to(valid[:, None], (*shown.shape, 20))])

        shares = [
            familiar(FrontPage(scorer, world, FrontPageOptions(interest=strength))) for strength in (-8.0, 0.0, 8.0)
        ]
        assert shares[0] < shares[1] < shares[2]

    def test_related_shows_more_of_what_was_read_last_in_this_session(self, scorer, world, visible):
        age, minutes = visible["history_age"][:, 0] * 1440, visible["context"][:, 1]
        here = (age < minutes) & (visible["history_ids"][:, 0] > 0)
        assert 5 < here.sum() < len(here) - 5
        last = scorer.main_topic[visible["history_ids"][:, :1].astype(int)]
        plain, strong = (
            FrontPage(scorer, world, FrontPageOptions(related=strength)).act(visible) for strength in (0.0, 9.0)
        )
        assert np.array_equal(plain[~here], strong[~here])
        same = [(scorer.main_topic[slates] == last)[here].mean() for slates in (plain, strong)]
        assert same[0] < 0.4 < 0.7 < same[1]

    def test_stories_are_drawn_by_their_weights(self, scorer, world, visible):
        """First slots over many seeds, of one user without interest: the share of each story is its weight's."""
        one = select_users(visible, np.arange(len(visible["context"])) == 0)
        one = {key: np.repeat(value, 4000, axis=0) for key, value in one.items()}
        one["context"] = one["context"].copy()
        one["context"][:, 1] = np.arange(4000)  # visible, so that the noise differs
        first = FrontPage(scorer, world, FrontPageOptions(popularity=1.0, interest=0.0, related=0.0, pool=50)).act(one)[
            :, 0
        ]
        rank = np.empty(len(world.catalog))
        rank[np.argsort(-world.catalog.popularity, kind="stable")] = np.arange(1, len(rank) + 1)
        page = 1 + np.flatnonzero(rank <= 50)
        offered = np.union1d(page, one["candidates"][0].astype(int))
        offered = np.setdiff1d(offered, np.r_[0, one["history_ids"][0].astype(int)])
        weight = 1.0 / rank[offered - 1]
        expected = weight / weight.sum()
        share = np.array([(first == item).mean() for item in offered])
        assert share.sum() == pytest.approx(1.0)
        assert np.all(np.abs(share - expected) < 4.5 * np.sqrt(expected / 4000) + 1e-3)

    def test_news_appears_ages_and_goes(self, catalog, item_vectors, visible):
        world = build_world(catalog, small(horizon__days=6, items__life=0.5))
        policy = FrontPage(Scorer(world, item_vectors), world, FrontPageOptions(half_life=0.3))
        later = {key: value.copy() for key, value in visible.items()}
        for day in (1.0, 3.0, 5.0):
            later["context"][:, 5] = day
            born = world.born[policy.act(later)]
            assert born.max() <= day
            assert day - np.median(born) < 1.0

    @pytest.mark.parametrize(
        ("field", "value"), [("popularity", -1), ("half_life", 0), ("interest", 99), ("pool", 999)]
    )
    def test_refusals_name_field_and_range(self, scorer, world, field, value):
        with pytest.raises(ValueError, match=f"{field} = {value}"):
            FrontPage(scorer, world, FrontPageOptions(**{field: value}))


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
            life = _play(env, Same(), np.arange(40), luck=5).sort_values(["user", "clock"], ignore_index=True)
            life["clock"] -= day
            lives.append(life[life["clock"] < 3.5].reset_index(drop=True))
        assert len(lives[0]) > 50
        pd.testing.assert_frame_equal(lives[0], lives[1], rtol=0, atol=1e-6)

    def test_nobody_is_refused(self, world, item_vectors, scorer):
        with pytest.raises(ValueError, match="users is empty"):
            simulate_log(world, item_vectors, FrontPage(scorer, world), [])


class TestAsGlobo:
    def test_sessions_are_cut_by_half_an_hour_without_a_click(self):
        found = as_globo(table([0] * 6, [0, 20, 49, 79, 80, 1439]), days=1.0)
        assert found["session"].tolist() == [0, 0, 0, 1, 1]
        assert found["item"].tolist() == [1, 2, 3, 4, 5]  # the last stood alone

    def test_repeats_go_before_single_clicks_do(self):
        found = as_globo(table([0, 0, 1, 1, 1], [0, 1, 0, 1, 1439], item=[7, 7, 7, 8, 9]), days=1.0)
        assert found["user"].tolist() == [1, 1]

    def test_the_window_is_the_last_days_and_its_clock_starts_at_0(self):
        log = table([0, 0, 0, 0], [100, 101, 1440 * 3 + 60, 1440 * 3 + 61])
        found = as_globo(log, days=2.0)
        assert found["clock"].to_numpy() * 1440 == pytest.approx([1440 + 60, 1440 + 61])
        assert found["session"].tolist() == [0, 0]

    def test_users_are_kept_apart(self):
        found = as_globo(table([0, 0, 1, 1], [0, 10, 11, 12], item=[1, 2, 2, 1]), days=1.0)
        assert found["user"].tolist() == [0, 0, 1, 1]
        assert found["session"].tolist() == [0, 0, 0, 0]

    def test_of_a_simulated_log(self, log):
        found = as_globo(log, days=4.0)
        assert found["clock"].between(0, 4).all()
        assert (found.groupby(["user", "session"]).size() >= 2).all()
        assert not found.duplicated(["user", "session", "item"]).any()

    def test_too_short_a_log_is_refused(self):
        with pytest.raises(ValueError, match=r"raise horizon\.days"):
            as_globo(table([0, 0], [0, 1]), days=16.0)
        with pytest.raises(ValueError, match="no clicks"):
            as_globo(table([], []))


def test_cheap_vectors_have_like_items_near(world):
    vectors = text_vectors(world, width=16)
    assert vectors.shape == (len(world.catalog), 16)
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -1.0)
    labels = [set(names) for names in world.catalog.topics]
    near = np.mean([bool(labels[i] & labels[j]) for i, j in enumerate(cosine.argmax(axis=1))])
    far = np.mean([bool(labels[i] & labels[j]) for i, j in enumerate(np.roll(np.arange(len(labels)), 7))])
    assert near > 0.95 > 0.7 > far
