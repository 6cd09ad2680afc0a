"""Nothing twice in a session: against a plain rewriting, in lives, and of agents that remember their users."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longplay.agents.base import AgentSession, Remembering
from longplay.agents.fresh import Fresh, check_shown, make_fresh, withdraw_shown
from longplay.agents.registry import Rule
from longplay.agents.rules.similarity import GreedySimilarity
from longplay.envs.candidates.scoring import Scorer
from longplay.envs.engine import ContextColumn
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.agents.small import Counts, find_repeats

ITEMS = st.integers(0, 12)


@st.composite
def observations(draw):
    """Some users' candidates, the slates shown last, and how many of these the session has shown."""
    users, slots, kept = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    rows = draw(st.lists(st.permutations(range(1, 13)), min_size=users, max_size=users))
    count = draw(st.integers(1, 12))
    candidates = np.array([row[:count] for row in rows], np.float32)
    candidates[:, count - draw(st.integers(0, count - 1)) :] = 0  # where few are live the rest are none
    slates = st.lists(ITEMS, min_size=slots, max_size=slots)
    life = st.lists(slates, min_size=kept, max_size=kept)
    shown = np.array(draw(st.lists(life, min_size=users, max_size=users)), np.float32)
    context = np.zeros((users, len(ContextColumn)), np.float32)
    context[:, ContextColumn.DEPTH] = draw(st.lists(st.integers(0, kept + 2), min_size=users, max_size=users))
    return {"candidates": candidates, "shown_ids": shown, "context": context}


def leave_out(candidates, slates, slots):
    """One user's candidates, those of the session's slates (most recent first) out, the oldest of them back if needed.

    A slate's items come back together, and an item counts as shown when it was shown last.
    """
    ago = {}
    for back, slate in reversed(list(enumerate(slates))):
        ago |= {item: back for item in slate if item > 0}
    left = [item for item in candidates if item > 0 and item not in ago]
    for back in range(len(slates) - 1, -1, -1):
        if len(left) < slots:
            left += [item for item in candidates if ago.get(item) == back]
    return [item if item in left else 0 for item in candidates]


@given(observations())
def test_what_was_shown_is_left_out_as_a_plain_rewriting_has_it(observation):
    before = {key: value.copy() for key, value in observation.items()}
    found = withdraw_shown(observation)
    for b, depth in enumerate(observation["context"][:, ContextColumn.DEPTH].astype(int)):
        slates = observation["shown_ids"][b].astype(int).tolist()
        expected = leave_out(observation["candidates"][b].astype(int).tolist(), slates[:depth], len(slates[0]))
        assert found["candidates"][b].tolist() == expected
    assert found["candidates"].dtype == np.float32
    for key, value in before.items():
        np.testing.assert_array_equal(observation[key], value)


@given(observations(), st.randoms())
def test_a_user_is_served_alike_in_any_batch(observation, random):
    whole = withdraw_shown(observation)["candidates"]
    b = random.randrange(len(whole))
    alone = withdraw_shown({key: value[b : b + 1] for key, value in observation.items()})["candidates"]
    np.testing.assert_array_equal(alone[0], whole[b])


class TestFresh(AgentContract):
    avoids_history = False  # shows it before what the session has shown

    @pytest.fixture
    def observation(self, remembering_states):
        return remembering_states[0]

    @pytest.fixture
    def greedy(self, remembering_world, item_vectors):
        return GreedySimilarity(Scorer(remembering_world, item_vectors))

    @pytest.fixture
    def subject(self, greedy):
        return make_fresh(greedy)

    def test_it_shows_nothing_twice_while_there_is_enough(self, remembering_world, item_vectors, greedy, subject):
        slots = remembering_world.scenario.shape.slate
        raw = find_repeats(remembering_world, item_vectors, greedy)
        fresh = find_repeats(remembering_world, item_vectors, subject)
        assert (raw[raw[:, 0] >= slots, 1] > 0).mean() > 0.3
        enough = fresh[:, 0] >= slots
        assert 0 < enough.sum() < len(fresh)  # long sessions run out
        assert not fresh[enough, 1].any()
        assert (fresh[~enough, 1] > 0).all()

    def test_it_is_the_agent_where_nothing_was_shown(self, observation, greedy, subject):
        first = {key: value for key, value in observation.items() if key != "latent"}
        first["context"] = first["context"].copy()
        first["context"][:, ContextColumn.DEPTH] = 0
        np.testing.assert_array_equal(subject.act(first), greedy.act(first))

    def test_names_and_sight_are_the_agents(self, greedy):
        assert make_fresh(greedy).name == "greedy similarity, fresh"
        assert make_fresh(greedy, "mine").name == "mine"
        assert not Fresh(greedy).privileged
        assert Fresh(SimpleNamespace(name="seer", privileged=True)).privileged

    def test_without_a_memory_it_has_none(self, subject):
        assert not isinstance(subject, Remembering)


class TestRemembering:
    def test_what_the_agent_remembers_is_passed_on(self, remembering_states):
        plain = {key: value for key, value in remembering_states[0].items() if key != "latent"}
        agent, users = Counts(), len(plain["context"])
        fresh = make_fresh(agent)
        assert isinstance(fresh, Remembering)
        session, every = AgentSession(fresh, users), np.ones(users, bool)
        assert [session.act(plain, every)[0, 0] for _ in range(3)] == [101, 102, 103]
        assert session.memory["met"].tolist() == [3] * users

    def test_it_is_asked_without_what_was_shown(self, remembering_states):
        seen = []

        class Looks(Counts):
            def follow(self, observation, memory):
                seen.append(observation["candidates"])
                return super().follow(observation, memory)

        plain = {key: value for key, value in remembering_states[0].items() if key != "latent"}
        fresh = make_fresh(Looks())
        fresh.follow(plain, fresh.start(len(plain["context"])))
        fresh.act(plain)
        for candidates in seen:
            np.testing.assert_array_equal(candidates, withdraw_shown(plain)["candidates"])
        assert (seen[0] != plain["candidates"]).any()


class TestRefusals:
    def test_an_environment_that_does_not_say_what_it_has_shown_is_refused(self, states, scorer):
        with pytest.raises(ValueError, match=r"fresh = True needs 'shown_ids' in the observation, .* or fresh = False"):
            Fresh(GreedySimilarity(scorer)).act(states[0])

    def test_a_world_that_does_not_is_refused_before(self, world, remembering_world):
        check_shown(remembering_world, "mine")
        with pytest.raises(
            ValueError, match=r"mine shows nothing twice in a session, but scenario 'video' does not say"
        ):
            check_shown(world, "mine")

    def test_another_word_is_refused(self):
        with pytest.raises(ValueError, match="fresh = 'often' is unknown; allowed: 'always', 'asked', 'never'"):
            Rule(GreedySimilarity, "x", "x", lambda models, options: None, fresh="often")
