"""The logging policy of a front page."""

import numpy as np
import pytest

from longplay.agents.base import Agent, select_users
from longplay.agents.logs.front_page import FrontPage, FrontPageOptions
from longplay.envs.candidates.scoring import Scorer
from longplay.envs.users.world import build_world
from longplay.tests.envs.worlds import small


@pytest.fixture(scope="module")
def visible(states):
    observation, _ = states
    return {key: value for key, value in observation.items() if key != "latent"}


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
        slates = [FrontPage(scorer, world, FrontPageOptions(), seed).act(visible) for seed in (0, 0, 1)]
        assert np.array_equal(slates[0], slates[1])
        assert not np.array_equal(slates[0], slates[2])

    def test_popularity_fills_slates_from_the_top(self, scorer, world, visible):
        ranks = world.catalog.popularity

        def make_page(**options):
            return FrontPage(scorer, world, FrontPageOptions(**options))

        means = [
            ranks[make_page(popularity=power, interest=0.0, related=0.0).act(visible) - 1].mean()
            for power in (0.0, 0.7, 5.0)
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
        options = (FrontPageOptions(related=strength) for strength in (0.0, 9.0))
        plain, strong = (FrontPage(scorer, world, related).act(visible) for related in options)
        assert np.array_equal(plain[~here], strong[~here])
        same = [(scorer.main_topic[slates] == last)[here].mean() for slates in (plain, strong)]
        assert same[0] < 0.4 < 0.7 < same[1]

    def test_stories_are_drawn_by_their_weights(self, scorer, world, visible):
        """First slots over many seeds, of one user without interest: the share of each story is its weight's."""
        one = select_users(visible, np.arange(len(visible["context"])) == 0)
        one = {key: np.repeat(value, 4000, axis=0) for key, value in one.items()}
        one["context"] = one["context"].copy()
        one["context"][:, 1] = np.arange(4000)  # visible, so that the noise differs
        options = FrontPageOptions(popularity=1.0, interest=0.0, related=0.0, pool=50)
        first = FrontPage(scorer, world, options).act(one)[:, 0]
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
