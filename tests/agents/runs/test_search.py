"""The search for settings: where it looks, what it proposes, what it prunes, and that it can be interrupted."""

import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from longplay.agents.registry import AGENTS
from longplay.agents.runs import search as searching
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.search import STARTUP, SettingsSearch, locate_trial, run_trial
from longplay.agents.runs.spaces import LOOKAHEAD, apply_proposal, locate, make_run_space, widen

TAKEN = [(agent, action) for agent, entry in AGENTS.items() for action in entry.actions]


def ends(where):
    """Values at the ends of a distribution, or all of few."""
    return where.choices if isinstance(where, CategoricalDistribution) else (where.low, where.high)


@pytest.mark.parametrize(("agent", "action"), TAKEN)
class TestSpace:
    def test_all_of_it_is_possible(self, agent, action):
        config = RunConfig(agent=agent, action=action)
        space = make_run_space(config)
        assert len(space) > 2
        for name, where in space.items():
            for value in ends(where):
                made = apply_proposal(config, {name: value})
                if name == LOOKAHEAD:
                    assert 0.0 < made.gamma < 1.0  # never the twin that only learns what pays now
                elif name.startswith("options."):
                    assert getattr(made.agent_options, name.removeprefix("options.")) == value

    def test_the_defaults_are_in_it(self, agent, action):
        config = RunConfig(agent=agent, action=action)
        values = locate(config, make_run_space(config))
        assert apply_proposal(config, values) == config
        for name, where in make_run_space(config).items():
            assert (
                values[name] in where.choices if hasattr(where, "choices") else where.low <= values[name] <= where.high
            )

    def test_a_discount_that_is_fixed_is_left_alone(self, agent, action):
        config = RunConfig(agent=agent, action=action, gamma=0.0)
        space = make_run_space(config, lookahead=False)
        assert LOOKAHEAD not in space
        assert apply_proposal(config, {name: ends(where)[0] for name, where in space.items()}).gamma == 0.0


class TestPlaces:
    def test_looking_ahead_is_a_discount(self):
        config = RunConfig(agent="slateq")
        assert apply_proposal(config, {LOOKAHEAD: 50.0}).gamma == 0.98
        assert locate(RunConfig(gamma=0.98), {LOOKAHEAD: None}) == {LOOKAHEAD: 50.0}

    def test_what_is_proposed_is_rounded(self):
        made = apply_proposal(RunConfig(agent="slateq"), {"options.polyak": 0.0123456})
        assert made.options == {"polyak": 0.0123}

    def test_other_options_stay(self):
        config = RunConfig(agent="slateq", options={"hidden": 16})
        assert apply_proposal(config, {"options.polyak": 0.5}).options == {"hidden": 16, "polyak": 0.5}
        assert apply_proposal(config, {"options.polyak": config.agent_options.polyak}).options == {"hidden": 16}

    def test_a_space_is_widened_to_where_it_sets_out(self):
        assert widen(FloatDistribution(1.0, 2.0), 3.0) == FloatDistribution(1.0, 3.0)
        assert widen(IntDistribution(2, 4), 1) == IntDistribution(1, 4)
        assert widen(CategoricalDistribution((1, 2)), 5) == CategoricalDistribution((1, 2, 5))
        assert widen(FloatDistribution(1.0, 2.0, log=True), 1.5) == FloatDistribution(1.0, 2.0, log=True)

    def test_what_is_searched_is_declared_at_the_options(self):
        names = list(make_run_space(RunConfig(agent="slateq")))
        assert names[:3] == [LOOKAHEAD, "options.learning_rate", "options.segment"]
        assert "options.hidden" not in names
        assert list(make_run_space(RunConfig(agent="sac"))) == [
            LOOKAHEAD,
            "learning_rate",
            "options.gradient_steps",
            "options.batch_size",
            "options.tau",
        ]

    def test_an_agent_that_knows_two_discounts_is_not_searched_over_more(self):
        names = list(make_run_space(RunConfig(agent="ars")))
        assert LOOKAHEAD not in names
        assert names[0] == "options.learning_rate"


@pytest.fixture
def begin(tmp_path):
    config = RunConfig(agent="slateq", steps=100, evals=4)

    def make(seed=0):
        return SettingsSearch(tmp_path / "study", config, make_run_space(config), seed)

    return make


@pytest.fixture
def trained(monkeypatch):
    """Trainings that take no time: evaluations of `curve`, whatever is trained; a list of what was asked for."""
    asked = []

    def prepare(*curve):
        def train(config, folder, resume, report):
            asked.append((config, folder.name, resume))
            for index, minutes in enumerate(curve):
                report({"step": 25.0 * index})
                report({"step": 25.0 * index, "minutes": minutes})
            return pd.DataFrame({"minutes": list(curve)})

        monkeypatch.setattr(searching, "train", train)
        return asked

    return prepare


def quiet(row):
    """Tell nobody."""


def one_trial(search, most=100, prune=True):
    number = search.next(most)
    minutes = run_trial(search.folder, number, search.propose(number), prune, quiet)
    search.tell(number, minutes)
    return number, minutes


class TestSearch:
    def test_the_first_trial_has_the_defaults(self, begin, trained):
        asked = trained(1.0, 3.0, 2.0, 2.5, 2.0)
        search = begin()
        assert one_trial(search) == (0, 3.0)
        assert asked == [(search.config, "trial-0000", False)]
        assert search.study.trials[0].intermediate_values == {0: 1.0, 1: 3.0, 2: 2.0, 3: 2.5, 4: 2.0}

    def test_there_are_no_more_than_asked_for(self, begin, trained):
        trained(1.0)
        search = begin()
        assert [one_trial(search, 3)[0] for _ in range(3)] == [0, 1, 2]
        assert search.next(3) is None
        assert search.next(4) == 3

    def test_an_interrupted_search_is_the_straight_one(self, begin, trained, tmp_path):
        trained(1.0, 2.0)
        straight = begin()
        for _ in range(4):
            one_trial(straight)
        wanted = [trial.params for trial in straight.study.trials]
        (tmp_path / "study").rename(tmp_path / "straight")
        for _ in range(2):
            one_trial(begin())  # each in a process of its own, as it were
        assert begin().next(4) == 2  # and interrupted
        for number in (2, 3):
            search = begin()
            assert one_trial(search)[0] == number
        assert [trial.params for trial in search.study.trials] == wanted

    def test_another_seed_proposes_something_else(self, begin, trained, tmp_path):
        trained(1.0)
        found = []
        for seed in (0, 1):
            search = begin(seed)
            one_trial(search)
            found.append(search.propose(one_trial(search)[0]))
            (tmp_path / "study").rename(tmp_path / f"seed-{seed}")
        assert found[0] != found[1]

    def test_those_that_fall_behind_are_pruned(self, begin, trained):
        search = begin()
        for _ in range(STARTUP):
            trained(1.0, 5.0, 6.0, 7.0, 8.0)
            one_trial(search)
        trained(1.0, 4.0, 100.0)  # below the median when a quarter is done
        number, minutes = one_trial(search)
        assert minutes is None
        trial = search.study.trials[number]
        assert trial.state == TrialState.PRUNED
        assert trial.intermediate_values == {0: 1.0, 1: 4.0}
        assert search.best().number == 0
        trained(0.5, 9.0, 9.0, 9.0, 9.0)  # no better before learning, which does not count
        assert one_trial(search)[1] == 9.0
        trained(1.0, 4.0, 4.0, 4.0, 4.0)
        assert one_trial(search, prune=False)[1] == 4.0

    def test_an_evaluation_done_again_is_reported_once(self, begin, trained):
        search = begin()
        number = search.next(1)
        trained(1.0, 2.0)
        run_trial(search.folder, number, search.propose(number), True, quiet)
        search.tell(number, run_trial(search.folder, number, search.propose(number), True, quiet))
        assert search.study.trials[0].intermediate_values == {0: 1.0, 1: 2.0}

    def test_an_interruption_leaves_the_trial_to_go_on_with(self, begin, trained):
        search = begin()
        number = search.next(1)
        trained(1.0, 2.0)

        def interrupt(row):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_trial(search.folder, number, search.propose(number), True, interrupt)
        assert begin().interrupted == [number]

    def test_a_checkpoint_of_the_same_run_is_gone_on_with(self, begin, trained):
        search = begin()
        asked, number = trained(1.0), search.next(1)
        folder = locate_trial(search.folder, number)
        folder.mkdir()
        (folder / "checkpoint.pt").write_bytes(b"begun")
        (folder / "config.json").write_text(search.config.to_json())
        run_trial(search.folder, number, search.config, True, quiet)
        run_trial(search.folder, number, RunConfig(agent="slateq", steps=100, evals=4, seed=1), True, quiet)
        assert [resume for _, _, resume in asked] == [True, False]
        search.tell(number, 1.0)
        assert not (folder / "checkpoint.pt").exists()  # which nobody needs any more

    def test_the_best_is_written_down(self, begin, trained):
        search = begin()
        for minutes in (5.0, 9.0, 9.0, 7.0):
            trained(minutes)
            one_trial(search)
        assert search.best().number == 1
        preset = search.make_preset("news", "python scripts/tune.py --name x")
        proposed = search.propose(1)
        assert RunConfig(agent="slateq", steps=100, evals=4, **preset.settings("news")) == proposed
        assert preset.settings("video") == {"options": {}}
        assert proposed.options

    def test_defaults_that_nothing_beats_need_no_settings(self, begin, trained):
        search = begin()
        for minutes in (9.0, 5.0):
            trained(minutes)
            one_trial(search)
        assert search.make_preset("video", "").tables == {"video": {}}

    def test_a_search_in_which_all_failed_says_so(self, begin):
        search = begin()
        search.fail(search.next(1))
        with pytest.raises(ValueError, match=r"no trial in .*study was completed; see the errors above, or give more"):
            search.best()
        assert optuna.logging.get_verbosity() == optuna.logging.WARNING
