"""What every agent and every learner of ours keeps to: a concrete test class inherits it."""

import numpy as np
import pytest
import torch

from longplay.agents.base import Agent
from longplay.tests.agents.small import copied, same_weights
from longplay.tests.assertions import assert_same


class AgentContract:
    """What every agent keeps to.

    A test class that inherits this defines fixtures ``subject``, the agent, and ``observation``: users in all phases of
    their sessions, with candidates and ``latent``, of a catalogue of `items` items; slates have `slots` slots.
    """

    items, slots = 300, 10
    whole_catalogue = False  # may show what is no candidate
    repeats = False  # may show an item twice in a slate
    leaves_slots_empty = False  # may leave out an item that would take clicks from better ones: zeros, at the end
    avoids_history = True  # shows an item of the history only when nothing else is left

    @staticmethod
    def take_users(observation, which):
        return {
            key: AgentContract.take_users(value, which) if isinstance(value, dict) else value[which].copy()
            for key, value in observation.items()
        }

    @staticmethod
    def act(agent, observation):
        """Hidden state is only for those who say that they read it."""
        return agent.act({key: value for key, value in observation.items() if agent.privileged or key != "latent"})

    def test_it_is_an_agent(self, subject):
        assert isinstance(subject, Agent)
        assert isinstance(subject.name, str)
        assert subject.name
        assert isinstance(subject.privileged, bool)

    def test_slates_are_items_without_repeats(self, subject, observation):
        slates = self.act(subject, observation)
        assert slates.dtype == np.int64
        assert slates.shape == (len(observation["candidates"]), self.slots)
        assert slates.min() >= (0 if self.leaves_slots_empty else 1)
        assert slates.max() <= self.items
        for slate in slates:
            shown = slate[slate > 0]
            assert len(shown) > 0
            assert (slate[: len(shown)] == shown).all()
            if not self.repeats:
                assert len(set(shown)) == len(shown)

    def test_users_are_told_apart(self, subject, observation):
        assert len({slate.tobytes() for slate in self.act(subject, observation)}) > len(observation["candidates"]) // 2

    def test_same_observation_gives_the_same_slates(self, subject, observation):
        first = self.act(subject, observation)
        self.act(subject, self.take_users(observation, slice(3, 7)))  # nothing may be remembered
        np.testing.assert_array_equal(self.act(subject, observation), first)

    def test_observation_is_left_as_it_was(self, subject, observation):
        before = self.take_users(observation, slice(None))
        self.act(subject, observation)
        assert_same(observation, before)

    def test_slates_follow_the_order_of_the_users(self, subject, observation):
        order = np.random.default_rng(1).permutation(len(observation["candidates"]))
        moved = self.act(subject, self.take_users(observation, order))
        np.testing.assert_array_equal(moved, self.act(subject, observation)[order])

    def test_a_slate_does_not_depend_on_the_batch(self, subject, observation):
        whole = self.act(subject, observation)
        count = len(whole)
        for piece in (
            slice(0, 1),
            slice(1, 2),
            slice(2, count // 2),
            slice(count // 2, count),
            slice(count - 1, count),
        ):
            np.testing.assert_array_equal(self.act(subject, self.take_users(observation, piece)), whole[piece])

    def test_slates_are_of_the_candidates(self, subject, observation):
        if self.whole_catalogue:
            pytest.skip("shows the whole catalogue")
        for slate, candidates in zip(self.act(subject, observation), observation["candidates"], strict=True):
            assert set(slate) - {0} <= set(candidates.astype(int))

    def test_items_of_the_history_are_shown_only_when_nothing_else_is_left(self, subject, observation):
        if not self.avoids_history:
            pytest.skip("weighs a repeat against the rest")
        history = observation["history_ids"]
        assert (history[:, :6] > 0).all()
        fresh = np.stack(
            [
                [c for c in row if c not in h][: self.slots]
                for row, h in zip(observation["candidates"], history, strict=True)
            ]
        ).astype(np.float32)
        # Six of the history beside as many others as slots, and then three too few of those.
        enough = observation | {"candidates": np.concatenate([history[:, :6], fresh], axis=1)}
        for slate, others in zip(self.act(subject, enough), fresh, strict=True):
            assert set(slate) == set(others.astype(int))
        few = observation | {"candidates": np.concatenate([history[:, :6], fresh[:, 3:]], axis=1)}
        for slate, others, old in zip(self.act(subject, few), fresh[:, 3:], history[:, :6], strict=True):
            assert set(slate[: self.slots - 3]) == set(others.astype(int))
            assert set(slate[self.slots - 3 :]) <= set(old.astype(int))
            assert len(set(slate)) == self.slots


class LearnerContract:
    """What our own learners keep to.

    A test class that inherits this is in a module with fixtures ``real``, a function from ``gamma``, ``seed`` and
    options to a learner that begins anew in a small world, and ``learned``, such a one after 2,000 steps.
    """

    @pytest.fixture(params=[{"gamma": 0.0}, {"gamma": 0.9}], ids=str)
    def changes(self, request):
        """Settings of a learner that is resumed."""
        return request.param

    def test_the_same_seed_gives_the_same_weights(self, real, learned):
        again = real()
        while again.steps < 2000:
            again.iterate()
        same_weights(learned, again)
        with pytest.raises(AssertionError):
            same_weights(real(), real(seed=1))

    def test_it_resumes_to_the_bit(self, real, changes):
        learner, other = real(**changes), real(seed=7, **changes)
        for _ in range(3):
            learner.iterate()
        other.restore(copied(learner.capture()))
        for _ in range(2):
            assert learner.iterate() == other.iterate()
        assert other.steps == learner.steps
        same_weights(learner, other)

    def test_twins_begin_alike(self, real):
        """The γ = 0 twin differs in what it learns alone, and in the units of that."""
        twin, other = real(gamma=0.0), real(gamma=0.9)
        for name, module in twin.modules().items():
            for one, weights in zip(module.parameters(), other.modules()[name].parameters(), strict=True):
                assert torch.equal(one, weights), name
        assert np.isfinite(list(twin.iterate().values())).all()

    def test_saved_weights_act_alike(self, real, learned, tmp_path, states):
        learned.agent.save(tmp_path, {"label": "some agent"})
        other = real(seed=1).agent
        other.load(tmp_path)
        np.testing.assert_array_equal(other.act(states[0]), learned.agent.act(states[0]))
