"""Readers in place of the simulated choice: what they are asked, what comes of answers, and how mistakes are named."""

import functools

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from longplay.envs.env import SlateVectorEnv
from longplay.envs.users.behaviours import mark_plain
from longplay.envs.users.constants import ScenarioError
from longplay.envs.users.dynamics import weigh
from longplay.envs.users.opinions import EnoughError, Question, answer_by, digest_reader, get_answer, listen_to
from longplay.envs.users.world import build_world
from longplay.tests.assertions import assert_same
from longplay.tests.envs.users import own
from longplay.tests.envs.users.contracts import BehaviourContract
from longplay.tests.envs.users.oracles import chances
from longplay.tests.envs.worlds import aged, content, make_catalog, remembering, small


def take_first(question):
    """The first slot, if there is a text in it."""
    return 0 if question.texts[0] else None


@mark_plain
def takes_the_first(p, work, items, user):
    """The same as a behaviour, written by hand."""
    weigh(p, work, items, user)
    return 0 if work.weight[0] > 0.0 else -1


@pytest.fixture(scope="module")
def items():
    return make_catalog(120)


def make(items, behaviours, users=3, **changes):
    scenario = remembering(shape__users=40, **changes).with_behaviours(behaviours)
    return SlateVectorEnv(build_world(items, scenario), users)


def make_aged(items, behaviours, users, **changes):
    """A world of items that appear in time."""
    scenario = aged(remembering, shape__users=40, **changes).with_behaviours(behaviours)
    return SlateVectorEnv(build_world(items, scenario), users)


def live(env, steps=25):
    """Random slates with empty slots and copies; the infos."""
    rng = np.random.default_rng(0)
    env.reset(seed=1)
    slates = rng.integers(0, 30, (steps, *env.action_space.shape))
    return [env.step(shown)[4] for shown in slates]


def same(one, other):
    assert content(one.engine.users) == content(other.engine.users)


class TestContract(BehaviourContract):
    name = "choose"
    function = staticmethod(answer_by(take_first)["choose"])
    compiles = False


# --- lives -----------------------------------------------------------------------------------------------------------


def test_a_reader_decides_and_all_else_goes_on(items):
    """The same lives as with a choice written by hand, to the bit: satiation, trust, leaving, gaps."""
    envs = make(items, answer_by(take_first)), make(items, {"choose": takes_the_first})
    infos = [live(env) for env in envs]
    same(*envs)
    assert max(info["choice"].max() for info in infos[0]) == 0
    assert sum(info["left"].sum() for info in infos[0]) > 2


def test_whoever_listens_changes_nothing(items):
    heard = []
    listening, bare = make(items, listen_to(take_first, heard.append)), make(items, None)
    for one, other in zip(live(listening), live(bare), strict=True):
        for name in ("choice", "left", "user"):
            np.testing.assert_array_equal(one[name], other[name])
        np.testing.assert_allclose(one["day"], other["day"], rtol=1e-9)
    assert {exchange.simulated for exchange in heard} >= {None, 0, 1}
    assert {exchange.slot for exchange in heard} <= {None, 0}


def test_a_share_that_is_told_is_watched_and_else_the_simulated_one(items):
    told = live(make(items, answer_by(lambda question: (question.slots[0], 0.25) if question.depth % 2 else 0)))
    shares = np.concatenate([info["completion"][info["choice"] >= 0] for info in told])
    assert (shares == 0.25).any()
    assert len(set(shares)) > 10
    env, other = make(items, answer_by(take_first)), make(items, answer_by(lambda q: (take_first(q), None)))
    live(env), live(other)
    same(env, other)


def test_ones_own_attraction_is_met_by_the_simulated_opinion(items):
    """Of a user to whom everything is worth nothing: chances by the definition of the choice model."""

    def attract(p, work, items, user, item):
        return 0.0

    heard = []
    behaviours = {"attract": attract} | listen_to(take_first, heard.append)
    env = make(items, behaviours, choice__appeal=0.0, choice__trust=0.0, impression__weight=0.0, repeat__penalty=0.0)
    live(env, 3)
    p = env.world.scenario.params
    for one in heard:
        weight = np.array([bool(text) for text in one.question.texts], float)
        expected = chances("logit", weight, np.log(p.position[0] / p.position[1]) / np.log(2), p.choice_nothing)
        np.testing.assert_allclose(one.chances[:-1], expected, rtol=1e-9)


@pytest.mark.parametrize("model", ["logit", "cascade", "position"])
def test_chances_are_those_of_the_simulated_choice(items, model):
    heard = []
    env = make_aged(items, listen_to(take_first, heard.append), 8, choice__model=model)
    live(env, 40)
    p = np.stack([one.chances for one in heard])
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert (p >= 0).all()
    assert (p[:, :-1][[[not text for text in one.question.texts] for one in heard]] == 0).all()
    chosen = np.eye(p.shape[1])[[p.shape[1] - 1 if one.simulated is None else one.simulated for one in heard]]
    spread = np.sqrt((p * (1 - p)).sum(axis=0))
    assert (np.abs((chosen - p).sum(axis=0)) < 4 * np.maximum(spread, 1)).all()
    assert ((chosen - p).sum(axis=0) != 0).any()


# --- questions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [answer_by, listen_to])
def test_where_what_is_watched_turns_taste_a_slate_is_asked_about_once(items, by):
    """What the slate would be worth at the first taste is the simulated user's to say."""
    noted = []
    env = make(items, by(take_first, noted.append), taste__cultivation=0.3, choice__nothing=0.0)
    env.autoreset_mode = AutoresetMode.DISABLED
    rng = np.random.default_rng(0)
    env.reset(seed=1)
    for _ in range(25):
        reading = int((env.engine.users["status"] == 0).sum())
        before = len(noted)
        env.step(rng.integers(1, 30, env.action_space.shape))
        assert len(noted) - before == reading
    assert len({str(exchange.question) for exchange in noted}) == len(noted) > 40
    users = env.engine.users
    assert (users["taste"] != users["first_taste"]).any(axis=1).all()
    assert np.isnan(users["first_minutes"]).all() == (by is answer_by)


def test_a_state_that_is_loaded_again_is_asked_about_again(items):
    """The same user at the same slate of the same session, and another slate."""
    noted = []
    env = make(items, answer_by(take_first, noted.append), users=1, taste__cultivation=0.3)
    env.reset(seed=1)
    for slate in (range(1, 11), range(20, 30)):
        env.step([slate])
    state = env.save_state()
    for first in (3, 30, 0):
        env.load_state(state)
        before = len(noted)
        _, _, _, _, info = env.step([[first, *range(40, 49)]])
        assert info["item"][0] == first
        assert len(noted) == before + 1


def test_a_reader_who_fails_at_one_slate_has_read_none(items):
    """Of a batch, so that the step can be tried again without a slate being read twice."""
    failing = False

    def answer(question):
        if failing and question.user == 2:
            raise RuntimeError("no connection")
        return 0

    answer.digest = "the first"
    env, fine = (make(items, answer_by(answer), users=3) for _ in range(2))
    slates = np.arange(1, 31).reshape(3, 10)
    for one in (env, fine):
        one.reset(seed=1, options={"users": np.array([1, 2, 3])})
    failing = True
    before = env.engine.users.copy()
    with pytest.raises(ValueError, match="user 2, session 0, slate 0: answer failed with RuntimeError: no connection"):
        env.step(slates)
    assert content(env.engine.users) == content(before)
    failing = False
    assert_same(env.step(slates), fine.step(slates))
    same(env, fine)


def test_a_question_says_what_is_shown_to_whom(items):
    asked = []
    env = make(items, answer_by(lambda question: asked.append(question) or (0, 0.5)), 1)
    observation, _ = env.reset(seed=1)
    slate = np.array([[5, 0, 7, 5, *[0] * (env.action_space.shape[1] - 4)]])
    env.step(slate)
    env.step(slate)
    first, second = asked
    assert isinstance(first, Question)
    assert first.texts[:4] == (items.texts[4], "", items.texts[6], "")  # neither an empty slot nor a copy
    assert first.items[:4] == (items.ids[4], "", items.ids[6], "")
    assert first.slots == (0, 2)
    user = env.engine.users[0]["id"]
    assert (first.user, first.session, first.depth) == (user, 0, 0)
    assert first.day == pytest.approx(observation["context"][0, 5])
    assert first.hour == pytest.approx(24 * (first.day % 1))
    known = observation["history_ids"][0][observation["history_ids"][0] > 0].astype(int)
    assert [one.item for one in first.history] == [items.ids[item - 1] for item in known]
    assert [one.text for one in first.history] == [items.texts[item - 1] for item in known]
    np.testing.assert_allclose([one.days for one in first.history], observation["history_age"][0][: len(known)], 1e-4)
    names = np.array(env.world.topic_names)[env.world.people["profile"][user] > 0]
    assert first.favourites == tuple(names)
    assert len(names) == 3
    assert second.history[0].item == items.ids[4]
    assert second.history[0].completion == 0.5


def test_what_has_not_appeared_cannot_be_taken(items):
    asked = []
    env = make_aged(items, answer_by(lambda question: asked.append(question)), 1)
    env.reset(seed=1)
    late = np.argsort(env.world.born)[-5:]
    env.step(np.resize(late, env.action_space.shape))
    assert asked[0].slots == ()
    assert set(asked[0].texts) == {""}


def test_each_world_has_its_own_texts_though_the_reader_is_one(items):
    asked = []
    behaviours = answer_by(lambda question: asked.append(question))
    envs = [make(items, behaviours, 1), make(make_catalog(90, seed=3), behaviours, 1)]
    for env in envs:
        env.reset(seed=1)
    for env in envs:
        env.step(np.full(env.action_space.shape, 9))
        assert asked[-1].texts[0] == env.world.catalog.texts[8]


@pytest.mark.filterwarnings("ignore:.*out of date")
def test_all_makers_take_it(items):
    options = {"catalog": items, "scenario": remembering(shape__users=40), "behaviours": answer_by(take_first)}
    single = gymnasium.make("longplay/Video-v0", **options)
    single.reset(seed=1)
    assert single.step(np.arange(1, 11))[4]["choice"] == 0
    vector = gymnasium.make_vec("longplay/Video-v0", num_envs=2, threads=2, **options)
    vector.reset(seed=1)
    np.testing.assert_array_equal(vector.step(np.tile(np.arange(1, 11), (2, 1)))[4]["choice"], [0, 0])


# --- mistakes --------------------------------------------------------------------------------------------------------


def fail(question):
    raise KeyError("no such row")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda question: 99, "answered 99; allowed: None for nothing, a slot with a text (0, 2), or"),
        (lambda question: -1, "answered -1;"),
        (lambda question: 1, "answered 1;"),  # an empty slot
        (lambda question: 3, "answered 3;"),  # a copy
        (lambda question: 0.0, "answered 0.0;"),
        (lambda question: True, "answered True;"),
        (lambda question: "the first", "answered 'the first';"),
        (lambda question: (0, 1.5), r"answered (0, 1.5); allowed: "),
        (lambda question: (0, float("nan")), "answered (0, nan);"),
        (lambda question: (0, "all"), "answered (0, 'all');"),
        (lambda question: (None, 0.5), "answered (None, 0.5);"),
        (lambda question: (0, 0.5, 1), "answered (0, 0.5, 1);"),
        (fail, "fail failed with KeyError: 'no such row'; let it answer every question"),
    ],
)
def test_a_wrong_answer_names_user_session_slate_and_value(items, answer, said):
    env = make(items, answer_by(answer), 1)
    env.reset(seed=1, options={"users": [7]})
    with pytest.raises(ValueError, match="user 7, session 0, slate 0: ") as error:
        env.step([[5, 0, 7, 5, *[0] * (env.action_space.shape[1] - 4)]])
    assert said in str(error.value)


def test_enough_is_passed_on_as_it_is(items):
    def answer(question):
        raise EnoughError("no more")

    env = make(items, answer_by(answer), 1)
    env.reset(seed=1)
    with pytest.raises(EnoughError, match="no more"):
        env.step(np.ones(env.action_space.shape, int))


class Fixed:
    """Answers the same."""

    def __init__(self, slot, **more):
        self.slot = slot
        vars(self).update(more)

    def answer(self, question):
        return self.slot


class Other(Fixed):
    def answer(self, question):
        return self.slot or None


@pytest.mark.parametrize(("reader", "said"), [(Fixed, "is a class; give a reader made of it"), (3, "is no reader")])
def test_what_is_no_reader_is_refused(reader, said):
    for use in (get_answer, answer_by):
        with pytest.raises(ValueError, match=said):
            use(reader)


class Slotted:
    __slots__ = ("slot",)

    def __init__(self, slot):
        self.slot = slot

    def answer(self, question):
        return self.slot


class Listed(list):
    def answer(self, question):
        return self[0]


def test_readers_are_told_apart():
    alike = [Fixed(1), Fixed(1), Fixed(2, digest="one"), Fixed(3, digest="one")]
    first, again, named, other = map(digest_reader, alike)
    assert first == again
    assert named == other
    different = [Slotted(1), Slotted(2), Listed([1]), Listed([2]), Fixed(1).answer, Fixed(2).answer]
    different += [Fixed(1), Fixed(2), Other(1), Fixed(1, digest="two"), Fixed(np.arange(3)), take_first, lambda q: None]
    assert len(set(map(digest_reader, different))) == len(different)
    assert digest_reader(Fixed(Fixed(1, digest="one"))) != digest_reader(Fixed(Fixed(1, digest="two")))
    digests = {small().with_behaviours(answer_by(reader)).digest for reader in different}
    assert len(digests) == len(different)
    assert digests.isdisjoint({small().digest, small().with_behaviours({"choose": own.takes_the_first}).digest})


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        (Fixed(object()), r"reader Fixed uses <object .*, by which worlds cannot be told apart; .* attribute 'digest'"),
        (functools.partial(take_first), r"of type partial: worlds cannot be told apart by it; .* attribute 'digest'"),
        (Fixed(1, digest=3), r"reader: digest = 3 must be a text that changes with its answers"),
        (Fixed(1, digest=""), r"reader: digest = '' must be a text"),
    ],
)
def test_a_reader_whose_identity_cannot_be_told_is_refused(reader, said):
    with pytest.raises(ValueError, match=said):
        answer_by(reader)
    assert issubclass(ScenarioError, ValueError)
