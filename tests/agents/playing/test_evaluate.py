"""The protocol: columns against a slow loop with the single environment, shared luck, pieces."""

import numpy as np
import pandas as pd
import pytest

from longplay.agents.base import FunctionAgent, select_users
from longplay.agents.fresh import make_fresh
from longplay.agents.logs.collect import collect, make_env
from longplay.agents.logs.exploring import ExploringAgent
from longplay.agents.playing.evaluate import COLUMNS, Evaluator, held_out_users
from longplay.agents.playing.trials import make_life_env, sum_life_minutes
from longplay.agents.references.oracles import MyopicOracle
from longplay.agents.references.rollouts import RolloutPlanner
from longplay.agents.rules.diversity import MMR
from longplay.agents.rules.similarity import GreedySimilarity
from longplay.agents.rules.simple import Popularity, RandomCandidates, RandomSlate
from longplay.agents.sb3.agents import SB3Agent
from longplay.envs import Video
from longplay.envs.engine import ContextColumn
from longplay.tests.agents.sb3.test_agents import trained
from longplay.tests.agents.small import Counts, make_training_env, tiny_run

LUCK = 1


@pytest.fixture(scope="module")
def evaluator(world, item_vectors):
    return Evaluator(world, item_vectors, held_out_users(world, "test", 20), LUCK)


def slow(world, item_vectors, agent, user):
    """One user's row, and the items shown, by the definitions of the columns."""
    env = Video(
        scenario=world.scenario, catalog=world.catalog, candidates=True, item_vectors=item_vectors, privileged=True
    )
    observation, info = env.reset(seed=LUCK, options={"user": int(user)})
    row = dict.fromkeys(COLUMNS, 0.0) | {"user": user}
    spread, full, shown, done = [], [], set(), False
    told, again = set(), 0
    while not done:
        one = {key: value[None] for key, value in observation.items()}
        if agent.privileged:
            one["latent"] = {key: np.asarray(value)[None] for key, value in info["latent"].items()}
        slate = agent.act(one)[0]
        vectors = item_vectors[slate[slate > 0] - 1].astype(float)
        pairs = [vectors[i] @ vectors[j] for i in range(len(vectors)) for j in range(len(vectors)) if i != j]
        spread.append(1 - np.mean(pairs) if pairs else 0.0)
        full.append(info["latent"]["satiation"].sum())
        shown |= set(slate[slate > 0].tolist())
        if observation["context"][ContextColumn.DEPTH] == 0:
            told = set()
        again += sum(item in told for item in slate.tolist())
        told |= set(slate[slate > 0].tolist())
        session = observation["context"][ContextColumn.SESSION]
        observation, reward, terminated, truncated, info = env.step(slate)
        row["minutes"] += reward
        row["first_session_minutes"] += reward if session == 0 else 0.0
        row["slates"] += 1
        row["clicks"] += info["item"] > 0
        done = terminated or truncated
    row["sessions"] = observation["context"][ContextColumn.SESSION] + 1
    row["days"] = min(info["day"], 6.0)
    row["churned"] = terminated
    row["diversity"], row["satiation"] = np.mean(spread), np.mean(full)
    row["trust"] = info["latent"]["trust"]
    row["repeated"] = again / (10 * row["slates"])
    return row, shown


class TestColumns:
    @pytest.mark.parametrize("name", ["similarity", "oracle"])
    def test_table_is_that_of_a_slow_loop_with_single_environments(self, world, item_vectors, scorer, evaluator, name):
        agent = GreedySimilarity(scorer) if name == "similarity" else MyopicOracle(world)
        table = evaluator.play(agent)
        assert list(table.columns) == ["user", *COLUMNS]
        found = [slow(world, item_vectors, agent, user) for user in evaluator.users]
        expected = pd.DataFrame([row for row, _ in found])[table.columns]
        for column in table.columns:
            np.testing.assert_allclose(
                table[column].astype(float), expected[column].astype(float), rtol=1e-6, err_msg=column
            )
        assert table["churned"].dtype == bool
        assert table["churned"].any()
        assert not table["churned"].all()
        assert (table["first_session_minutes"] < table["minutes"]).any()
        assert table["repeated"].max() > 0.1
        assert table.attrs["coverage"] == pytest.approx(len(set.union(*(shown for _, shown in found))) / 300)

    def test_diversity_of_alike_and_of_unlike_items(self, world):
        vectors = np.zeros((300, 16), np.float32)
        vectors[:, 0] = 2.0  # taken as directions
        users = held_out_users(world, "test", 3)
        alike = Evaluator(world, vectors, users, LUCK)
        np.testing.assert_allclose(alike.play(RandomSlate(world))["diversity"], 0.0, atol=1e-6)
        unlike = Evaluator(world, np.eye(300, dtype=np.float32), users, LUCK)
        np.testing.assert_allclose(unlike.play(RandomSlate(world))["diversity"], 1.0, atol=1e-6)

    def test_coverage_counts_the_items_ever_shown(self, world, item_vectors):
        class Fixed:
            name, privileged = "fixed", False

            def act(self, observation):
                return np.tile(np.arange(1, 11), (len(observation["candidates"]), 1))

        evaluator = Evaluator(world, item_vectors, held_out_users(world, "test", 5), LUCK)
        assert evaluator.play(Fixed()).attrs["coverage"] == pytest.approx(10 / 300)

    def test_repeated_counts_what_the_session_had_shown_before(self, world, evaluator):
        class Halves:
            """Five items that never change, and five empty slots; a copy in the same slate is none from before."""

            name, privileged = "halves", False

            def act(self, observation):
                return np.tile([1, 2, 3, 4, 4, 0, 0, 0, 0, 0], (len(observation["candidates"]), 1))

        table = evaluator.play(Halves())
        later = table["slates"] - table["sessions"]  # all but the first of each session
        assert (later > 0).any()
        np.testing.assert_allclose(table["repeated"], 0.5 * later / table["slates"])

    def test_repeated_is_0_for_what_is_fresh(self, remembering_setting):
        world, vectors = remembering_setting.world, remembering_setting.item_vectors
        evaluator = Evaluator(world, vectors, held_out_users(world, "validation", 10), LUCK)
        greedy = GreedySimilarity(remembering_setting.scorer)
        raw, fresh = (evaluator.play(agent)["repeated"] for agent in (greedy, make_fresh(greedy)))
        assert (raw > fresh).all()
        assert fresh.min() == 0.0

    def test_progress_ends_with_everyone(self, evaluator, scorer):
        seen = []
        evaluator.play(Popularity(scorer), seen.append)
        assert seen == sorted(seen)
        assert seen[-1] == 1.0

    def test_mean_minutes_is_the_mean_of_the_minutes(self, evaluator, scorer):
        assert evaluator.mean_minutes(Popularity(scorer)) == evaluator.play(Popularity(scorer))["minutes"].mean()

    def test_only_references_see_hidden_state(self, world, evaluator):
        seen = []

        class Looks(RandomSlate):
            def act(self, observation):
                seen.append("latent" in observation)
                return super().act(observation)

        evaluator.play(Looks(world))
        assert not any(seen)
        evaluator.play(Looks(world, privileged=True))
        assert seen[-1]

    def test_finished_users_are_not_asked_again(self, world, evaluator, scorer):
        counts = []

        class Counts(Popularity):
            def act(self, observation):
                counts.append(len(observation["candidates"]))
                return super().act(observation)

        table = evaluator.play(Counts(scorer))
        assert sum(counts) == table["slates"].sum()
        assert counts == sorted(counts, reverse=True)


class TestPlainFunctions:
    """A function of observations is an agent."""

    def test_it_scores_as_the_agent_whose_act_it_is(self, evaluator, scorer):
        agent = Popularity(scorer)
        expected = evaluator.play(agent)
        pd.testing.assert_frame_equal(evaluator.play(lambda observation: agent.act(observation)), expected)
        assert evaluator.mean_minutes(agent.act) == expected["minutes"].mean()

    def test_it_sees_nothing_hidden(self, evaluator):
        seen = set()

        def first(observation):
            seen.update(observation)
            return observation["candidates"][:, :10]

        evaluator.play(first)
        assert "candidates" in seen
        assert "latent" not in seen

    def test_it_is_collected_and_explored_with(self, world, item_vectors):
        def first(observation):
            return observation["candidates"][:, :10].astype(np.int64)

        users = np.arange(5)
        log = collect(make_env(world, 5, item_vectors), first, users, luck=3).log
        exploring = ExploringAgent(world, first, share=0.0)
        assert exploring.name == "first, 0% random"
        pd.testing.assert_frame_equal(collect(make_env(world, 5, item_vectors), exploring, users, luck=3).log, log)

    def test_what_is_no_agent_is_refused(self, evaluator):
        class NoName:
            def act(self, observation):
                return observation["candidates"][:, :10]

        for policy, message in (
            (Popularity, r"agent = Popularity is a class; give an agent made of it, such as Popularity\(\)"),
            (NoName(), "has act, but no name and no privileged; set name"),
            (7, "agent = 7 is no agent; give one with name, privileged and act, or a function"),
        ):
            with pytest.raises(ValueError, match=message):
                evaluator.play(policy)


WRONG = {
    "one slate for all": (
        lambda n: np.arange(1, 11),
        r"slates have shape \(10,\), expected \(users, slots\) = \(20, 10\)",
    ),
    "a number": (lambda n: 1, r"slates have shape \(\), expected"),
    "one slot": (lambda n: np.ones((n, 1), int), r"slates have shape \(20, 1\), expected"),
    "one row": (lambda n: np.ones((1, 10), int), r"slates have shape \(1, 10\), expected"),
    "nothing": (lambda n: None, r"slates have shape \(\), expected"),
    "rows of unequal length": (lambda n: [[1], [1, 2]], "shape"),
    "parts of numbers": (lambda n: np.full((n, 10), 1.9), "slates must be whole item numbers from 0 to 300, got 1.9"),
    "not a number": (lambda n: at_row_7(n, np.nan), "row 7 of 20: slates must be whole item numbers .*, got nan"),
    "infinite": (lambda n: at_row_7(n, -np.inf), "row 7 of 20: slates must be whole item numbers .*, got -inf"),
    "no such item": (
        lambda n: at_row_7(n, 301),
        r"row 7 of 20: item 301 in a slate is out of range; allowed: 0 .* to 300",
    ),
    "negative": (lambda n: at_row_7(n, -1).astype(int), "row 7 of 20: item -1 in a slate is out of range"),
    "truth values": (lambda n: np.ones((n, 10), bool), "slates must be whole item numbers"),
    "texts": (lambda n: [["a"] * 10] * n, "slates must be whole item numbers"),
}


def at_row_7(users, value):
    slates = np.tile(np.arange(1.0, 11.0), (users, 1))
    slates[7, 3] = value
    return slates


class TestRefusedSlates:
    """What the environment refuses is not scored: NumPy would spread or cut it to fit."""

    @pytest.mark.parametrize("wrong", WRONG)
    def test_the_error_names_agent_slate_and_session(self, evaluator, wrong):
        make, message = WRONG[wrong]

        class Wrong:
            name, privileged = "mine", False

            def act(self, observation):
                return make(len(observation["candidates"]))

        with pytest.raises(
            ValueError, match=rf"^agent 'mine', slate 0 of a life, session 0.*{message}.*; act must return"
        ):
            evaluator.play(Wrong())

    def test_every_way_of_playing_refuses_it(self, world, item_vectors, evaluator):
        def broadcast(observation):
            return np.arange(1, 11)

        env = make_env(world, 3, item_vectors)
        with pytest.raises(ValueError, match=r"agent 'broadcast', .*shape \(10,\)"):
            collect(env, broadcast, np.arange(3))
        with pytest.raises(ValueError, match=r"agent 'broadcast', .*shape \(10,\)"):
            collect(env, ExploringAgent(world, broadcast, share=0.5), np.arange(3))
        with pytest.raises(ValueError, match=r"slates have shape \(10,\)"):
            sum_life_minutes(
                make_life_env(world, item_vectors, 3), np.arange(3), 0, lambda seen, which: np.arange(1, 11)
            )
        planner = RolloutPlanner(world, item_vectors, MyopicOracle(world), [broadcast])
        with pytest.raises(ValueError, match=r"agent 'broadcast', .*shape \(10,\)"):
            Evaluator(world, item_vectors, evaluator.users[:2], LUCK).play(planner)

    def test_later_slates_say_whose_session_it_was(self, evaluator):
        """Only users of later sessions are shown an item that does not exist."""

        def late(observation):
            slates = observation["candidates"][:, :10].astype(np.int64)
            slates[observation["context"][:, ContextColumn.SESSION] == 2, 0] = 999
            return slates

        with pytest.raises(ValueError, match=r"agent 'late', slate \d+ of a life, session 2, row \d+ of \d+: item 999"):
            evaluator.play(late)

    def test_a_remembering_agent_is_checked_too(self, evaluator):
        class Short(Counts):
            def follow(self, observation, memory):
                slates, memory = super().follow(observation, memory)
                return slates[:1], memory

        with pytest.raises(ValueError, match=r"agent 'counts', slate 0 of a life, .*shape \(1, 10\)"):
            evaluator.play(Short())

    def test_whole_numbers_may_be_floats_as_in_the_environment(self, evaluator):
        expected = evaluator.play(lambda o: o["candidates"][:, :10].astype(np.int64))
        pd.testing.assert_frame_equal(evaluator.play(lambda o: o["candidates"][:, :10]), expected)


class TestSharedLuck:
    def test_same_users_and_luck_give_the_same_table(self, world, item_vectors, scorer, evaluator):
        first = evaluator.play(MMR(scorer, 0.5))
        evaluator.play(Popularity(scorer))  # nothing of one agent's run stays for the next
        pd.testing.assert_frame_equal(evaluator.play(MMR(scorer, 0.5)), first, check_exact=True)
        again = Evaluator(world, item_vectors, evaluator.users, LUCK)
        pd.testing.assert_frame_equal(again.play(MMR(scorer, 0.5)), first, check_exact=True)

    def test_two_names_for_one_rule_differ_by_exactly_nothing(self, evaluator, scorer):
        one = evaluator.play(GreedySimilarity(scorer))
        other = evaluator.play(GreedySimilarity(scorer, name="another name"))
        assert ((one["minutes"] - other["minutes"]) == 0.0).all()

    def test_other_luck_is_another_month(self, world, item_vectors, scorer, evaluator):
        other = Evaluator(world, item_vectors, evaluator.users, LUCK + 1)
        assert (other.play(Popularity(scorer))["minutes"] != evaluator.play(Popularity(scorer))["minutes"]).mean() > 0.5

    def test_luck_is_shared_as_long_as_slates_agree(self, evaluator, scorer):
        """Another policy's first slate meets the same first hour, candidates and history."""
        seen = []

        class Sees(Popularity):
            def act(self, observation):
                seen.append({key: value.copy() for key, value in observation.items()})
                return super().act(observation)

        evaluator.play(Sees(scorer))
        first = seen[0]
        seen.clear()
        evaluator.play(GreedySimilarity(scorer))
        evaluator.play(Sees(scorer))
        for key, value in first.items():
            np.testing.assert_array_equal(seen[0][key], value)

    @pytest.mark.parametrize("rule", ["similarity", "random", "catalogue", "MMR", "oracle", "PPO"])
    def test_users_in_pieces_give_the_same_rows(self, world, setting, item_vectors, scorer, evaluator, rule):
        agent = {
            "similarity": GreedySimilarity(scorer),
            "random": RandomCandidates(scorer),
            "catalogue": RandomSlate(world),
            "MMR": MMR(scorer, 0.3),
            "oracle": MyopicOracle(world),
            "PPO": trained(setting, "ppo", "weights")[1],
        }[rule]
        whole = evaluator.play(agent)
        for users in (evaluator.users[:7], evaluator.users[7:], evaluator.users[[12, 3]]):
            part = Evaluator(world, item_vectors, users, LUCK).play(agent)
            expected = whole[whole["user"].isin(users)].set_index("user").loc[users].reset_index()
            pd.testing.assert_frame_equal(part, expected, check_exact=True)


class TestManyUsers:
    """Who is left moves to ever smaller environments, and threads share the users: no life, and no sum, changes."""

    @pytest.fixture
    def many(self, remembering_setting):
        world = remembering_setting.world
        return Evaluator(world, remembering_setting.item_vectors, np.arange(150), LUCK)

    @pytest.mark.parametrize("name", ["fresh", "oracle", "counts"])
    def test_users_who_are_played_alone_give_the_same_rows(self, remembering_setting, many, name):
        world, vectors = remembering_setting.world, remembering_setting.item_vectors
        agent = {
            "fresh": make_fresh(MMR(remembering_setting.scorer, 0.5)),
            "oracle": MyopicOracle(world),  # reads the hidden state
            "counts": Counts(),  # remembers
        }[name]
        whole = many.play(agent)
        assert whole["slates"].max() > 4 * whole["slates"].median() or whole["slates"].nunique() > 20
        few = np.arange(0, 150, 15)  # too few to move
        part = Evaluator(world, vectors, few, LUCK).play(agent)
        pd.testing.assert_frame_equal(part, whole.loc[few].reset_index(drop=True), check_exact=True)

    @pytest.mark.parametrize("workers", [2, 3, 500])
    def test_any_number_of_threads_gives_the_same_table(self, remembering_setting, many, workers):
        agent = RandomCandidates(remembering_setting.scorer)
        alone, people, shares = many.play(agent), many.people, []
        world, vectors = remembering_setting.world, remembering_setting.item_vectors
        threads = Evaluator(world, vectors, many.users, LUCK, workers=workers)
        together = threads.play(agent, shares.append)
        pd.testing.assert_frame_equal(together, alone, check_exact=True)
        assert together.attrs == alone.attrs
        for field in ("id", "trust", "clock", "session", "entered", "evicted"):
            np.testing.assert_array_equal(threads.people[field], people[field])
        assert max(shares) == 1.0

    def test_an_error_of_one_thread_is_that_of_all(self, world, item_vectors):
        threads = Evaluator(world, item_vectors, np.arange(9), LUCK, workers=2)
        with pytest.raises(ValueError, match="agent 'wrong', slate 0 of a life"):
            threads.play(FunctionAgent(lambda observation: None, "wrong"))

    @pytest.mark.parametrize("workers", [0, -1, 1.5, "2"])
    def test_no_threads_are_refused(self, world, item_vectors, workers):
        with pytest.raises(ValueError, match=f"workers = {workers!r} must be a whole number from 1"):
            Evaluator(world, item_vectors, np.arange(9), LUCK, workers=workers)


class TestHeldOutUsers:
    def test_first_users_of_the_split(self, world):
        np.testing.assert_array_equal(held_out_users(world, "test", 3), [180, 181, 182])
        np.testing.assert_array_equal(held_out_users(world, "validation", 20), np.arange(160, 180))

    @pytest.mark.parametrize("count", [0, -4, 21])
    def test_more_than_there_are_is_refused(self, world, count):
        with pytest.raises(ValueError, match=f"users = {count} is out of range; the test split has 1 to 20"):
            held_out_users(world, "test", count)

    def test_sealed_users_are_the_last_half_where_impressions_leave_a_trace(self, world, remembering_world):
        np.testing.assert_array_equal(held_out_users(remembering_world, "test", 10), np.arange(180, 190))
        np.testing.assert_array_equal(held_out_users(remembering_world, "test", 3, sealed=True), [190, 191, 192])
        with pytest.raises(
            ValueError,
            match="users = 11 is out of range; the test split has 1 to 10 and 10 sealed ones, whom compare --sealed",
        ):
            held_out_users(remembering_world, "test", 11)
        with pytest.raises(ValueError, match=r"users = 11 is out of range; the test split has 1 to 10$"):
            held_out_users(remembering_world, "test", 11, sealed=True)
        with pytest.raises(ValueError, match="sealed = True with split = 'validation' in scenario 'video'"):
            held_out_users(remembering_world, "validation", 1, sealed=True)
        with pytest.raises(
            ValueError, match="sealed = True with split = 'test' in scenario 'video': sealed are the la"
        ):
            held_out_users(world, "test", 1, sealed=True)

    def test_sealed_users_are_played_when_they_are_unsealed(self, remembering_setting):
        world, vectors = remembering_setting.world, remembering_setting.item_vectors
        with pytest.raises(ValueError, match="users contains 190, who is sealed, as are 190 to 199; take others, or"):
            Evaluator(world, vectors, np.arange(188, 192), LUCK)
        agent = Popularity(remembering_setting.scorer)
        some = Evaluator(world, vectors, np.arange(188, 190), LUCK).play(agent)
        whole = Evaluator(world, vectors, np.arange(188, 192), LUCK, sealed=True).play(agent)
        pd.testing.assert_frame_equal(whole[:2], some)  # who is open lives the same

    def test_unknown_split_is_named(self, world):
        with pytest.raises(ValueError, match="split = 'tset' is unknown; allowed: 'train', 'validation', 'test'"):
            held_out_users(world, "tset", 1)

    def test_nobody_who_trains_is_evaluated(self, setting, world):
        env = make_training_env(tiny_run(setting, num_envs=32))
        met = set()
        _, info = env.reset(seed=0)
        for _ in range(60):
            met |= set(info["user"].tolist())
            *_, info = env.step(np.zeros((32, 10)))
        assert len(met) > 60
        assert not met & {*held_out_users(world, "validation", 20), *held_out_users(world, "test", 20)}


def test_rows_of_a_nested_observation():
    nested = {"a": np.arange(4), "b": {"c": np.arange(8).reshape(4, 2)}}
    picked = select_users(nested, np.array([True, False, False, True]))
    np.testing.assert_array_equal(picked["a"], [0, 3])
    np.testing.assert_array_equal(picked["b"]["c"], [[0, 1], [6, 7]])


def test_policy_is_played_without_exploration(setting, states):
    _, agent, _ = trained(setting, "ppo", "weights")
    assert isinstance(agent, SB3Agent)
    np.testing.assert_array_equal(agent.act(states[0]), agent.act(states[0]))


@pytest.mark.parametrize(
    ("users", "luck", "said"),
    [
        ([1.5], 0, r"users must be the whole numbers \(U,\) of users, at least one, got \[1.5\]"),
        ([], 0, "at least one"),
        ([[1, 2]], 0, r"whole numbers \(U,\)"),
        ([1, -2], 0, r"users contain -2; the world has 0 to"),
        ([10**9], 0, r"users contain 1000000000; the world has 0 to"),
        ([1], "x", "luck = 'x' must be a whole number from 0"),
        ([1], 1.5, "luck = 1.5 must be a whole number from 0"),
        ([1], -1, "luck = -1 must be a whole number from 0"),
    ],
)
def test_wrong_users_and_luck_are_named_at_once(world, item_vectors, users, luck, said):
    with pytest.raises(ValueError, match=said):
        Evaluator(world, item_vectors, users, luck)
