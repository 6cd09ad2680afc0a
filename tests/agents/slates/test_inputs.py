"""What slate networks read, by hand; nothing hidden, and each row from itself alone."""

from types import SimpleNamespace

import numpy as np
import pytest

from longplay.agents.slates.inputs import SlateInputs, UserStates
from longplay.envs.engine import ContextColumn

MINUTE = 1 / 1440  # [days]
# Two items: one topic each, and one visible attribute, which is −1 and 1 in standard deviations.
ITEMS = SimpleNamespace(
    scores={},
    topics=np.array([[0, 0], [1, 0], [0, 1]], np.float32),
    static=np.array([[0.0], [10.0], [14.0]], np.float32),
)


class Nothing:
    """An encoder that says nothing, so that all else is seen."""

    width, identity = 1, "nothing"

    def encode(self, observation):
        return np.zeros((len(observation["history_ids"]), 1), np.float32)


@pytest.fixture
def observation():
    """A user with six items, two of them in this session of three slates; and one without a history."""
    context = np.zeros((2, len(ContextColumn)), np.float32)
    context[0, :2] = 3.0, 60.0
    ids, completion, age = (np.zeros((2, 7), np.float32) for _ in range(3))
    ids[0] = [2, 1, 1, 2, 1, 1, 0]
    completion[0] = [1.0, 0.5, 0.25, 1.0, 0.25, 0.75, 0.0]
    age[0] = [10 * MINUTE, 59 * MINUTE, 0.25, 0.5, 1.0, 2.0, 0.0]
    return {
        "history_ids": ids,
        "history_completion": completion,
        "history_age": age,
        "context": context,
        "profile": np.array([[0.5, -0.5], [0.0, 0.0]], np.float32),
    }


class TestUserStates:
    @pytest.fixture
    def states(self):
        return UserStates(Nothing(), ITEMS)

    @pytest.fixture
    def found(self, states, observation):
        """By name, without the encoded history."""
        rest = states(observation)[:, 1:]
        assert rest.dtype == np.float32
        assert rest.shape == (2, states.width - 1)
        names = {"context": 8, "profile": 2, "session": 2, "last five": 2, "all": 2, "topics": 2, "lately": 2}
        names |= {"consumed": 1, "share": 1}
        ends = np.cumsum(list(names.values()))
        assert ends[-1] == rest.shape[1]
        return dict(zip(names, np.split(rest, ends[:-1], axis=1), strict=True))

    def test_context_and_profile_are_compressed(self, found):
        np.testing.assert_allclose(found["context"][0, :2], np.log([4.0, 61.0]), rtol=1e-6)
        np.testing.assert_allclose(found["profile"][0], [np.log(1.5), -np.log(1.5)], rtol=1e-6)

    def test_means_of_completion_and_attributes(self, found):
        np.testing.assert_allclose(found["session"][0], [0.75, 0.0], atol=1e-6)
        np.testing.assert_allclose(found["last five"][0], [0.6, -0.2], rtol=1e-6)
        np.testing.assert_allclose(found["all"][0], [3.75 / 6, -2 / 6], rtol=1e-6)

    def test_what_is_as_old_as_the_session_is_long_is_not_of_it(self, states, observation):
        observation["context"][0, ContextColumn.SESSION_MINUTES] = 59.0
        first = states(observation)[0, 11:13]
        np.testing.assert_allclose(first, [1.0, 1.0], rtol=1e-6)  # only the latest

    def test_topics_by_completion_and_by_how_lately(self, found):
        np.testing.assert_allclose(np.expm1(found["topics"][0]), [0.5 + 0.25 + 0.25 + 0.75, 2.0], rtol=1e-6)
        lately = np.exp([-59 * MINUTE * 4, -1.0, -4.0, -8.0]).sum(), np.exp([-10 * MINUTE * 4, -2.0]).sum()
        np.testing.assert_allclose(np.expm1(found["lately"][0]), lately, rtol=1e-5)

    def test_how_much_of_the_session_was_consumed(self, found):
        np.testing.assert_allclose(np.expm1(found["consumed"][0]), 2.0, rtol=1e-6)
        np.testing.assert_allclose(np.expm1(found["share"][0]), 2 / 3, rtol=1e-6)

    def test_without_a_history_all_is_zero(self, found):
        for name, part in found.items():
            assert not part[1].any(), name

    def test_an_attribute_that_never_varies_is_zero(self, observation):
        same = SimpleNamespace(scores={}, topics=ITEMS.topics, static=np.array([[0.0], [7.0], [7.0]], np.float32))
        assert not UserStates(Nothing(), same)(observation)[:, [12, 14, 16]].any()

    def test_where_items_age_it_counts_how_new_they_were_when_consumed(self, observation):
        static = np.zeros((3, 4), np.float32)
        static[1:, 3] = [1.0, 4.0]  # when they appeared [days]
        aging = UserStates(Nothing(), SimpleNamespace(scores={}, topics=ITEMS.topics, static=static, aging=True))
        observation["context"][0, ContextColumn.DAY] = 6.0
        plain = UserStates(Nothing(), SimpleNamespace(scores={}, topics=ITEMS.topics, static=static))
        ends = np.array([5, 10, 15]) + 10  # after encoder, context and profile, the last attribute of each window
        hours = 24 * np.maximum(6.0 - observation["history_age"][0, :6] - [4.0, 1.0, 1.0, 4.0, 1.0, 1.0], 0)
        new = -np.log1p(hours) / 2
        expected = [new[:2].mean(), new[:5].mean(), new.mean()]
        np.testing.assert_allclose(aging(observation)[0, ends], expected, rtol=1e-5)
        others = np.setdiff1d(np.arange(plain.width), ends)
        np.testing.assert_array_equal(aging(observation)[:, others], plain(observation)[:, others])
        assert aging.identity != plain.identity

    def test_it_belongs_to_its_encoder(self, states):
        assert states.identity == "nothing"


class TestSlateInputs:
    @pytest.fixture
    def inputs(self, scorer):
        return SlateInputs(scorer, UserStates(Nothing(), scorer))

    @pytest.fixture
    def real(self, states):
        """Observations in all phases of sessions; the first has lost some candidates."""
        visible = {name: value.copy() for name, value in states[0].items() if name != "latent"}
        visible["candidates"][0, 3:7] = 0
        return visible

    def test_columns_are_the_scorers_features_and_whether_it_repeats(self, inputs, scorer, real):
        found = inputs(real)
        there = real["candidates"] > 0
        assert inputs.item_features == (*scorer.names, "repeated")
        assert found.items.shape == (*there.shape, inputs.item_width)
        assert found.items.dtype == found.state.dtype == np.float32
        np.testing.assert_array_equal(found.items[there][:, :-1], scorer.features(real)[there])
        np.testing.assert_array_equal(found.ids, real["candidates"])
        assert found.ids.dtype == np.int64
        assert found.state.shape == (len(there), inputs.state_width)

    def test_repeated_is_what_stands_in_the_history(self, inputs, real):
        b = int(np.flatnonzero(real["history_ids"][:, 0] > 0)[0])
        before = inputs(real).items[b, :, -1]
        column = int(np.flatnonzero((before == 0) & (real["candidates"][b] > 0))[0])
        real["candidates"][b, column] = real["history_ids"][b, 0]
        after = inputs(real).items[b, :, -1]
        assert after[column] == 1.0
        np.testing.assert_array_equal(np.delete(after, column), np.delete(before, column))

    def test_where_no_candidate_is_all_is_zero(self, inputs, real):
        real["history_ids"][0, -1] = 0  # no item is the same as none
        found = inputs(real)
        assert not found.items[0, 3:7].any()
        assert found.items[0, 7:].any()

    def test_a_row_depends_on_itself_alone(self, inputs, real):
        whole = inputs(real)
        for rows in ([0], [5, 2], slice(3, 9)):
            part = inputs({name: value[rows] for name, value in real.items()})
            for name, value in vars(part).items():
                np.testing.assert_array_equal(value, getattr(whole, name)[rows], err_msg=name)

    def test_the_hidden_state_is_not_read(self, inputs, states, real):
        whole = {**real, "latent": {name: value + 1 for name, value in states[0]["latent"].items()}}
        for name, value in vars(inputs(whole)).items():
            np.testing.assert_array_equal(value, getattr(inputs(real), name), err_msg=name)

    def test_identity_names_encoder_and_features(self, inputs, scorer):
        assert inputs.identity == "|".join(["nothing", *scorer.names, "repeated"])
