"""The references against brute force, computed from the users' true state by another route."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.references.oracles import MyopicOracle, TasteOracle
from longplay.agents.rules.similarity import GreedySimilarity
from longplay.agents.rules.simple import Popularity, RandomCandidates, RandomSlate
from longplay.envs.candidates.scoring import Scorer
from longplay.envs.engine import Engine
from longplay.envs.users.world import build_world
from longplay.tests.agents.brute import all_slates, perturbed, unique, value
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.agents.small import phases
from longplay.tests.envs.worlds import make_catalog, small

SLOTS, COUNT = 3, 6


@pytest.fixture
def observation(states):
    return states[0]


class TestMyopicContract(AgentContract):
    avoids_history = False  # it knows what a repeat costs
    leaves_slots_empty = True

    @pytest.fixture
    def subject(self, world):
        return MyopicOracle(world)


class TestTasteContract(AgentContract):
    whole_catalogue = True
    avoids_history = False

    @pytest.fixture
    def subject(self, world):
        return TasteOracle(world)


def with_slots(world, slots):
    """The same items and people, with slates of another length."""
    return dataclasses.replace(world, scenario=world.scenario.with_overrides({"shape.slate": slots}))


def utility(world, user, item):
    """``β⟨u,v⟩ + μ⟨M,φ⟩ − α⟨Φ,φ⟩ − ω·1[among the last R]`` of one record, in plain Python."""
    p, one, topics = world.scenario.params, world.items[item], world.topics[item]

    def inner(a, b):
        return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))

    value = p.taste_weight * inner(user["taste"], one["taste"]) + p.momentum_weight * inner(user["momentum"], topics)
    value -= float(user["sensitivity"]) * inner(user["satiation"], topics)
    return value - p.repeat_penalty * (item in user["history_items"][: int(p.repeat_memory)])


def terms(world, user, item):
    """Choice weight before position, and minutes when chosen, the noise in completion integrated."""
    p, worth = world.scenario.params, utility(world, user, item)

    def density(x):
        return norm.pdf(x) / (1.0 + math.exp(-(p.dwell_base + p.dwell_utility * worth + p.dwell_noise * x)))

    completion = quad(density, -10, 10, epsabs=1e-12)[0]
    weight = math.exp(worth + p.choice_appeal * float(world.items[item]["appeal"]))
    return weight, completion * float(world.items[item]["minutes"])


def expected(world, worth, slate):
    """Minutes expected of a slate: multinomial logit with position discount and the option to choose nothing."""
    p = world.scenario.params
    below, above = math.exp(p.choice_nothing), 0.0
    for k, item in enumerate(slate):
        weight = worth[item][0] * (k + 1) ** -p.choice_position
        below += weight
        above += weight * worth[item][1]
    return above / below


def gains(oracle, observation, slates):
    """(B,) expected reward of slates (B, K), from the oracle's terms and the choice model as `brute` writes it."""
    scenario = oracle.world.scenario
    pull, reward = dataclasses.replace(oracle, whole=False).weigh_items(slates, observation)
    columns = np.arange(slates.shape[1])[None, None]
    nothing = math.exp(scenario.params.choice_nothing)
    return value(scenario.values["choice_model"], pull, reward, scenario.params.position, nothing, columns)[:, 0]


class TestMyopicOracle:
    @pytest.mark.parametrize("nothing", [3.5, -2.0])
    def test_slate_is_the_best_of_all_ordered_slates(self, world, states, nothing):
        # With a faint option to choose nothing, a slate of a few very good items beats one filled with good ones, and
        # the best order is no sort by any one score.
        oracle_world = with_slots(world, SLOTS)
        oracle_world = dataclasses.replace(
            oracle_world, scenario=oracle_world.scenario.with_overrides({"choice.nothing": nothing})
        )
        observation, users = states
        rng = np.random.default_rng(0)
        picked = [
            [*rng.choice(np.setdiff1d(row, history), COUNT - 1, replace=False), history[0]]
            for row, history in zip(observation["candidates"], observation["history_ids"], strict=True)
        ]
        observation = observation | {"candidates": np.array(picked, np.float32)}
        slates = MyopicOracle(oracle_world).act(observation)
        assert slates.shape == (len(users), SLOTS)
        consumed = 0
        for user, candidates, slate in zip(users, observation["candidates"].astype(int), slates, strict=True):
            worth = {item: terms(oracle_world, user, item) for item in candidates.tolist()} | {0: (0.0, 0.0)}
            slots = itertools.permutations([*candidates.tolist(), 0, 0], SLOTS)
            values = {s: expected(oracle_world, worth, s) for s in slots}
            assert len(values) == 120 + 3 * 30 + 3 * 6  # with no, one and two empty slots
            best = max(values.values())
            assert values[tuple(slate.tolist())] == pytest.approx(best, rel=1e-4)
            assert sum(worth > best * (1 - 1e-4) for worth in values.values()) <= 6  # not all slates are alike
            consumed += user["momentum"].any()
        assert 3 < consumed < len(users) - 3  # both with and without a momentum

    def test_fewer_candidates_than_slots_leave_empty_slots_at_the_end(self, world, states):
        observation = {key: value[:4] if key != "latent" else None for key, value in states[0].items()}
        observation["latent"] = {key: value[:4] for key, value in states[0]["latent"].items()}
        candidates = observation["candidates"].copy()
        candidates[:, 2:] = 0
        slates = MyopicOracle(with_slots(world, SLOTS)).act(observation | {"candidates": candidates})
        assert (slates[:, 2] == 0).all()
        for slate, row in zip(slates, candidates, strict=True):
            assert set(slate[:2]) == set(row[:2].astype(int))

    def test_it_earns_more_in_a_slate_than_any_rule(self, world, scorer, states):
        observation, users = states
        visible = {key: value for key, value in observation.items() if key != "latent"}
        best = MyopicOracle(world).act(observation)
        for rule in (Popularity(scorer), GreedySimilarity(scorer), RandomCandidates(scorer)):
            for user, mine, theirs in zip(users[:6], best, rule.act(visible), strict=False):
                worth = {item: terms(world, user, item) for item in {*mine.tolist(), *theirs.tolist()}}
                assert expected(world, worth, mine.tolist()) >= expected(world, worth, theirs.tolist()) - 1e-6


COPIES = 20_000  # of each user, with luck of their own
SCENES = {
    "video": {},
    "clicks": {},
    "everything else": {
        "choice.model": "cascade",
        "choice.position": 0.2,
        "choice.nothing": 1.0,
        "satiation.kind": "saturating",
        "satiation.sensitivity": 2.0,
        "momentum.persistence": 0.5,
        "items.life": 2.0,
    },
    "position": {"choice.model": "position", "repeat.penalty": 1.0},
}


@pytest.fixture(scope="module")
def scenes(catalog, item_vectors):
    """A world, observations and records in all phases of sessions, for each of `SCENES`."""
    made = {}
    for name, changes in SCENES.items():
        scenario = small(horizon__days=6).with_overrides(changes)
        world = build_world(catalog, scenario)
        made[name] = world, *phases(world, item_vectors)
    return made


def simulate(world, user, slate, reward):
    """(COPIES,) what one slate of the same user pays with other luck, in the compiled model."""
    engine = Engine(world, COPIES)
    engine.users[:] = user
    engine.users["k0"], engine.users["k1"] = np.random.default_rng(7).integers(0, 2**32, (2, COPIES), np.uint32)
    minutes = engine.read(np.tile(slate, (COPIES, 1)))
    return (engine.users["choice"] >= 0).astype(float) if reward == "clicks" else minutes


@pytest.mark.parametrize("name", list(SCENES))
class TestTermsAgainstTheCompiledModel:
    def test_mean_of_simulated_slates_is_the_expected_reward(self, scenes, name):
        world, observation, users = scenes[name]
        oracle = MyopicOracle(world, "clicks" if name == "clicks" else "minutes")
        rng = np.random.default_rng(1)
        best = oracle.act(observation)
        mixed = np.stack([rng.permutation([*row[:5], *rng.choice(301, 5)]) for row in best])
        mixed[:, 0] = observation["history_ids"][:, 0]  # a repeat, and that alone where it is drawn twice
        assert len(users) > 12
        scores = []
        for slates in (best, mixed):
            theory = gains(oracle, observation, unique(slates))
            for user, slate, mean in zip(users, slates, theory, strict=True):
                drawn = simulate(world, user, slate, oracle.reward)
                scores.append((drawn.mean() - mean) / (drawn.std() / math.sqrt(COPIES)))
        assert np.abs(scores).max() < 4.0
        assert (np.array(scores) ** 2).mean() < 1.8  # standard normal, about

    def test_slates_beat_perturbed_ones(self, scenes, name):
        world, observation, _ = scenes[name]
        oracle = MyopicOracle(world, "clicks" if name == "clicks" else "minutes")
        slates, rng = oracle.act(observation), np.random.default_rng(2)
        best = gains(oracle, observation, slates)
        worse = 0
        for _ in range(60):
            other = unique(perturbed(slates, observation["candidates"].astype(np.int64), rng))
            lost = best - gains(oracle, observation, other)
            assert (lost >= -2e-3 * best if name == "position" else lost >= -1e-12).all()
            worse += (lost > 1e-6).mean()
        assert worse > 40


def test_a_repeat_is_punished_once_however_often_it_was_consumed(world, states):
    observation = {key: v[:1] if key != "latent" else {k: w[:1] for k, w in v.items()} for key, v in states[0].items()}
    ids = observation["history_ids"][:, :1].astype(np.int64)
    twice = observation["history_ids"].copy()
    twice[:, 3] = twice[:, 0]
    once, _ = MyopicOracle(world).weigh_items(ids, observation)
    again, _ = MyopicOracle(world).weigh_items(ids, observation | {"history_ids": twice})
    assert again == pytest.approx(once)
    never, _ = MyopicOracle(world).weigh_items(ids, observation | {"history_ids": np.zeros_like(twice)})
    assert np.log(never / once) == pytest.approx(world.scenario.params.repeat_penalty)


def test_returns_are_not_the_reward_of_a_slate(world):
    with pytest.raises(ValueError, match="reward = 'returns' is not earned by one slate; allowed: 'minutes', 'clicks'"):
        MyopicOracle(world, "returns")


class Disturbed:
    """The oracle's slates, perturbed; notes what is expected of both in each state."""

    name, privileged = "disturbed", True

    def __init__(self, oracle, seed):
        self.oracle, self.rng, self.lost = oracle, np.random.default_rng(seed), []

    def act(self, observation):
        best = self.oracle.act(observation)
        count = len(self.oracle.world.catalog)
        other = perturbed(best, np.tile(np.arange(1, count + 1), (len(best), 1)), self.rng)
        theirs = gains(self.oracle, observation, unique(other))
        self.lost.append(gains(self.oracle, observation, best) - theirs)
        return other


@pytest.fixture(scope="module", params=["logit", "cascade"])
def still(request, catalog):
    """A world that nothing shown changes, in which items differ, age, and satisfy more or less."""
    scenario = small(horizon__days=6).with_overrides({"choice.model": request.param, "items.life": 4.0})
    return build_world(catalog, scenario.with_strength(0))


class TestDialAtZero:
    """Nothing shown changes what comes later, so the sum of the best slates is the best sum."""

    def test_whole_oracle_shows_the_best_of_all_slates(self, still):
        few = dataclasses.replace(with_slots(still, SLOTS), items=still.items[: COUNT + 1], catalog=make_catalog(COUNT))
        oracle = MyopicOracle(few, whole=True)
        rng = np.random.default_rng(3)
        taste = rng.normal(size=(20, few.scenario.shape.taste))
        observation = {
            "context": np.full((20, 8), 3.0, np.float32),
            "history_ids": rng.integers(0, COUNT + 1, (20, 20)).astype(np.float32),
            "latent": {
                "taste": taste / np.linalg.norm(taste, axis=1, keepdims=True),
                "momentum": rng.random((20, 24), np.float32),
                "satiation": rng.random((20, 24)),
                "sensitivity": np.zeros(20),
            },
        }
        found = gains(oracle, observation, oracle.act(observation))
        slates = 1 + all_slates(COUNT, SLOTS)
        best = np.max([gains(oracle, observation, np.tile(slate, (20, 1))) for slate in slates], axis=0)
        assert found == pytest.approx(best, rel=1e-10)

    def test_no_policy_gets_more_in_any_state_nor_over_the_horizon(self, still, item_vectors):
        evaluator = Evaluator(still, item_vectors, held_out_users(still, "test", 20), 9)
        oracle = MyopicOracle(still, whole=True)
        best = evaluator.play(oracle)
        for seed in range(3):
            rival = Disturbed(oracle, seed)
            other = evaluator.play(rival)
            for column in ("slates", "sessions", "days", "churned"):
                assert (best[column] == other[column]).all()  # the states are met whatever is shown
            lost = np.concatenate(rival.lost)
            assert lost.min() > -1e-12
            assert len(lost) == best["slates"].sum()
            assert lost.sum() > 0.01 * best["minutes"].sum()  # expected over the horizon
            paired = (best["minutes"] - other["minutes"]).to_numpy()
            assert paired.mean() > -3 * paired.std() / math.sqrt(len(paired))

    def test_rules_and_other_references_get_less(self, still, item_vectors):
        evaluator = Evaluator(still, item_vectors, held_out_users(still, "test", 20), 9)
        best = evaluator.play(MyopicOracle(still, whole=True))
        scorer = Scorer(still, item_vectors)
        for rival in (MyopicOracle(still), TasteOracle(still), GreedySimilarity(scorer), RandomSlate(still)):
            paired = best["minutes"] - evaluator.play(rival)["minutes"]
            assert paired.mean() > 0, rival.name
            assert (paired >= 0).mean() > 0.7, rival.name

    def test_with_the_dial_at_1_lives_depend_on_what_is_shown(self, world, item_vectors):
        evaluator = Evaluator(world, item_vectors, held_out_users(world, "test", 20), 9)
        one, other = evaluator.play(MyopicOracle(world, whole=True)), evaluator.play(RandomSlate(world))
        assert (one["slates"] != other["slates"]).any()


class TestTasteOracle:
    def test_slate_is_the_best_of_all_ordered_slates_in_control(self):
        world = build_world(make_catalog(12), small("control"))
        tiny = dataclasses.replace(with_slots(world, SLOTS), items=world.items[: COUNT + 1])
        rng = np.random.default_rng(0)
        taste = rng.normal(size=(8, world.scenario.shape.taste))
        taste /= np.linalg.norm(taste, axis=1, keepdims=True)
        slates = TasteOracle(tiny).act({"latent": {"taste": taste}})
        for one, slate in zip(taste, slates, strict=True):
            user = {"taste": one, "satiation": np.zeros(24), "sensitivity": 0.0, "history_items": []}
            user["momentum"] = np.zeros(24)
            worth = {item: terms(tiny, user, item) for item in range(1, COUNT + 1)}
            assert len({minutes for _, minutes in worth.values()}) == 1  # all clicks pay the same
            values = {s: expected(tiny, worth, s) for s in itertools.permutations(worth, SLOTS)}
            assert values[tuple(slate.tolist())] == max(values.values())

    def test_nobody_gets_more_clicks_in_control(self, control_world, item_vectors):
        # Lives are the same whatever is shown, and so are the draws: the best slate wins user by user.
        scorer = Scorer(control_world, item_vectors)
        evaluator = Evaluator(control_world, item_vectors, held_out_users(control_world, "test", 20), 9)
        best = evaluator.play(TasteOracle(control_world))
        rivals = [
            MyopicOracle(control_world),
            GreedySimilarity(scorer),
            Popularity(scorer),
            RandomCandidates(scorer),
            RandomSlate(control_world),
        ]
        for rival in rivals:
            other = evaluator.play(rival)
            for column in ("slates", "sessions", "days", "churned"):
                assert (best[column] == other[column]).all(), rival.name
            assert (best["clicks"] >= other["clicks"]).all(), rival.name
            assert best["clicks"].sum() > other["clicks"].sum(), rival.name
            assert (best["minutes"] >= other["minutes"] - 1e-9).all(), rival.name

    def test_myopic_oracle_shows_the_best_candidates_by_taste_in_control(self, control_world, item_vectors):
        observation, users = phases(control_world, item_vectors)
        slates = MyopicOracle(control_world).act(observation)
        for user, candidates, slate in zip(users, observation["candidates"].astype(int), slates, strict=True):
            liking = control_world.items["taste"][candidates].astype(float) @ user["taste"]
            assert list(slate) == list(candidates[np.argsort(-liking)[:10]])

    def test_drifted_taste_is_the_one_that_counts(self, world, states):
        observation = states[0]
        turned = {**observation, "latent": {**observation["latent"], "taste": -observation["latent"]["taste"]}}
        one, other = TasteOracle(world).act(observation), TasteOracle(world).act(turned)
        assert not any(set(a) & set(b) for a, b in zip(one, other, strict=True))

    def test_perturbed_slates_never_get_more_in_control(self, control_world, item_vectors):
        evaluator = Evaluator(control_world, item_vectors, held_out_users(control_world, "test", 20), 9)
        best = evaluator.play(TasteOracle(control_world))
        rival = Disturbed(MyopicOracle(control_world, whole=True), 0)  # in the control it shows the same slates
        other = evaluator.play(rival)
        assert np.concatenate(rival.lost).min() > -1e-12
        assert (best["clicks"] >= other["clicks"]).all()
        assert best["clicks"].sum() > other["clicks"].sum()

    def test_exact_oracle_and_taste_oracle_agree_in_control(self, control_world, item_vectors):
        observation, _ = phases(control_world, item_vectors)
        exact = MyopicOracle(control_world, whole=True).act(observation)
        assert (exact == TasteOracle(control_world).act(observation)).all()
