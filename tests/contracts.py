"""Contracts as test kits: a concrete test class inherits one, and says how its subject is made."""

import json

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from longplay.agents.base import Agent
from longplay.encoders import EncoderError, Items
from longplay.tests.encoders.small import make_items, make_log


def make_observation(users, *, items, history=6, context=3, profile=2, seed=0):
    """A batch as the vector environment gives it; the first user has no history, the others some to all of it."""
    rng = np.random.default_rng(seed)
    real = np.arange(history) < np.arange(users)[:, None] % (history + 1)
    return {
        "history_ids": (rng.integers(1, items + 1, real.shape) * real).astype(np.float32),
        "history_completion": (rng.random(real.shape) * real).astype(np.float32),
        "history_age": (np.sort(rng.random(real.shape) * 30.0) * real).astype(np.float32),
        "context": rng.normal(size=(users, context)).astype(np.float32),
        "profile": rng.normal(size=(users, profile)).astype(np.float32),
    }


class EncoderContract:
    """What every encoder keeps to.

    A test class that inherits this sets ``encoder`` (the class) and, where the defaults would take long, ``settings``.
    """

    encoder = None
    settings = None
    tolerance = 1e-5  # by which a vector may differ with the batch around it
    inner_products = True  # scores are inner products of the vectors
    items = 30

    @classmethod
    def make(cls):
        """The subject before it is fitted."""
        return cls.encoder(make_items(cls.items), cls.settings)

    @pytest.fixture(scope="class")
    @classmethod
    def log(cls):
        return make_log(items=cls.items)

    @pytest.fixture(scope="class")
    @classmethod
    def validation(cls):
        return make_log(items=cls.items, seed=1, start=10.0)

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, log, validation):
        return cls.make().fit(log, validation, seed=3)

    @pytest.fixture
    def histories(self):
        return make_observation(9, items=self.items)

    def test_vectors_are_finite_float32_of_the_width_declared(self, subject, histories):
        for vectors, rows in ((subject.encode(histories), 9), (subject.item_vectors, self.items + 1)):
            assert vectors.dtype == np.float32
            assert vectors.shape == (rows, subject.width)
            assert np.isfinite(vectors).all()
        np.testing.assert_array_equal(subject.item_vectors[0], 0.0)

    def test_scores_rank_every_item_and_never_the_padding(self, subject, histories):
        scores = subject.score(histories)
        assert scores.dtype == np.float32
        assert scores.shape == (9, self.items + 1)
        assert (scores[:, 0] == -np.inf).all()
        assert np.isfinite(scores[:, 1:]).all()
        if self.inner_products:
            expected = subject.encode(histories).astype(float) @ subject.item_vectors.astype(float).T
            np.testing.assert_allclose(scores[:, 1:], expected[:, 1:], rtol=1e-4, atol=1e-4)

    def test_scores_tell_the_crowds_apart(self, subject, log):
        """Histories of one crowd score that crowd's items above the other's."""
        scores = subject.score(log.histories(np.arange(20), before=100.0))[:, 1:]
        odd, even = scores[:, 0::2].mean(axis=1), scores[:, 1::2].mean(axis=1)
        assert ((odd > even) == (np.arange(20) % 2 == 0)).mean() >= 0.9

    def test_same_histories_give_the_same_bits(self, subject, histories):
        np.testing.assert_array_equal(subject.encode(histories), subject.encode(histories))

    def test_fitted_again_it_gives_the_same_bits(self, subject, log, validation, histories):
        again = self.make().fit(log, validation, seed=3)
        np.testing.assert_array_equal(again.encode(histories), subject.encode(histories))
        np.testing.assert_array_equal(again.item_vectors, subject.item_vectors)

    def test_histories_are_left_as_they_were(self, subject, histories):
        before = {name: array.copy() for name, array in histories.items()}
        subject.encode(histories)
        subject.score(histories)
        subject.contributions(histories, np.ones(9, np.int64))
        assert_same(dict(histories), before)

    def test_a_vector_does_not_depend_on_the_batch(self, subject, histories):
        whole = subject.encode(histories)
        for row in range(len(whole)):
            one = subject.encode({name: array[row : row + 1] for name, array in histories.items()})
            np.testing.assert_allclose(one[0], whole[row], rtol=0, atol=self.tolerance)

    def test_vectors_follow_the_order_of_the_users(self, subject, histories):
        order = np.random.default_rng(1).permutation(9)
        moved = subject.encode({name: array[order] for name, array in histories.items()})
        np.testing.assert_allclose(moved, subject.encode(histories)[order], rtol=0, atol=self.tolerance)

    def test_longer_padding_changes_nothing(self, subject, histories):
        wider = {name: np.pad(array, ((0, 0), (0, 3))) for name, array in histories.items() if "history" in name}
        np.testing.assert_allclose(subject.encode(wider), subject.encode(histories), rtol=0, atol=self.tolerance)

    def test_history_matters(self, subject, histories):
        other = histories | {"history_ids": np.where(histories["history_ids"] > 0, 1.0, 0.0).astype(np.float32)}
        assert np.abs(subject.encode(other) - subject.encode(histories)).max() > 1e-3

    def test_contributions_are_of_the_history(self, subject, histories):
        shares = subject.contributions(histories, np.arange(1, 10))
        assert shares.shape == histories["history_ids"].shape
        assert np.isfinite(shares).all()
        np.testing.assert_array_equal(shares[histories["history_ids"] == 0], 0.0)
        assert np.abs(shares).max() > 0.0

    def test_a_batch_of_nobody_gives_arrays_of_no_rows(self, subject, histories):
        nobody = {name: array[:0] for name, array in histories.items()}
        shares = subject.contributions(nobody, np.zeros(0, np.int64))
        expected = (0, subject.width), (0, self.items + 1), nobody["history_ids"].shape
        for array, shape in zip((subject.encode(nobody), subject.score(nobody), shares), expected, strict=True):
            assert array.shape == shape
            assert array.dtype == np.float32

    def test_saved_and_loaded_it_gives_the_same_bits(self, subject, histories, tmp_path):
        subject.save(tmp_path)
        subject.save(tmp_path)  # over itself
        loaded = self.encoder.load(tmp_path, subject.items)
        assert loaded.width == subject.width
        assert loaded.settings == subject.settings
        np.testing.assert_array_equal(loaded.encode(histories), subject.encode(histories))
        np.testing.assert_array_equal(loaded.item_vectors, subject.item_vectors)
        np.testing.assert_array_equal(loaded.score(histories), subject.score(histories))
        assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}

    def test_load_refuses_other_items(self, subject, tmp_path):
        subject.save(tmp_path)
        with pytest.raises(EncoderError, match="Fix: give the items it was fitted on"):
            self.encoder.load(tmp_path, Items(subject.items.texts, subject.items.vectors[::-1], subject.items.minutes))

    @pytest.mark.parametrize(("field", "value"), [("version", 0), ("encoder", "Somebody"), ("format", 99)])
    def test_load_refuses_another_version_or_class(self, subject, tmp_path, field, value):
        subject.save(tmp_path)
        (file,) = tmp_path.glob("*.json")
        file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
        with pytest.raises(EncoderError, match=f"its {field} is {value!r}"):
            self.encoder.load(tmp_path, subject.items)

    def test_vectors_that_differ_in_their_last_bits_are_the_same_items(self, subject, histories, tmp_path):
        subject.save(tmp_path)
        items = Items(subject.items.texts, subject.items.vectors * np.float32(1 + 1e-6), subject.items.minutes)
        loaded = self.encoder.load(tmp_path, items)
        np.testing.assert_allclose(loaded.encode(histories), subject.encode(histories), rtol=0, atol=1e-4)

    def test_settings_of_another_version_are_refused(self, subject, tmp_path):
        subject.save(tmp_path)
        (file,) = tmp_path.glob("*.json")
        content = json.loads(file.read_text())
        file.write_text(json.dumps(content | {"settings": content["settings"] | {"an older one": 1}}))
        with pytest.raises(EncoderError, match=r"its settings are of another version .*; fit it again"):
            self.encoder.load(tmp_path, subject.items)

    def test_load_refuses_damaged_weights(self, subject, tmp_path):
        subject.save(tmp_path)
        (file,) = tmp_path.glob("*.safetensors")
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))
        with pytest.raises(EncoderError, match="its checksum is wrong"):
            self.encoder.load(tmp_path, subject.items)

    def test_before_it_is_fitted_it_says_so(self, histories, tmp_path):
        fresh = self.make()
        if not fresh.needs_fit:
            pytest.skip("learns nothing from logs")
        for use in (lambda: fresh.encode(histories), lambda: fresh.item_vectors, lambda: fresh.save(tmp_path)):
            with pytest.raises(EncoderError, match=r"is not fitted. Fix: call fit\(log\)"):
                use()

    def test_a_log_of_other_items_is_refused(self):
        with pytest.raises(EncoderError, match=f"the log is of 10 items, the encoder of {self.items}"):
            self.make().fit(make_log(items=10, rows=4))

    def test_a_log_of_nothing_is_refused(self, log):
        if not self.encoder.needs_fit:
            pytest.skip("learns nothing from logs")
        with pytest.raises(EncoderError, match="the log has no consumed item"):
            self.make().fit(log.take(~log.consumed))

    @pytest.mark.parametrize("wrong", [-1.0, 1.5, 31.0])
    def test_id_that_is_no_item_is_named(self, subject, histories, wrong):
        histories["history_ids"][3, 0] = wrong
        with pytest.raises(ValueError, match=f"history_ids holds {wrong:g}; items are 1 to 30"):
            subject.encode(histories)

    def test_shapes_that_differ_are_named(self, subject, histories):
        with pytest.raises(ValueError, match=r"history_ids \(9, 6\) and history_age \(9, 5\)"):
            subject.encode(histories | {"history_age": histories["history_age"][:, 1:]})


class EnvContract:
    """What every vector environment keeps to, whatever its actions.

    A test class that inherits this defines a fixture ``make``: a function from ``slots`` and an autoreset mode to a
    vector environment whose episodes end within about 60 random steps.
    """

    modes = ("NextStep", "SameStep", "Disabled")

    @staticmethod
    def act(env, rng):
        """A random batch of actions, inside the space."""
        space = env.single_action_space
        if not hasattr(space, "low"):  # whole numbers, below n
            return rng.integers(0, space.nvec if hasattr(space, "nvec") else space.n, env.action_space.shape)
        return rng.uniform(space.low, space.high, env.action_space.shape).astype(space.dtype)

    def follow(self, env, steps, rng):
        return [env.step(self.act(env, rng)) for _ in range(steps)]

    @pytest.mark.parametrize("mode", modes)
    def test_steps_are_of_the_declared_spaces_and_types(self, make, mode):
        env = make(5, mode)
        assert env.metadata["autoreset_mode"].value == mode
        observation, info = env.reset(seed=0)
        assert observation in env.observation_space
        assert isinstance(info, dict)
        rng, ends = np.random.default_rng(0), 0
        for _ in range(60):
            action = self.act(env, rng)
            assert action in env.action_space
            observation, reward, terminated, truncated, info = env.step(action)
            assert observation in env.observation_space
            assert reward.dtype == np.float64
            assert np.isfinite(reward).all()
            assert terminated.dtype == truncated.dtype == bool
            assert reward.shape == terminated.shape == truncated.shape == (5,)
            assert not (terminated & truncated).any()
            assert ("final_obs" in info) == (mode == "SameStep" and (terminated | truncated).any())
            ends += (terminated | truncated).sum()
        assert ends > 0

    def test_equal_seeds_give_equal_bits_and_others_do_not(self, make):
        traces = []
        for seed in (1, 1, 2):
            env = make(4, "NextStep")
            env.reset(seed=seed)
            traces.append(repr(self.follow(env, 40, np.random.default_rng(0))))
        assert traces[0] == traces[1]
        assert traces[0] != traces[2]

    def test_slot_i_lives_as_slot_0_of_seed_plus_i(self, make):
        actions = self.act(make(6, "SameStep"), np.random.default_rng(0))
        batch = make(6, "SameStep")
        expected = [batch.reset(seed=10)[0]] + [batch.step(actions)[0] for _ in range(50)]
        for slot in (0, 5):
            env = make(1, "SameStep")
            found = [env.reset(seed=10 + slot)[0]] + [env.step(actions[slot : slot + 1])[0] for _ in range(50)]
            for one, whole in zip(found, expected, strict=True):
                for key in whole:
                    np.testing.assert_array_equal(one[key][0], whole[key][slot])

    @pytest.mark.parametrize("mode", modes)
    def test_a_saved_state_continues_to_the_bit(self, make, mode):
        env = make(6, mode)
        env.reset(seed=3)
        rng = np.random.default_rng(0)
        self.follow(env, 20, rng)
        while not ((step := env.step(self.act(env, rng)))[2] | step[3]).any():
            pass  # saved when somebody has just finished, the hardest moment
        before, state = step[0], env.save_state()
        expected = self.follow(env, 60, np.random.default_rng(1))
        assert np.array([step[2] | step[3] for step in expected]).any()
        other = make(6, mode)
        other.reset(seed=77)
        for continuing in (env, other, make(6, mode)):
            assert_same(continuing.load_state(state), before)
            assert_same(self.follow(continuing, 60, np.random.default_rng(1)), expected)

    def test_observations_and_actions_are_the_callers_own(self, make):
        one, two = make(4, "NextStep"), make(4, "NextStep")
        found, expected = one.reset(seed=0)[0], two.reset(seed=0)[0]
        for _ in range(20):
            assert_same(found, expected)
            if not hasattr(one, "map"):  # else the next actions answer this observation
                for array in found.values():
                    array[...] = 0
            action = self.act(one, np.random.default_rng(1))
            given = action.copy()
            found, expected = one.step(action)[0], two.step(given)[0]
            np.testing.assert_array_equal(action, given)

    def test_a_step_before_the_reset_is_refused(self, make):
        env = make(2, "NextStep")
        with pytest.raises(ResetNeeded, match=r"call reset\(\) before step\(\)"):
            env.step(self.act(env, np.random.default_rng(0)))

    @pytest.mark.parametrize(
        "wrong", [lambda a: a[:, :-1], lambda a: a[:1], lambda a: a[0]], ids=["width", "rows", "flat"]
    )
    def test_actions_of_another_shape_are_refused(self, make, wrong):
        env = make(2, "NextStep")
        env.reset(seed=0)
        with pytest.raises(ValueError, match="shape"):
            env.step(wrong(self.act(env, np.random.default_rng(0))))


def assert_same(one, other, path="value"):
    """Equal to the bit and in type, through dictionaries, sequences and object arrays."""
    assert type(one) is type(other), path
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_same(one[key], other[key], f"{path}[{key!r}]")
    elif isinstance(one, list | tuple) or (isinstance(one, np.ndarray) and one.dtype == object):
        assert len(one) == len(other), path
        for k, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{path}[{k}]")
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, path
        assert one.shape == other.shape, path
        assert one.tobytes() == other.tobytes(), f"{path}: {one} is not {other}"
    else:
        assert one == other, path


class AgentContract:
    """What every agent keeps to.

    A test class that inherits this defines fixtures ``subject``, the agent, and ``observation``: users in all phases of
    their sessions, with candidates and ``latent``, of a catalogue of `items` items; slates have `slots` slots.
    """

    items, slots = 300, 10
    whole_catalogue = False  # may show what is no candidate
    repeats = False  # may show an item twice in a slate
    avoids_history = True  # shows an item of the history only when nothing else is left

    @staticmethod
    def part(observation, which):
        return {
            key: AgentContract.part(value, which) if isinstance(value, dict) else value[which].copy()
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
        assert slates.min() >= 1
        assert slates.max() <= self.items
        if not self.repeats:
            for slate in slates:
                assert len(set(slate)) == self.slots

    def test_users_are_told_apart(self, subject, observation):
        assert len({slate.tobytes() for slate in self.act(subject, observation)}) > len(observation["candidates"]) // 2

    def test_same_observation_gives_the_same_slates(self, subject, observation):
        first = self.act(subject, observation)
        self.act(subject, self.part(observation, slice(3, 7)))  # nothing may be remembered
        np.testing.assert_array_equal(self.act(subject, observation), first)

    def test_observation_is_left_as_it_was(self, subject, observation):
        before = self.part(observation, slice(None))
        self.act(subject, observation)
        assert_same(observation, before)

    def test_slates_follow_the_order_of_the_users(self, subject, observation):
        order = np.random.default_rng(1).permutation(len(observation["candidates"]))
        moved = self.act(subject, self.part(observation, order))
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
            np.testing.assert_array_equal(self.act(subject, self.part(observation, piece)), whole[piece])

    def test_slates_are_of_the_candidates(self, subject, observation):
        if self.whole_catalogue:
            pytest.skip("shows the whole catalogue")
        for slate, candidates in zip(self.act(subject, observation), observation["candidates"], strict=True):
            assert set(slate) <= set(candidates.astype(int))

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
