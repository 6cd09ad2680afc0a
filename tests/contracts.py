"""Contracts as test kits: a concrete test class inherits one, and says how its subject is made."""

import json

import numpy as np
import pytest


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
    """What every state encoder keeps to.

    A test class that inherits this sets ``encoder`` (the class) and defines a fixture ``sources``: a function from
    ``changed`` (False, or True for another item table of the same size) to the constructor's positional arguments.
    """

    encoder = None
    settings = {"context_width": 3, "profile_width": 2}  # noqa: RUF012
    items = 12
    tolerance = 0.0  # by which a state may differ with the batch around it

    @pytest.fixture
    def subject(self, sources):
        return self.encoder(*sources(False), **self.settings)

    @pytest.fixture
    def observation(self):
        return make_observation(9, items=self.items)

    def test_state_is_finite_float32_of_the_width_declared(self, subject, observation):
        states = subject(observation)
        assert states.dtype == np.float32
        assert states.shape == (9, subject.width)
        assert np.isfinite(states).all()

    def test_context_and_profile_end_the_state_compressed(self, subject, observation):
        tail = np.concatenate([observation["context"], observation["profile"]], axis=1)
        expected = np.sign(tail) * np.log(1.0 + np.abs(tail.astype(float)))
        np.testing.assert_allclose(subject(observation)[:, -5:], expected, rtol=1e-5)

    def test_same_observation_gives_the_same_bits(self, sources, subject, observation):
        again = self.encoder(*sources(False), **self.settings)
        np.testing.assert_array_equal(subject(observation), subject(observation))
        np.testing.assert_array_equal(subject(observation), again(observation))

    def test_observation_is_left_as_it_was(self, subject, observation):
        before = {name: array.copy() for name, array in observation.items()}
        subject(observation)
        for name, array in observation.items():
            np.testing.assert_array_equal(array, before[name], err_msg=name)

    def test_state_does_not_depend_on_the_batch(self, sources, observation):
        whole = self.encoder(*sources(False), **self.settings)(observation)
        for row in range(len(whole)):
            alone = self.encoder(*sources(False), **self.settings)  # nothing remembered from the batch
            one = alone({name: array[row : row + 1] for name, array in observation.items()})
            np.testing.assert_allclose(one[0], whole[row], rtol=0, atol=self.tolerance)

    def test_states_follow_the_order_of_the_users(self, sources, observation):
        order = np.random.default_rng(1).permutation(9)
        states = self.encoder(*sources(False), **self.settings)(observation)
        moved = self.encoder(*sources(False), **self.settings)(
            {name: array[order] for name, array in observation.items()}
        )
        np.testing.assert_allclose(moved, states[order], rtol=0, atol=self.tolerance)

    def test_history_matters(self, subject, observation):
        other = observation | {"history_ids": np.where(observation["history_ids"] > 0, 1.0, 0.0).astype(np.float32)}
        assert np.abs(subject(other) - subject(observation)).max() > 1e-3

    def test_saved_and_loaded_it_gives_the_same_bits(self, sources, subject, observation, tmp_path):
        subject.save(tmp_path)
        loaded = self.encoder.load(tmp_path, *sources(False))
        assert loaded.width == subject.width
        np.testing.assert_array_equal(loaded(observation), subject(observation))

    def test_load_refuses_another_item_table(self, sources, subject, tmp_path):
        subject.save(tmp_path)
        with pytest.raises(ValueError, match="another item table"):
            self.encoder.load(tmp_path, *sources(True))

    @pytest.mark.parametrize(("field", "value"), [("version", 0), ("encoder", "Somebody")])
    def test_load_refuses_another_version_or_class(self, sources, subject, tmp_path, field, value):
        subject.save(tmp_path)
        (file,) = tmp_path.glob("*.json")
        file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
        with pytest.raises(ValueError, match=f"its {field} is {value!r}"):
            self.encoder.load(tmp_path, *sources(False))

    @pytest.mark.parametrize("wrong", [-1.0, 1.5, 13.0])
    def test_id_outside_the_table_is_named(self, subject, observation, wrong):
        observation["history_ids"][3, 0] = wrong
        with pytest.raises(ValueError, match=f"history_ids holds {wrong:g}; items are 1 to 12"):
            subject(observation)

    def test_context_of_another_width_is_named(self, subject, observation):
        with pytest.raises(ValueError, match=r"context has shape \(9, 1\), expected \(9, 3\)"):
            subject(observation | {"context": observation["context"][:, :1]})
