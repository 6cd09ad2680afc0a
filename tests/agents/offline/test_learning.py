"""Learning from a log alone: losses by hand, small problems, and what is kept."""

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from longplay.agents.logs.propensities import PlackettLuce, find_columns, make_weighted_score
from longplay.agents.offline.agent import Critic, OfflineConfig, load_agent, make_critic, save_agent
from longplay.agents.offline.data import log_lives, read_log, write_log
from longplay.agents.offline.learning import learn
from longplay.agents.offline.losses import bootstrap, cloning_loss, conservative_loss, expectile_loss, weigh_advantage
from longplay.agents.offline.transitions import Transitions
from longplay.agents.rules.similarity import GreedySimilarity
from longplay.agents.runs.reading import Reading
from longplay.agents.slates.choice_losses import slate_value
from longplay.agents.slates.inputs import SlateInputs
from longplay.tests.agents.contracts import AgentContract

TINY = {"batch": 64, "hidden": 16, "match": 2, "learning_rate": 5e-3, "updates": 300}


class Mixture:
    """For half of the slates long items, for the other half short ones."""

    name, privileged = "mixture", False

    def __init__(self, scorer):
        self.sides = [PlackettLuce(make_weighted_score(scorer, {"length": w}), scorer.slots, 0.5) for w in (2.0, -2.0)]

    def act(self, observation):
        heads = np.array([zlib.crc32(context.tobytes()) % 2 == 0 for context in observation["context"]])
        return np.where(heads[:, None], *(side.act(observation) for side in self.sides))


@pytest.fixture(scope="module")
def inputs(setting, scorer):
    return SlateInputs(scorer, Reading(setting, "pooled").state_encoder)


@pytest.fixture(scope="module")
def cloned(world, item_vectors, scorer, inputs):
    """A deterministic rule's log, what was learned from it, and another log of the rule."""
    rule = GreedySimilarity(scorer)
    log = log_lives(world, item_vectors, rule, np.arange(120), 0, 8)
    unseen = log_lives(world, item_vectors, rule, np.arange(160, 200), 1, 8)
    return log, learn(log, inputs, OfflineConfig("bc", **TINY)), unseen


@pytest.fixture(scope="module")
def mixed(world, item_vectors, scorer):
    return log_lives(world, item_vectors, Mixture(scorer), np.arange(160), 0, 12)


class TestLosses:
    def test_cloning(self):
        assert cloning_loss(torch.tensor([-1.0, -3.0]), torch.tensor([1.0, 0.5])) == pytest.approx(1.25)

    def test_advantage_weight(self):
        found = weigh_advantage(torch.tensor([0.0, 0.5, -0.5, 9.0]), 2.0)
        np.testing.assert_allclose(found, [1.0, np.e, 1 / np.e, 100.0], rtol=1e-6)

    @pytest.mark.parametrize(("expectile", "loss"), [(0.5, 1.25), (0.7, (0.7 * 4 + 0.3) / 2), (0.9, 1.85)])
    def test_expectile(self, expectile, loss):
        assert expectile_loss(torch.tensor([2.0, -1.0]), expectile) == pytest.approx(loss)

    def test_the_minimum_is_the_expectile(self):
        """Of 0 and 1, that of τ is τ."""
        grid = torch.linspace(0, 1, 101)
        losses = [expectile_loss(torch.tensor([0.0, 1.0]) - v, 0.8) for v in grid]
        assert grid[int(torch.stack(losses).argmin())] == pytest.approx(0.8)

    def test_target_is_only_the_reward_after_the_last_slate_and_has_no_gradient(self):
        v = torch.tensor([4.0, 4.0], requires_grad=True)
        found = bootstrap(torch.tensor([1.0, 1.0]), torch.tensor([0.5, 0.0]), v)
        np.testing.assert_allclose(found, [3.0, 1.0])
        assert not found.requires_grad

    def test_conservative(self):
        """Candidates of values log 1, log 2, log 5 and none; shown the second, the third and nothing."""
        q = torch.log(torch.tensor([[1.0, 2.0, 5.0, 0.0]]))
        found = conservative_loss(q, torch.tensor([[1, 2, -1]]))
        assert found == pytest.approx(np.log(8) - np.log(10) / 2)


class TestCritic:
    def test_an_empty_slot_is_never_chosen(self, item_vectors):
        torch.manual_seed(0)
        vectors = np.concatenate([np.zeros((1, 16), np.float32), item_vectors])
        model = make_critic(OfflineConfig(hidden=4, match=2), 5, 3, vectors, slots=3)
        assert isinstance(model, Critic)
        ids = torch.tensor([[4, 7, 0, 9]])
        values = model(torch.ones(1, 5), torch.ones(1, 4, 3), ids)
        chances, q, q_nothing = model.judge_slates(values, torch.tensor([[1, 3, -1]]))
        assert chances[0, 2] == -torch.inf
        weights = torch.cat([values.attraction[0, [1, 3]], values.nothing]).exp()
        torch.testing.assert_close(chances[0, [0, 1, 3]].exp(), weights / weights.sum())
        assert torch.equal(q[0, :2], values.q[0, [1, 3]])
        assert torch.isfinite(slate_value(chances, q, q_nothing)).all()
        assert model.rank_items(values)[0, 2] == -torch.inf


class TestCloning:
    def test_reproduces_a_deterministic_rule_for_users_not_met(self, cloned):
        _, agent, unseen = cloned
        slates = agent.act(unseen.at(unseen.before))
        assert (slates[:, 0] == unseen.slates[:, 0]).mean() >= 0.95
        assert np.mean([len(set(a) & set(b)) for a, b in zip(slates, unseen.slates, strict=True)]) > 9.5

    def test_equal_logs_and_seeds_give_equal_policies_and_leave_chance_alone(self, cloned, inputs):
        log, _, unseen = cloned
        torch.manual_seed(5)
        expected = torch.rand(1)
        torch.manual_seed(5)
        short = OfflineConfig("bc", **TINY | {"updates": 5})
        one, two, other = (learn(log, inputs, replace(short, seed=seed)) for seed in (0, 0, 1))
        assert torch.equal(torch.rand(1), expected)
        observation = unseen.at(np.arange(30))
        np.testing.assert_array_equal(one.score(observation), two.score(observation))
        assert (one.score(observation) != other.score(observation)).any()

    def test_reports_its_losses(self, cloned, inputs):
        told = []
        config = OfflineConfig("bc", **TINY | {"updates": 40})
        learn(cloned[0], inputs, config, lambda number, losses: told.append((number, losses["policy"])))
        assert [number for number, _ in told] == list(range(2, 41, 2))
        assert told[-1][1] < told[0][1]


class TestClonedAgent(AgentContract):
    @pytest.fixture
    def subject(self, cloned):
        return cloned[1]

    @pytest.fixture
    def observation(self, states):
        return states[0]


class TestConservativeAgent(AgentContract):
    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, mixed, inputs):
        return learn(mixed, inputs, OfflineConfig("cql", **TINY | {"updates": 20}))

    @pytest.fixture
    def observation(self, states):
        return states[0]


class TestFromMixedBehaviour:
    """Half of the slates are good, half bad: whoever weighs them does better than whoever copies them."""

    @pytest.fixture(scope="class")
    @classmethod
    def lengths(cls, mixed, inputs, scorer):
        """Mean logarithm of the minutes of the items in the first slates, which pay in proportion."""
        observation = mixed.at(mixed.before[mixed.panel(1)[0][:, 0]])

        def played(**options):
            slates = learn(mixed, inputs, OfflineConfig(**TINY | {"updates": 150}, **options)).act(observation)
            return float(scorer.static[slates, 2].mean())

        return {
            "logged": float(scorer.static[mixed.slates, 2].mean()),
            "bc": played(agent="bc"),
            "iql": played(agent="iql", inverse_temperature=20.0),
            "iql without looking ahead": played(agent="iql", inverse_temperature=20.0, gamma=0.0),
            "cql": played(agent="cql"),
        }

    @pytest.mark.parametrize("name", ["iql", "iql without looking ahead", "cql"])
    def test_values_beat_cloning(self, lengths, name):
        assert lengths[name] > lengths["bc"] + 0.05, lengths

    def test_without_preference_it_is_cloning(self, mixed, inputs):
        observation = mixed.at(np.arange(20))
        config = OfflineConfig("iql", inverse_temperature=0.0, **TINY | {"updates": 1, "learning_rate": 1e-8})
        clone = learn(mixed, inputs, replace(config, agent="bc"))
        np.testing.assert_allclose(learn(mixed, inputs, config).score(observation), clone.score(observation), atol=2e-4)


class TestTransitions:
    def test_hold_what_happened(self, mixed, inputs):
        data = Transitions(mixed, inputs)
        rows = torch.tensor([0, int(mixed.steps[0]) - 1, int(mixed.steps[0]), len(mixed.slates) - 1])
        batch = data.select_batch(rows, 0.9)
        for b, row in enumerate(rows.tolist()):
            now = mixed.at(mixed.before[[row]])
            np.testing.assert_array_equal(batch.now[2][b], now["candidates"][0])
            np.testing.assert_array_equal(batch.columns[b], find_columns(now["candidates"], mixed.slates[[row]])[0])
            np.testing.assert_array_equal(batch.then[2][b], mixed.observations["candidates"][mixed.before[row] + 1])
            assert batch.reward[b] == pytest.approx(0.1 * mixed.minutes[row])
            assert batch.discount[b] == pytest.approx(0.0 if mixed.churned[row] else 0.9)

    def test_who_left_for_good_is_worth_nothing_then_and_the_horizon_says_nothing(self, mixed, inputs):
        found = Transitions(mixed, inputs).select_batch(torch.arange(len(mixed.slates)), 0.5).discount.numpy()
        assert mixed.churned.any()
        assert mixed.cut.any()
        np.testing.assert_array_equal(found, np.where(mixed.churned, 0.0, 0.5))


class TestLog:
    def test_slots_chosen_are_those_that_paid(self, mixed):
        assert ((mixed.choice >= 0) == (mixed.minutes > 0)).all()
        latest = mixed.observations["history_ids"][mixed.before + 1, 0]
        paid = mixed.choice >= 0
        np.testing.assert_array_equal(mixed.slates[paid, mixed.choice[paid]], latest[paid])

    def test_lives_are_cut_or_end(self, mixed):
        assert mixed.steps.max() == 12
        assert mixed.steps.sum() == len(mixed.slates)
        last = np.cumsum(mixed.steps) - 1
        assert (mixed.churned | mixed.cut)[last].all()
        assert (mixed.churned | mixed.cut).sum() == len(last)
        assert not (mixed.churned & mixed.cut).any()
        assert len(mixed.observations["context"]) == len(mixed.slates) + len(mixed.steps)

    def test_pieces_make_no_difference(self, world, item_vectors, scorer, monkeypatch):
        policy = PlackettLuce(make_weighted_score(scorer, {"rating": 1.0}), scorer.slots)
        whole = log_lives(world, item_vectors, policy, np.arange(20), 2, 4)
        monkeypatch.setattr("longplay.agents.offline.data.CHUNK", 7)
        pieces = log_lives(world, item_vectors, policy, np.arange(20), 2, 4)
        np.testing.assert_array_equal(whole.slates, pieces.slates)
        np.testing.assert_allclose(whole.log_propensities, pieces.log_propensities)

    def test_is_read_as_it_was_written(self, setting, world, item_vectors, scorer, tmp_path):
        policy = PlackettLuce(make_weighted_score(scorer, {"rating": 1.0}), scorer.slots)
        log = log_lives(world, item_vectors, policy, np.array([4, 2, 9]), 2)
        assert log.log_propensities.shape == log.slates.shape
        write_log(tmp_path / "x", log, setting, "soft", 2)
        found = read_log(tmp_path / "x")
        for name in ("slates", "minutes", "churned", "cut", "user", "steps", "log_propensities"):
            np.testing.assert_array_equal(getattr(found, name), getattr(log, name))
        for key, values in log.observations.items():
            np.testing.assert_array_equal(found.observations[key], values)

    def test_refusals(self, setting, world, item_vectors, scorer, mixed, tmp_path):
        with pytest.raises(ValueError, match="has no dataset 'longplay/slates-v0'"):
            read_log(tmp_path)
        with pytest.raises(ValueError, match="slates = 0 must be at least 1"):
            log_lives(world, item_vectors, Mixture(scorer), np.arange(2), 0, 0)
        wrong = replace(log_lives(world, item_vectors, Mixture(scorer), np.arange(2), 0, 2))
        write_log(tmp_path / "x", replace(wrong, log_propensities=np.zeros((9, 10))), setting, "soft", 2)
        with pytest.raises(ValueError, match=r"is of shape \(9, 10\), the slates are"):
            read_log(tmp_path / "x")


class TestKept:
    @pytest.mark.parametrize("agent", ["bc", "iql", "cql"])
    def test_plays_the_same_when_read_again(self, mixed, inputs, tmp_path, agent):
        learned = learn(mixed, inputs, OfflineConfig(agent, gamma=0.5, **TINY | {"updates": 2}))
        save_agent(learned, tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"policy.json", "policy.safetensors"}
        found = load_agent(tmp_path, inputs)
        assert found.config == learned.config
        assert found.name == {"bc": "BC"}.get(agent, f"{agent.upper()} γ=0.5")
        observation = mixed.at(np.arange(20))
        np.testing.assert_array_equal(found.act(observation), learned.act(observation))
        assert not any("vectors" in name for name in load_file(tmp_path / "policy.safetensors"))

    def test_refusals(self, cloned, inputs, scorer, setting, tmp_path):
        with pytest.raises(ValueError, match="has no policy learned from a log"):
            load_agent(tmp_path, inputs)
        save_agent(cloned[1], tmp_path)
        with pytest.raises(ValueError, match="was learned on inputs"):
            load_agent(tmp_path, SlateInputs(scorer, Reading(setting, "mean").state_encoder))
        about = json.loads((tmp_path / "policy.json").read_text(encoding="utf-8"))
        about["config"]["hidden"] = 8
        (tmp_path / "policy.json").write_text(json.dumps(about), encoding="utf-8")
        with pytest.raises(ValueError, match="holds weights of another shape"):
            load_agent(tmp_path, inputs)


class TestConfig:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"agent": "icql"}, r"agent = 'icql' is unknown \(did you mean '(iql|cql)'\?\); allowed: 'bc', 'iql'"),
            ({"gamma": 1.1}, "gamma = 1.1 is out of range; allowed: 0 to 1"),
            ({"expectile": 1.0}, "expectile = 1.0 is out of range; allowed: 0.5 to 0.999"),
            ({"updates": 0}, "updates = 0 is out of range; allowed: 1 to"),
        ],
    )
    def test_refusals(self, options, said):
        with pytest.raises(ValueError, match=said):
            OfflineConfig(**options)
