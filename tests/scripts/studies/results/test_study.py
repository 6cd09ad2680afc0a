"""The study of all agents: a tiny one end to end, taken up again, its tables, its refusals."""

import functools
import json

import pandas as pd
import pytest
import tyro

from longplay.agents.comparison import summary as comparison
from longplay.agents.comparison.contestants import Contestant
from longplay.agents.learners.slateq.agent import SlateQOptions
from longplay.agents.playing.cross_entropy import CrossEntropyOptions
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.training import train
from longplay.agents.setting import Setting
from longplay.agents.stats import bootstrap_difference
from longplay.envs.shared.files import write_whole
from longplay.scripts.shared import trainings
from longplay.scripts.shared.folders import run_folder
from longplay.scripts.studies.results import agents as results_agents
from longplay.scripts.studies.results import play as results_play
from longplay.scripts.studies.results import prepare as results_prepare
from longplay.scripts.studies.results import study as results
from longplay.scripts.studies.results import tables as results_tables
from longplay.scripts.studies.results.tables import ScenarioResults, measure_gap_closed

TINY = {"ppo": {"gamma": 0.9, "num_envs": 8, "evals": 1, "options": {"n_steps": 4, "batch_size": 32, "n_epochs": 1}}}
TINY["variant"] = {**TINY["ppo"], "agent": "ppo"}
TINY["slateq"] = {"gamma": 0.9, "num_envs": 2, "evals": 1, "options": {"segment": 2, "epochs": 1, "batch": 16}}
SMALL = "--name r --envs Video --seeds 1 --steps 96 --users 6 --validation-users 4 --trials 1 --more-rules als"
SMALL += " --workers 1"
AWAY = 'base = "video-shifted"\n[shape]\nusers = 200\ncandidates = 40\n[horizon]\ndays = 4.0\n'


@pytest.fixture
def here(place, environment, monkeypatch):
    """The folder with items; trainings run in this process and are listed."""
    monkeypatch.setenv("LONGPLAY_CACHE", environment["LONGPLAY_CACHE"])
    (place / "away.toml").write_text(AWAY)

    @functools.cache
    def get_setting(env):
        file = "away.toml" if env.endswith("Shifted") else "small.toml"
        return Setting(f"longplay/{env}-v0", catalog="items.csv", scenario=file)

    for module in (results, results_agents, results_play, results_prepare):
        monkeypatch.setattr(module, "get_setting", get_setting)
    monkeypatch.setattr(results_prepare, "LOGGED_STEPS", 2)
    monkeypatch.setattr(results_prepare, "LOG_USERS", 60)
    monkeypatch.setattr(
        results_prepare, "SEARCH", CrossEntropyOptions(4, population=3, elites=2, iterations=2, validation_users=4)
    )
    for module in (comparison, results_tables):  # intervals are tested elsewhere
        monkeypatch.setattr(module, "bootstrap_difference", functools.partial(bootstrap_difference, resamples=50))
    monkeypatch.setattr(results, "QUICK", ("random", "similarity", "minutes"))
    monkeypatch.setattr(results, "list_quick_rules", lambda world: results.QUICK)
    monkeypatch.setattr(results_agents, "AGENTS", TINY)
    results_play.open_arena.cache_clear()
    started = []

    def run(listed, workers, track):
        for job in listed:
            started.append(job.name)
            train(job.config, run_folder(job.name), False, lambda row: None)
            trainings.add_cost(run_folder(job.name), 2.0, 3.0)

    monkeypatch.setattr(results, "train_all", run)
    yield place, started
    results_play.open_arena.cache_clear()


def written(folder):
    """When each file that must not be made again was written."""
    kept = ("*/played/*.parquet", "*/shifted/*.parquet", "*/trained/*/policy.safetensors", "**/rule.json")
    return {path: path.stat().st_mtime_ns for pattern in kept for path in folder.glob(pattern)}


class TestStudy:
    def test_a_study_is_kept_added_to_and_told(self, here, call):
        place, started = here
        folder = place / "runs" / "r"
        code, output = call(results, *SMALL.split(), "--agents", "ppo", "--planner-users", "3", folder=place)
        assert code == 0, output
        assert started == [
            f"r/{name}-0" for name in ("Video/trained/ppo", "Video/trained/ppo-myopic", "Control/trained/ppo")
        ]
        assert not list(folder.rglob("checkpoint.pt"))
        found = pd.read_parquet(folder / "results.parquet")
        assert set(found["scenario"]) == {"Video", "Control"}
        assert found.loc[found["world"] == "shifted", "scenario"].eq("Video").all()
        home = found[(found["scenario"] == "Video") & (found["world"] == "home")]
        assert set(home["policy"]) == {
            *("random", "greedy similarity", "greedy minutes", "matrix factorisation"),
            *(
                "PPO weights γ=0.9",
                "PPO weights γ=0",
                "myopic oracle",
                "items oracle",
                "taste oracle",
                "linear oracle",
                "rollout planner",
            ),
        }
        counts = home.groupby("policy")["user"].nunique()
        assert counts.pop("rollout planner") == 3
        assert counts.eq(6).all()
        text = (folder / "results.md").read_text()
        assert f"python -m longplay.scripts.studies.results {SMALL} --agents ppo --planner-users 3" in text
        assert "| PPO weights γ=0.9 | learned |" in text
        row = next(line for line in text.splitlines() if line.startswith("| PPO weights γ=0.9 | learned | "))
        assert row.count("] users only |") >= 4
        assert "“users only” stands where a method was trained once" in text
        policies = found.attrs["origin"]["Video"]["policies"]
        assert policies["PPO weights γ=0.9"]["slates_spent"] == [96]
        assert policies["greedy minutes"]["search"]["trials"] == 1
        assert set(found.attrs["origin"]) == {"Video", "Control"}
        assert "96 | 2 | 3 |" in text
        for title in (
            "Video: minutes of 6 test users",
            "Minutes of each agent",
            "VideoShifted: pol",
            "Control: one seed",
        ):
            assert title in text
            assert title in output

        # Another agent: what is there stays, and the table grows.
        before = written(folder)
        started.clear()
        code, output = call(results, *SMALL.split(), "--agents", "ppo", "slateq", folder=place)
        assert code == 0, output
        assert started == [
            f"r/{name}-0" for name in ("Video/trained/slateq", "Video/trained/slateq-myopic", "Control/trained/slateq")
        ]
        assert before.items() <= written(folder).items()
        config = RunConfig.from_json(folder / "Video/trained/slateq-myopic-0/config.json")
        assert (config.gamma, config.scores) == (0.0, ("runs/r/Video/scores/minutes", "runs/r/Video/scores/als"))
        assert "| SlateQ γ=0.9 | learned |" in (folder / "results.md").read_text()

        # A policy that was trained anew is played again; nothing else is.
        again = written(folder)
        write_whole(folder / "Video/trained/ppo-0/config.json", "{}")
        with pytest.raises(ValueError, match="not a run's configuration"):
            trainings.is_finished(trainings.Training("r/Video/trained/ppo-0", config))
        (folder / "Video/trained/ppo-0/config.json").unlink()
        started.clear()
        code, output = call(results, *SMALL.split(), "--agents", "ppo", "slateq", folder=place)
        assert code == 0, output
        assert started == ["r/Video/trained/ppo-0"]
        changed = {path.name for path, when in written(folder).items() if again[path] != when}
        assert changed <= {"policy.safetensors", "ppo-0.parquet"}

    def test_an_interruption_costs_one_policy(self, here, call, monkeypatch):
        place, _ = here
        arguments = (*SMALL.replace("--name r", "--name broken").split(), "--agents", "ppo", "--scores", "none")
        whole, played = results_play.write_table, []

        def twice(table, path):
            if len(played) == 2:
                raise KeyboardInterrupt
            played.append(path)
            whole(table, path)

        monkeypatch.setattr(results_play, "write_table", twice)
        code, output = call(results, *arguments, folder=place)
        assert code == 130
        assert "interrupted" in output
        before = written(place / "runs/broken")
        assert len(played) == 2
        monkeypatch.setattr(results_play, "write_table", whole)
        code, output = call(results, *arguments, folder=place)
        assert code == 0, output
        assert "3 trainings, 0 of them to do" in output
        assert before.items() <= written(place / "runs/broken").items()
        assert not list((place / "runs/broken").rglob("*.tmp"))
        assert not (place / "runs/broken/Video/scores").exists()

    def test_help_shows_the_exact_command_and_the_options(self, call):
        code, output = call(results, "--help")
        assert code == 0
        (line,) = [line.strip() for line in results.__doc__.splitlines() if line.strip().startswith("python ")]
        assert line in output.replace("\\ ", "")  # long lines are broken for the shell
        assert tyro.cli(results.Arguments, args=line.split()[3:]).agents == ("ppo", "slateq")
        for name in (
            "envs",
            "agents",
            "seeds",
            "steps",
            "users",
            "more-rules",
            "scores",
            "planner-users",
            "workers",
        ):
            assert f"--{name}" in output

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ("--envs Vido", "envs = 'Vido' is unknown (did you mean 'Video'?)"),
            ("--envs Video Video", "envs = ['Video', 'Video'] names something twice; name each once"),
            ("--envs", "envs is empty; name at least one"),
            ("--agents slatq", "agents = 'slatq' is unknown (did you mean 'slateq'?)"),
            ("--more-rules alss", "more_rules = 'alss' is unknown (did you mean 'als'?)"),
            ("--scores gru", "scores = 'gru' is unknown"),
            ("--scores none als", "scores = ['none', 'als'] is none and something; give one of them"),
            ("--seeds-of sac 2", "seeds_of = 'sac' is unknown"),
            ("--seeds-of ppo 0", "seeds_of ppo = 0 must be at least 1"),
            ("--seeds 0", "seeds = 0 must be at least 1"),
            ("--steps 0", "steps = 0 must be at least 1"),
            ("--users 5 --planner-users 6", "planner_users = 6 is out of range; allowed: 0 to users = 5"),
            ("--users 900", "users = 900 is out of range; the test split"),
            ("--validation-users 900 --users 5", "validation_users = 900 is out of range; the validation split"),
            ("--track of", "track = 'of' is unknown (did you mean 'off'?)"),
            ("--name ../x", "name = '../x' must be a folder name below runs/"),
        ],
    )
    def test_a_wrong_argument_is_named(self, here, call, arguments, said):
        place, started = here
        named = () if "--name" in arguments else ("--name", "wrong")
        named += () if "--agents" in arguments else ("--agents", "ppo")
        code, output = call(results, *named, *arguments.split(), folder=place)
        assert code == 2
        assert said in output
        assert not started
        assert not (place / "runs" / "wrong").exists()

    def test_a_shifted_world_of_other_items_is_refused(self, here, monkeypatch):
        place, _ = here
        monkeypatch.chdir(place)
        home = results_prepare.get_setting("Video")
        other = Setting("longplay/VideoShifted-v0", catalog="items.csv", scenario="away.toml")
        results_prepare.check_same_items(home, other)
        lines = (place / "items.csv").read_text().splitlines(keepends=True)
        (place / "fewer.csv").write_text("".join(lines[:-1]))
        with pytest.raises(ValueError, match="longplay/VideoShifted-v0 has other items than longplay/Video-v0"):
            results_prepare.check_same_items(home, Setting("longplay/VideoShifted-v0", "fewer.csv", "away.toml"))


class TestPlan:
    def test_all_first_seeds_come_first_and_twins_differ_in_gamma_alone(self, monkeypatch):
        monkeypatch.setattr(results_agents, "AGENTS", {**TINY, "now": {"agent": "ppo", "gamma": 0.0}})
        plan = results_agents.Plan("x", ("Video", "News"), ("ppo", "now"), 2, 64, 7, ())
        found = plan.list_trainings()
        seeds = [seed for _, _, seed in found]
        assert seeds == sorted(seeds)
        assert {env for env, _, seed in found if seed == 0} == {"Video", "News", "Control"}
        assert {env for env, _, seed in found if seed == 1} == {"Video", "News"}
        assert ("Video", "now-myopic", 0) not in found
        ahead, twin = (json.loads(found["News", label, 1].config.to_json()) for label in ("ppo", "ppo-myopic"))
        assert {key for key in ahead if ahead[key] != twin[key]} == {"gamma"}
        assert (ahead["seed"], ahead["steps"], ahead["eval_users"], ahead["setting"]["env"]) == (
            1,
            64,
            7,
            "longplay/News-v0",
        )
        assert results_agents.make_title(found["News", "now", 0].config, "now") == "PPO weights γ=0 (now)"

    def test_some_agents_may_have_other_numbers_of_seeds(self):
        plan = results_agents.Plan("x", ("Video",), ("ppo", "slateq"), 2, None, 7, (), {"ppo": 1})
        seeds = {
            agent: [seed for _, label, seed in plan.list_trainings() if label == agent] for agent in ("ppo", "slateq")
        }
        assert seeds == {"ppo": [0, 0], "slateq": [0, 0, 1]}  # the control has seed 0 alone

    def test_a_search_begins_after_the_steps_of_the_run(self):
        ahead = results_agents.Plan("x", ("Video",), ("slateq",), 1, None, 7, ()).make_config("Video", "slateq", 0)
        assert SlateQOptions(**ahead.options).search_after == ahead.steps
        less = results_agents.Plan("x", ("Video",), ("slateq",), 1, 64, 7, ()).make_config("Video", "slateq", 0)
        assert SlateQOptions(**less.options).search_after == less.steps == 64

    def test_agents_that_see_no_features_are_given_no_scores(self, monkeypatch):
        monkeypatch.setattr("longplay.agents.runs.config.check_scores", lambda folders: None)
        plan = results_agents.Plan("x", ("Video",), ("ppo", "ppo-stock"), 1, None, 7, ("minutes",))
        assert plan.make_config("Video", "ppo", 0).scores == ("runs/x/Video/scores/minutes",)
        assert plan.make_config("Video", "ppo-stock", 0).scores == ()

    def test_every_agent_of_the_table_can_be_trained(self):
        plan = results_agents.Plan("x", ("Video",), tuple(results_agents.AGENTS), 1, None, 7, ())
        assert {label.removesuffix("-myopic") for _, label, _ in plan.list_trainings()} == set(results_agents.AGENTS)


class TestTables:
    @staticmethod
    def lives(**minutes):
        rows = [
            {"policy": policy.replace("_", " "), "seed": seed, "user": user, "minutes": float(value)}
            for policy, seeds in minutes.items()
            for seed, values in enumerate(seeds)
            for user, value in enumerate(values)
        ]
        return pd.DataFrame(rows)

    def test_gap_by_hand(self):
        table = self.lives(greedy_similarity=[[10, 20]], top=[[30, 60]], mine=[[20, 40], [25, 35]])
        found = measure_gap_closed(table, "mine", "top")  # (30 − 15) / (45 − 15)
        assert found.mean == pytest.approx(0.5)
        assert measure_gap_closed(table, "top", "top") is None
        assert measure_gap_closed(table, "greedy similarity", "top") is None
        assert measure_gap_closed(table, "mine", "greedy similarity") is None

    def test_gains_seed_by_seed_by_hand(self):
        table = self.lives(mine=[[20, 40], [25, 35]], twin=[[10, 10], [30, 36]], one=[[5, 5]], still=[[4, 5]])
        named = (("mine", "twin"), ("twin", ""), ("one", "still"), ("still", ""))
        world = ScenarioResults(
            [Contestant(name, "learned", (), "", twin) for name, twin in named], {"a": "mine", "b": "one"}
        )
        found = results_tables.make_seed_table({"Video": table}, {"Video": world})
        assert found.to_dict("records") == [{"agent": "a", "Video": "+20.0, -3.0"}]

    def test_loss_and_control_by_hand(self):
        home = self.lives(greedy_similarity=[[10, 10]], mine=[[40, 40]], taste_oracle=[[50, 50]])
        away = self.lives(greedy_similarity=[[12, 12]], mine=[[30, 30]])
        kinds = (("greedy similarity", "rule"), ("mine", "learned"), ("taste oracle", "reference"))
        world = ScenarioResults([Contestant(name, kind, ()) for name, kind in kinds])
        table = results_tables.make_shifted_table("Video", home, away, world)
        assert table["policy"].tolist() == ["mine", "greedy similarity"]
        assert table["loss"].tolist() == ["25% [25%, 25%] users only", "-20% [-20%, -20%]"]
        assert table["shifted − greedy similarity"].tolist() == ["+18.0 [+18.0, +18.0] users only", ""]
        control = results_tables.make_control_table("Control", home, world)
        assert control["policy"].tolist() == ["taste oracle", "mine", "greedy similarity"]
        gaps = ["", "-10.0 [-10.0, -10.0] users only", "-40.0 [-40.0, -40.0]"]
        assert control["− taste oracle"].tolist() == gaps
