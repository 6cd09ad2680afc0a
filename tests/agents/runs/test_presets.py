"""Chosen settings on disk, and the options that they and command lines give to agents."""

import inspect
import re
from dataclasses import asdict, fields, replace

import pytest

from longplay.agents.registry import AGENTS
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.presets import SHIPPED, Preset, configure_run, find_preset, read_preset, write_preset
from longplay.agents.sb3.entry import POLICY_OPTIONS, SB3Entry
from longplay.agents.sb3.options import PPOOptions
from longplay.envs.named.registry import ENVIRONMENTS
from longplay.envs.shared.options import KEY, find_changes, make_options, show_number

TEXT = """
agent = "slateq"
command = "python scripts/tune.py --name x"

[all]
gamma = 0.9
[all.options]
polyak = 0.05
epochs = 2

[news]
gamma = 0.5
num_envs = 64
[news.options]
polyak = 0.5
"""
ALGORITHMS = {name: entry for name, entry in AGENTS.items() if isinstance(entry, SB3Entry)}
TAKEN = [(agent, action) for agent, entry in ALGORITHMS.items() for action in entry.actions]
RANGES = [
    (entry.options, field.name, field.metadata[KEY].low, field.metadata[KEY].high)
    for entry in AGENTS.values()
    for field in fields(entry.options)
    if KEY in field.metadata and not field.metadata[KEY].words
]


@pytest.fixture
def write(tmp_path):
    def make(text=TEXT, name="slateq.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return make


class TestReading:
    def test_a_scenario_overrides_what_holds_everywhere(self, write):
        preset = read_preset(write())
        assert preset.agent == "slateq"
        assert preset.action == "items"
        assert preset.command == "python scripts/tune.py --name x"
        assert preset.settings("video") == {"gamma": 0.9, "options": {"polyak": 0.05, "epochs": 2}}
        assert preset.settings("news") == {"gamma": 0.5, "num_envs": 64, "options": {"polyak": 0.5, "epochs": 2}}

    def test_what_is_written_is_read_back(self, write, tmp_path):
        preset = read_preset(write())
        write_preset(preset, tmp_path / "again.toml")
        assert read_preset(tmp_path / "again.toml") == preset

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ('agent = "slateq"', 'agent = "slateg"', r"agent = 'slateg' is unknown \(did you mean 'slateq'\?\)"),
            ('agent = "slateq"', "", "does not say whose settings it has; add"),
            ("command =", "comand =", r"key = 'comand' is unknown \(did you mean 'command'\?\)"),
            ("[all]", "[al]", r"table = 'al' is unknown \(did you mean 'all'\?\)"),
            ("[news]", "[newz]", r"table = 'newz' is unknown \(did you mean 'news'\?\); allowed: 'all', 'control'"),
            ("gamma = 0.5", "gama = 0.5", r"\[news\] .* setting = 'gama' is unknown \(did you mean 'gamma'\?\)"),
            (
                "gamma = 0.5",
                "steps = 5",
                r"setting = 'steps' is unknown; allowed: 'gamma', 'learning_rate', 'num_envs'",
            ),
            ("gamma = 0.5", "gamma = 1.5", r"\[news\] .* gamma = 1\.5 is out of range; allowed: 0 to 1"),
            ("gamma = 0.5", "gamma = 'half'", "gamma = 'half' must be a number"),
            ("num_envs = 64", "num_envs = 6.4", r"num_envs = 6\.4 must be a whole number"),
            ("polyak = 0.5", "polyac = 0.5", r"\[news\] .* name = 'polyac' is unknown \(did you mean 'polyak'\?\)"),
            ("polyak = 0.5", "polyak = 7", "polyak = 7 is out of range"),
            ("polyak = 0.5", "polyak = true", "polyak = True must be a number, 1e-06 to 1"),
            ("[news.options]", "[news.options", "cannot be read as settings"),
        ],
    )
    def test_what_is_not_possible_is_named(self, write, old, new, said):
        assert old in TEXT
        with pytest.raises(ValueError, match=f"slateq.toml.*{said}"):
            read_preset(write(TEXT.replace(old, new)))

    def test_files_that_come_with_the_package_can_be_read(self):
        assert (SHIPPED / "__init__.py").is_file()
        for path in SHIPPED.glob("*.toml"):
            preset = read_preset(path)
            assert preset.command.startswith("python scripts/"), path
            assert find_preset("default", preset.agent, preset.action) == preset, path


class TestFinding:
    def test_the_default_is_found_by_agent_and_action(self, write, tmp_path):
        write()
        write('agent = "ppo"\n[all]\ngamma = 0.7\n', "ppo-weights.toml")
        assert find_preset("default", "slateq", "items", tmp_path).settings("shop")["gamma"] == 0.9
        assert find_preset("default", "ppo", "weights", tmp_path).settings("shop")["gamma"] == 0.7
        assert find_preset("default", "ppo", "query", tmp_path) is None
        assert find_preset("none", "slateq", "items", tmp_path) is None

    def test_a_file_that_does_not_exist_is_named(self):
        with pytest.raises(ValueError, match=r"preset = 'missing.toml' is no file; give a TOML file, 'default' or"):
            find_preset("missing.toml", "slateq", "items")

    def test_settings_of_another_agent_are_refused(self, write):
        with pytest.raises(ValueError, match="is of 'slateq' with 'items', not of 'ppo' with 'weights'"):
            find_preset(str(write()), "ppo", "weights")

    def test_a_run_is_configured_for_its_environment(self, write, tmp_path):
        write()
        video = configure_run("slateq", "", "longplay/Video-v0", "default", tmp_path)
        news = configure_run("slateq", "", "longplay/News-v0", "default", tmp_path)
        assert (video.gamma, video.options, video.num_envs) == (0.9, {"polyak": 0.05, "epochs": 2}, 256)
        assert (news.gamma, news.options, news.num_envs) == (0.5, {"polyak": 0.5, "epochs": 2}, 64)
        assert configure_run("slateq", "", "longplay/Video-v0", "none", tmp_path) == RunConfig(agent="slateq")

    def test_a_named_file_without_a_table_for_the_environment_is_refused(self, write, tmp_path):
        path = write('agent = "slateq"\n[shop]\ngamma = 0.7\n[news]\ngamma = 0.6\n')
        said = r"has \[shop\], \[news\], and nothing for longplay/Video-v0; add \[all\] or \[video\]"
        with pytest.raises(ValueError, match=said):
            configure_run("slateq", "", "longplay/Video-v0", str(path))
        assert configure_run("slateq", "", "longplay/News-v0", str(path)).gamma == 0.6
        assert configure_run("slateq", "", "longplay/Video-v0", "default", tmp_path) == RunConfig(agent="slateq")

    def test_every_environment_has_a_table_of_its_own(self):
        for kind in ENVIRONMENTS.values():
            assert Preset("slateq", "items", {kind.scenario: {"gamma": 0.5}}).settings(kind.scenario)["gamma"] == 0.5


class TestOptions:
    def test_only_what_differs_is_named(self):
        assert find_changes(PPOOptions()) == {}
        assert find_changes(PPOOptions(n_steps=8, ent_coef=0.1)) == {"n_steps": 8, "ent_coef": 0.1}
        assert make_options("ppo", PPOOptions, {"n_steps": 8}) == PPOOptions(n_steps=8)

    @pytest.mark.parametrize(("kind", "name", "low", "high"), RANGES)
    def test_ranges_are_checked(self, kind, name, low, high):
        for value in (low - 1, high + 1 if high < 1e15 else 2 * high):
            said = f"{name} = {value!r} is out of range; allowed: {show_number(low)} to {show_number(high)}"
            with pytest.raises(ValueError, match=re.escape(said)):
                replace(kind(), **{name: value})

    def test_there_are_ranges_of_all_agents(self):
        assert {entry.options for entry in AGENTS.values()} == {kind for kind, *_ in RANGES}

    @pytest.mark.parametrize(("agent", "action"), TAKEN)
    def test_algorithms_take_all_their_options(self, agent, action):
        """Each option is a parameter of the algorithm's constructor, or of its policy's."""
        algorithm = ALGORITHMS[agent].kind
        taken = {name for kind in algorithm.__mro__ for name in inspect.signature(kind.__init__).parameters}
        policies = {
            name
            for policy in algorithm.policy_aliases.values()
            for kind in policy.__mro__[:-1]
            for name in inspect.signature(kind.__init__).parameters
        }
        for field in fields(ALGORITHMS[agent].choose_options(action)):
            assert field.name in (policies if field.name in POLICY_OPTIONS else taken), field.name
        settings = RunConfig(agent=agent, action=action).algorithm_arguments
        assert set(settings) <= taken
        assert set(settings.get("policy_kwargs", {})) <= policies

    def test_options_reach_the_algorithm(self):
        run = RunConfig(agent="ppo", options={"n_steps": 8, "log_std_init": -2.0}, gamma=0.5)
        assert run.algorithm_arguments["n_steps"] == 8
        assert run.algorithm_arguments["gamma"] == 0.5
        assert run.algorithm_arguments["policy_kwargs"] == {"log_std_init": -2.0}
        assert "policy_kwargs" not in RunConfig(agent="ppo", action="presets").algorithm_arguments

    def test_what_depends_on_the_users_at_a_time_does(self):
        run = RunConfig(agent="dqn", num_envs=10)
        assert (run.algorithm_arguments["learning_starts"], run.algorithm_arguments["target_update_interval"]) == (
            200,
            10,
        )
        assert replace(run, options={"learning_starts": 7}).algorithm_arguments["learning_starts"] == 7
        assert RunConfig(agent="sac").algorithm_arguments["ent_coef"] == "auto"
        assert RunConfig(agent="sac", options={"ent_coef": 0.1}).algorithm_arguments["ent_coef"] == 0.1

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"nsteps": 8}, r"options of 'ppo': name = 'nsteps' is unknown \(did you mean 'n_steps'\?\)"),
            ({"n_steps": 8.5}, r"n_steps = 8\.5 must be a whole number, 1 to 1000000"),
            ({"n_steps": 0}, "n_steps = 0 is out of range; allowed: 1 to"),
            ({"target_kl": "x"}, r"target_kl = 'x' must be a number, 1e-09 to 1e\+06"),
            ({"gamma": 0.5}, "name = 'gamma' is unknown"),
        ],
    )
    def test_what_an_algorithm_cannot_do_is_refused(self, options, said):
        with pytest.raises(ValueError, match=said):
            RunConfig(agent="ppo", options=options)

    @pytest.mark.parametrize("agent", list(AGENTS))
    def test_every_agent_has_options_with_help(self, agent):
        options = RunConfig(agent=agent).agent_options
        assert asdict(options)
        for field in fields(options):
            sources = [inspect.getsource(kind) for kind in type(options).__mro__[:-1]]
            assert any(f"    {field.name}: " in source for source in sources)
        assert find_changes(options) == {}
