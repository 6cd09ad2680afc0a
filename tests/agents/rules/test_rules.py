"""Every rule of the registry: an agent, built from its options; what the rules of a setting share."""

import subprocess
import sys

import numpy as np
import pytest

from longplay.agents.base import Agent, Remembering
from longplay.agents.fresh import Fresh, withdraw_shown
from longplay.agents.logs.collect import collect, make_env
from longplay.agents.options import make_space
from longplay.agents.references.features import FEATURES
from longplay.agents.references.linear import LinearOracle
from longplay.agents.registry import REFERENCES, RULES
from longplay.agents.rules.bandits.linear import WARM_UP, BanditModel, BanditOptions, BanditRuleOptions, LinearBandit
from longplay.agents.rules.bandits.personal import PersonalOptions
from longplay.agents.rules.context import RuleModels
from longplay.agents.rules.diversity import MMR, MMROptions
from longplay.agents.rules.encoded import EncoderModel, EncoderOptions, InteractionLog
from longplay.agents.rules.fatigue import FatigueAware, FatigueOptions
from longplay.agents.rules.minutes import MinutesModel
from longplay.agents.rules.ranking import score_by_similarity
from longplay.agents.rules.similarity import GreedySimilarity
from longplay.agents.rules.topics import CapOptions
from longplay.agents.rules.tuning import QUICK, TunedRule, check_rules, is_always_fresh, list_quick_rules
from longplay.encoders.data.splits import hold_back
from longplay.encoders.registry import ENCODERS
from longplay.envs.shared.options import Options
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.agents.small import find_repeats

BANDITS = ("linucb", "lints", "personal-linucb", "personal-lints")
WIDE = {"static-cap": {"cap": 8}}  # so that candidates never run out under it


@pytest.fixture(scope="module")
def context(setting):
    return RuleModels(setting, logged_steps=3, log_users=40)


@pytest.fixture(scope="module")
def traced_context(remembering_setting):
    return RuleModels(remembering_setting, logged_steps=3, log_users=40)


class RuleContract(AgentContract):
    rule = ""

    @pytest.fixture
    def shared(self, context):
        return context

    @pytest.fixture
    def observation(self, states):
        return states[0]

    @pytest.fixture
    def subject(self, shared):
        rule = RULES[self.rule]
        return rule.make(shared, rule.choose_options(shared.setting.world)(**WIDE.get(self.rule, {})))

    def test_it_is_named_as_in_tables(self, subject):
        assert subject.name == RULES[self.rule].title

    def test_its_defaults_are_in_its_space(self, shared):
        options = RULES[self.rule].choose_options(shared.setting.world)
        space = make_space(options)
        assert set(space) == set(vars(options()))
        for name, distribution in space.items():
            assert distribution._contains(distribution.to_internal_repr(getattr(options(), name)))

    def test_its_note_tells_every_option(self):
        rule = RULES[self.rule]
        for name in make_space(rule.options):
            assert f"{{{name}" in rule.note


class FreshContract(RuleContract):
    """What the same rules keep to where the environment says what it has shown, and they are fresh by default."""

    avoids_history = False  # shows it before what the session has shown

    @pytest.fixture
    def shared(self, traced_context):
        return traced_context

    @pytest.fixture
    def observation(self, remembering_states):
        return remembering_states[0]

    def test_it_shows_nothing_twice_in_a_session_while_there_is_enough(self, subject, remembering_setting):
        slates = find_repeats(remembering_setting.world, remembering_setting.item_vectors, subject)
        assert not slates[slates[:, 0] >= self.slots, 1].any()
        assert len(slates) > 50

    def test_it_remembers_its_users_as_it_does_elsewhere(self, subject, traced_context):
        rule = RULES[self.rule]
        raw = rule.build(traced_context, rule.options())
        assert isinstance(subject, Remembering) == isinstance(raw, Remembering)

    def test_its_note_says_so(self, subject, traced_context):
        rule = RULES[self.rule]
        tuned = TunedRule(self.rule, rule.choose_options(traced_context.setting.world)())
        assert tuned.note.endswith("fresh")
        if rule.fresh == "asked":
            raw = TunedRule(self.rule, rule.options())
            assert f"{raw.note}, fresh".removeprefix(", ") == tuned.note
            assert raw.build(traced_context).name == subject.name
            assert not isinstance(raw.build(traced_context), Fresh)


class TestRandom(RuleContract):
    rule = "random"
    whole_catalogue = True
    avoids_history = False


for _name, _rule in RULES.items():  # classes for each, so that each keeps the whole contract
    _words, _class = {"rule": _name, "__module__": __name__}, _name.title().replace("-", "")
    if _rule.fresh != "always" and _name != "random":
        globals()[f"Test{_class}"] = type(f"Test{_class}", (RuleContract,), _words)
    if _rule.fresh != "never":
        globals()[f"TestFresh{_class}"] = type(f"TestFresh{_class}", (FreshContract,), _words)


class TestRegistry:
    def test_titles_tell_rules_apart_and_each_is_described(self):
        assert len({rule.title for rule in RULES.values()}) == len(RULES)
        assert all(rule.about for rule in RULES.values())

    def test_quick_rules_need_no_encoder_and_no_bandit(self):
        assert set(RULES) - set(QUICK) == {*BANDITS, *(name for name in RULES if name in ENCODERS)}

    def test_rules_that_are_always_fresh_are_offered_where_it_is_said_what_was_shown(self, world, remembering_world):
        always = {"similarity-fresh", "minutes-rating", "longest"}
        assert {name for name in RULES if is_always_fresh(name)} == always
        assert list_quick_rules(remembering_world) == QUICK
        assert len(QUICK) == 14
        assert list_quick_rules(world) == tuple(name for name in QUICK if name not in always)
        check_rules(QUICK, remembering_world)
        check_rules(list_quick_rules(world), world)
        for name in always:
            with pytest.raises(ValueError, match=f"rules = '{name}' shows nothing twice in a session, but scenario"):
                check_rules(("mmr", name), world, "rules")
        with pytest.raises(ValueError, match=r"names = 'mnr' is unknown \(did you mean 'mmr'\?\)"):
            check_rules(("mnr",), remembering_world)

    def test_the_option_is_there_where_it_is_said_what_was_shown(self, world, remembering_world):
        mmr = RULES["mmr"]
        assert mmr.choose_options(world) is MMROptions
        kind = mmr.choose_options(remembering_world)
        assert kind is mmr.choose_options(remembering_world)
        assert vars(kind()) == {"trade_off": 0.5, "fresh": True}
        assert list(make_space(kind)) == ["trade_off", "fresh"]
        with pytest.raises(ValueError, match="fresh = 1 must be True or False"):
            kind(fresh=1)
        for name in ("random", "similarity", "similarity-fresh"):
            assert RULES[name].choose_options(remembering_world) is Options

    def test_fresh_where_nothing_is_said_of_what_was_shown_is_refused_when_built(self, context):
        mmr = RULES["mmr"]
        with pytest.raises(ValueError, match="MMR shows nothing twice in a session, but scenario 'video' does not say"):
            mmr.make(context, mmr.fresh_options())
        assert isinstance(mmr.make(context, mmr.fresh_options(fresh=False)), MMR)
        with pytest.raises(ValueError, match=r"greedy minutes \+ rating shows nothing twice"):
            RULES["minutes-rating"].make(context, RULES["minutes-rating"].options())

    def test_raw_and_fresh_similarity_differ_in_that_alone(self, traced_context, remembering_states):
        raw, fresh = (RULES[name].make(traced_context, Options()) for name in ("similarity", "similarity-fresh"))
        assert isinstance(raw, GreedySimilarity)
        assert (raw.name, fresh.name) == ("greedy similarity", "greedy similarity, fresh")
        seen = remembering_states[0]
        np.testing.assert_array_equal(fresh.act(seen), raw.act(withdraw_shown(seen)))
        assert (fresh.act(seen) != raw.act(seen)).any()

    def test_options_reach_the_agent(self, context):
        fatigue = RULES["fatigue"].build(context, FatigueOptions(tau=1.5, alpha=2.0, variety=0.7, on="similarity"))
        assert isinstance(fatigue, FatigueAware)
        assert (fatigue.tau, fatigue.alpha, fatigue.variety) == (1.5, 2.0, 0.7)
        assert RULES["als"].build(context, EncoderOptions(cap=3)).cap == 3
        options = PersonalOptions(alpha=0.3, play_alpha=0.2, prior_slots=70.0)
        bandit = RULES["personal-lints"].build(context, options)
        assert bandit.options == BanditOptions("thompson", alpha=0.3, play_alpha=0.2, prior_slots=70.0)

    def test_the_score_is_the_one_named(self, context, states):
        caps = [RULES["static-cap"].build(context, CapOptions(cap=2, on=on)) for on in ("similarity", "minutes")]
        expected = score_by_similarity(context.scorer)(states[0]), context.get(MinutesModel()).score(states[0])
        for cap, scores in zip(caps, expected, strict=True):
            np.testing.assert_array_equal(cap.score(states[0]), scores)

    def test_what_has_to_be_fitted(self):
        assert RULES["similarity"].needs(Options()) is None
        assert RULES["minutes"].needs(Options()) == MinutesModel()
        assert RULES["static-cap"].needs(CapOptions(on="minutes")) == MinutesModel()
        assert RULES["static-cap"].needs(CapOptions(on="similarity")) is None
        assert RULES["als"].needs(EncoderOptions()) == EncoderModel("als")
        keys = [RULES[name].needs(BanditRuleOptions(alpha=0.3)) for name in BANDITS]
        assert keys == [BanditModel(method, 0.3) for method in ("ucb", "thompson", "ucb", "thompson")]

    def test_options_in_words(self):
        assert TunedRule("static-cap", CapOptions(cap=3)).note == "at most 3 per topic on predicted minutes"
        assert TunedRule("static-cap", CapOptions(on="similarity")).note == "at most 2 per topic on similarity"
        assert TunedRule("mmr", MMROptions(trade_off=0.7)).note == "λ = 0.7"
        assert TunedRule("popularity", Options()).note == ""

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda: MMROptions(trade_off=1.5), "trade_off = 1.5 is out of range; allowed: 0 to 1"),
            (lambda: MMROptions(trade_off=float("nan")), "trade_off = nan is out of range"),
            (lambda: CapOptions(cap=0), "cap = 0 is out of range; allowed: 1 to 10"),
            (lambda: CapOptions(cap=2.5), "cap = 2.5 must be a whole number, 1 to 10"),
            (lambda: CapOptions(on="length"), "on = 'length' is unknown; allowed: 'similarity', 'minutes'"),
        ],
    )
    def test_options_out_of_range_are_refused(self, make, words):
        with pytest.raises(ValueError, match=words):
            make()

    def test_references_read_hidden_state(self, setting):
        for reference in REFERENCES.values():
            agent = reference.build(setting.world)
            assert isinstance(agent, Agent)
            assert agent.privileged == (agent.name != "items oracle")  # which reads that of the items alone
            assert agent.name == reference.title
            assert isinstance(agent, reference.kind)

    def test_the_linear_reference_has_the_weights_of_a_file_or_none(self, setting, tmp_path):
        assert not REFERENCES["linear"].build(setting.world).weights.any()
        weights = np.linspace(-1.0, 1.0, len(FEATURES))
        LinearOracle(setting.world, weights).save(tmp_path / "weights.json")
        np.testing.assert_array_equal(
            REFERENCES["linear"].load(tmp_path / "weights.json", setting.world).weights, weights
        )


class TestRuleModels:
    def test_a_bandit_learns_once_from_training_users(self, setting, monkeypatch):
        met = []
        learn = LinearBandit.learn

        def watched(self, env, steps, seed):
            assert set(env.reset(seed=0)[1]["user"]) <= set(setting.world.split("train"))
            met.append((env.num_envs, steps, seed))
            return learn(self, env, steps, seed)

        monkeypatch.setattr(LinearBandit, "learn", watched)
        context = RuleModels(setting, logged_steps=3, seed=5)
        assert context.get(BanditModel("ucb", 1.0)) is context.get(BanditModel("ucb", 1.0))
        assert met == [(256, WARM_UP + 3, 5)]
        assert context.get(BanditModel("ucb", 1.0)).slots_learned == pytest.approx(256 * 3 * 10)
        assert context.get(BanditModel("ucb", 0.3)) is not context.get(BanditModel("ucb", 1.0))

    def test_parts_are_made_once_and_said(self, setting):
        said = []
        context = RuleModels(setting, said.append, logged_steps=2, log_users=20)
        assert context.get(MinutesModel()) is context.get(MinutesModel())
        assert context.get(EncoderModel("als")) is context.get(EncoderModel("als"))
        assert said[0].startswith("fitting predicted minutes")
        assert said[1] == "collecting interactions: 0 of 20 users"
        assert said[2].startswith("fitting als on ")
        assert len(said) == 3

    def test_the_log_is_of_training_users_alone(self, setting, context):
        train = setting.world.split("train")
        log = context.get(InteractionLog())
        assert log.items == len(setting.world.catalog)
        assert {int(user) for user in log.user_ids} <= set(train)
        assert log.users == 40
        assert log.consumed.sum() > 250

    def test_more_log_users_than_there_are_is_all(self, setting):
        train = setting.world.split("train")
        assert RuleModels(setting, log_users=10**6).get(InteractionLog()).users == len(train)

    def test_lives_follow_one_another_and_the_past_is_told_once(self, setting):
        one, two = (RuleModels(setting, log_users=20, log_lives=lives).get(InteractionLog()) for lives in (1, 2))
        first = two.time <= one.time.max()
        np.testing.assert_array_equal(np.sort(two.time[first]), np.sort(one.time))
        again = np.sort(two.time[~first]) - setting.world.scenario.params.horizon_days
        assert 0.1 < len(again) / len(one.time) < 0.5  # without the past, eight items each
        assert len(np.intersect1d(again.round(6), one.time.round(6))) < len(again) / 2  # other luck
        train, _ = hold_back(two)
        assert train.time.max() > one.time.max()  # a fit sees the second life

    def test_equal_contexts_fit_equal_encoders(self, setting, context, states):
        again = RuleModels(setting, logged_steps=3, log_users=40)
        assert again.get(InteractionLog()).digest == context.get(InteractionLog()).digest
        for key in (EncoderModel("als"), MinutesModel()):
            np.testing.assert_array_equal(again.get(key).score(states[0]), context.get(key).score(states[0]))

    def test_the_log_is_of_slates_half_of_them_random(self, setting, context):
        """Random slates show far more of the catalogue than greedy similarity does."""
        users = list(setting.world.split("train"))[:40]
        greedy = RULES["similarity"].build(context, Options())
        alone = collect(make_env(setting.world, 40, setting.item_vectors), greedy, users, 0)
        shown = (
            alone.log[alone.log["position"] >= 0]
            .groupby("user")["item"]
            .agg(lambda items: items.nunique() / len(items))
        )
        log = context.get(InteractionLog())
        mixed = np.array([len(set(log.item[log.user == u])) / (log.user == u).sum() for u in range(40)])
        assert mixed.mean() > 1.2 * shown.mean()


def test_a_rule_is_found_and_built_without_torch():
    """In a process of its own; `scorer` and the like are not asked for before the rule acts."""
    code = (
        "import sys; from longplay.agents.registry import RULES; from types import SimpleNamespace as N; "
        "rule = RULES['mmr']; rule.build(N(scorer=None), rule.options()); RULES['fatigue']; "
        "from longplay.agents.rules.tuning import QUICK; assert 'mmr' in QUICK; "
        "assert 'torch' not in sys.modules, 'torch'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
