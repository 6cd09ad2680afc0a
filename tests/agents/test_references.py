"""The references against brute force, computed from the users' true state by another route."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from longplay.agents.baselines import GreedySimilarity, Popularity, RandomCandidates, RandomSlate
from longplay.agents.evaluate import Evaluator, held_out_users
from longplay.agents.references import MyopicOracle, TasteOracle
from longplay.envs.scoring import Scorer
from longplay.envs.world import build_world
from longplay.tests.agents.small import phases
from longplay.tests.contracts import AgentContract
from longplay.tests.envs.worlds import make_catalog, small

SLOTS, COUNT = 3, 6


@pytest.fixture
def observation(states):
    return states[0]


class TestMyopicContract(AgentContract):
    avoids_history = False  # it knows what a repeat costs

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
    """``β⟨u,v⟩ + μ·φ·φ_last − α⟨Φ,φ⟩ − ω·1[among the last R]`` of one record, in plain Python."""
    p, one = world.scenario.params, world.items[item]
    value = p.taste_weight * sum(float(a) * float(b) for a, b in zip(user["taste"], one["taste"], strict=True))
    if user["last"] > 0:
        last = world.items[user["last"]]["topics"]
        value += p.momentum_weight * sum(float(a) * float(b) for a, b in zip(last, one["topics"], strict=True))
    full = sum(float(a) * float(b) for a, b in zip(user["satiation"], one["topics"], strict=True))
    value -= float(user["sensitivity"]) * full
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
            worth = {item: terms(oracle_world, user, item) for item in candidates.tolist()}
            values = {s: expected(oracle_world, worth, s) for s in itertools.permutations(worth, SLOTS)}
            assert len(values) == 120
            best = max(values.values())
            assert values[tuple(slate.tolist())] == pytest.approx(best, rel=1e-4)
            assert sum(value > best * (1 - 1e-4) for value in values.values()) <= 2  # not all slates are alike
            consumed += user["last"] > 0
        assert 3 < consumed < len(users) - 3  # both with and without a momentum

    def test_a_sort_by_minutes_times_weight_is_not_the_best(self, world, states):
        # What Dinkelbach's method is for: were a sort as good, the brute force would show nothing.
        observation, _ = states
        once = MyopicOracle(with_slots(world, SLOTS), rounds=1)
        full = MyopicOracle(with_slots(world, SLOTS))
        strong = dataclasses.replace(full.world, scenario=full.world.scenario.with_overrides({"choice.nothing": -2.0}))
        once.world = full.world = strong
        assert (once.act(observation) != full.act(observation)).any()

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


class TestTasteOracle:
    def test_slate_is_the_best_of_all_ordered_slates_in_control(self):
        world = build_world(make_catalog(12), small("control"))
        tiny = dataclasses.replace(with_slots(world, SLOTS), items=world.items[: COUNT + 1])
        rng = np.random.default_rng(0)
        taste = rng.normal(size=(8, world.scenario.shape.taste))
        taste /= np.linalg.norm(taste, axis=1, keepdims=True)
        slates = TasteOracle(tiny).act({"latent": {"taste": taste}})
        for one, slate in zip(taste, slates, strict=True):
            user = {"taste": one, "last": 0, "satiation": np.zeros(24), "sensitivity": 0.0, "history_items": []}
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
