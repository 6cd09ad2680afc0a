"""The study of all agents in all scenarios: trained with several seeds, beside rules and references, and moved away.

    python -m longplay.scripts.studies.results --name results --agents ppo slateq --seeds 5 --workers 2

In each scenario the rules are tuned on validation users, and every agent is trained with γ as in `AGENTS` and with
γ = 0, all else the same; all play the month of the same test
users with the same luck. The trained policies and tuned rules then play the shifted variant of the scenario, and one
seed of each agent plays the control, where nothing shown now changes anything later. All seeds 0 are trained first, so
that an interrupted study is balanced.

Writes runs/NAME: results.md (the tables), results.parquet (one row a scenario, policy, seed and user), and for each
scenario the fitted models, rules, trainings and lives; at the end it prints what all has cost, part by part. What is
there is not done again, so the same command goes on after an interruption, and more agents, scenarios or seeds may be
added later.
"""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pandas as pd

from longplay.agents.base import Agent
from longplay.agents.comparison.contestants import Contestant, make_references
from longplay.agents.comparison.origin import describe_origin
from longplay.agents.playing.evaluate import held_out_users
from longplay.agents.registry import RULES
from longplay.agents.rules.tuning import QUICK, list_quick_rules
from longplay.agents.runs.progress import CHECKPOINT
from longplay.agents.stats import REASONS, USERS_ONLY
from longplay.envs.shared.names import one_of
from longplay.scripts.shared.console import console, load_world, make_progress
from longplay.scripts.shared.folders import record_study, run_folder, write_table
from longplay.scripts.shared.pool import work_side_by_side
from longplay.scripts.shared.tables import render_frame, write_markdown
from longplay.scripts.shared.tracking import check_tracking
from longplay.scripts.shared.trainings import Training, is_finished, train_all
from longplay.scripts.studies.results import agents as results_agents
from longplay.scripts.studies.results import play as results_play
from longplay.scripts.studies.results import prepare as results_prepare
from longplay.scripts.studies.results import tables as results_tables
from longplay.scripts.studies.results.agents import AGENTS, CONTROL, Plan, make_title, summarise_agents
from longplay.scripts.studies.results.costs import count_cost, describe_costs
from longplay.scripts.studies.results.play import Arena, StudyRow, TrainedLives, open_arena
from longplay.scripts.studies.results.prepare import LINEAR, SCORES, Preparation, Say, check_same_items, get_setting
from longplay.scripts.studies.results.tables import AWAY, HOME, ScenarioResults

SCENARIOS = ("Video", "News", "Shop", "Social")
NO_SCORES = ("none",)
SCORES_NOTE = (
    "All learning agents but PPO with a softmax a slot read the scores of boosted trees and of ALS, fitted once on "
    "logs of training users beside their own training slates; on weights PPO, A2C, RecurrentPPO and ARS begin as "
    "greedy on the first of them. "
)


@dataclass
class Arguments:
    """Train, play and compare."""

    name: str = "results"
    """Folder below runs/."""
    envs: tuple[str, ...] = SCENARIOS
    """Scenarios: Video, News, Shop, Social."""
    agents: tuple[str, ...] = tuple(AGENTS)
    """Agents, by their names in `AGENTS`."""
    seeds: int = 5
    """Training seeds of each agent and of its twin."""
    seeds_of: dict[str, int] = field(default_factory=dict)
    """Another number of seeds for some agents, such as: ppo 3 sac 1. With 1, intervals hold for users alone."""
    steps: int | None = None
    """Slates of each training; by default as many as the agent is given in `AGENTS`, and else by a run's default."""
    users: int = 500
    """Test users who are played."""
    validation_users: int = 200
    """Validation users on whom rules are tuned and policies are chosen."""
    more_rules: tuple[str, ...] = ("als", "item-knn", "user-knn", "linucb", "personal-lints")
    """Rules beside the quick ones: those that rank by a fitted encoder, and bandits."""
    trials: int = 6
    """Options tried of each rule."""
    scores: tuple[str, ...] = SCORES
    """Fitted models whose scores agents are given as features of candidates, or none."""
    planner_users: int = 0
    """Test users, the first, whom the planner by rollouts plays, at seconds a user; 0 for none."""
    workers: int = 2
    """Trainings side by side, one thread each."""
    track: str = "off"
    """Tracking by Weights & Biases: online, offline or off."""

    @property
    def fitted_scores(self) -> tuple[str, ...]:
        """The fitted models whose scores agents are given."""
        return () if self.scores == NO_SCORES else self.scores


def main(args: Arguments) -> None:
    """Fit, tune, train, play, tell."""
    check_arguments(args)
    folder, envs = run_folder(args.name), (*args.envs, CONTROL)
    record_study(folder, {"validation_users": args.validation_users, "trials": args.trials})
    for env in envs:
        load_world(get_setting(env))
    preparations = {env: make_preparation(args, env) for env in envs}
    if args.fitted_scores:
        missing = [preparation for preparation in preparations.values() if not preparation.has_scores()]
        with count_cost(folder, "fitting"):
            work_on("fitting scores", results_prepare.fit_scores, missing, args.workers)
    sizes = args.seeds, args.steps, args.validation_users
    trainings = Plan(args.name, args.envs, args.agents, *sizes, args.fitted_scores, args.seeds_of).list_trainings()
    with count_cost(folder, "training"):
        train_missing(list(trainings.values()), args)
    missing = [preparation for preparation in preparations.values() if not preparation.has_rules()]
    with count_cost(folder, "tuning"):
        work_on("tuning rules", results_prepare.tune_rules, missing, args.workers)
    lives = [
        make_trained_lives(args, where, *key, training)
        for key, training in trainings.items()
        for where in open_arenas(args, key[0])
    ]
    with count_cost(folder, "judging"):
        work_on("playing policies", results_play.play_trained, results_play.list_missing(lives), args.workers)
        untrained = list(preparations.values())
        work_on("playing rules and references", partial(play_untrained, args), untrained, args.workers)
    with count_cost(folder, "tables"), open_report() as say:
        played = {env: play_scenario(args, preparations[env], trainings, report_in(env, say)) for env in envs}
        results = pd.concat([lives for lives, _ in played.values()], ignore_index=True)
        origins = {env: describe_played(args, env, scenario) for env, (_, scenario) in played.items()}
        results.attrs = {"origin": origins}
        write_table(results, folder / "results.parquet")
        results.attrs = {}  # which pandas would compare wherever rows are joined
        say("intervals", 0.0)
        tables = results_tables.make_tables(results, {env: scenario for env, (_, scenario) in played.items()}, CONTROL)
    write_markdown(tables, folder / "results.md", describe_study(args))
    for frame in tables:
        console.print(render_frame(frame))
    console.print(f"tables: {folder / 'results.md'}", soft_wrap=True)
    console.print(describe_costs(folder), soft_wrap=True)


def check_arguments(args: Arguments) -> None:
    """Refuse what could not run, before anything slow happens."""
    check_tracking(args.track)
    more_rules = [name for name in RULES if name not in QUICK]
    for key, allowed in (
        ("envs", SCENARIOS),
        ("agents", results_agents.AGENTS),
        ("seeds_of", args.agents),
        ("more_rules", more_rules),
        ("scores", (*SCORES, *NO_SCORES)),
    ):
        names = getattr(args, key)
        for name in names:
            one_of(key, name, allowed)
        if len(set(names)) < len(names):
            raise ValueError(f"{key} = {list(names)} names something twice; name each once")
    if "none" in args.scores and len(args.scores) > 1:
        raise ValueError(f"scores = {list(args.scores)} is none and something; give one of them")
    for key in ("envs", "agents"):
        if not getattr(args, key):
            raise ValueError(f"{key} is empty; name at least one")
    for key in ("seeds", "users", "validation_users", "trials", "workers"):
        if getattr(args, key) < 1:
            raise ValueError(f"{key} = {getattr(args, key)} must be at least 1")
    if args.steps is not None and args.steps < 1:
        raise ValueError(f"steps = {args.steps} must be at least 1")
    if not 0 <= args.planner_users <= args.users:
        raise ValueError(f"planner_users = {args.planner_users} is out of range; allowed: 0 to users = {args.users}")
    for agent, count in args.seeds_of.items():
        if count < 1:
            raise ValueError(f"seeds_of {agent} = {count} must be at least 1")
    run_folder(args.name)
    for env in (*args.envs, CONTROL):
        held_out_users(get_setting(env).world, "test", args.users)
        held_out_users(get_setting(env).world, "validation", args.validation_users, field="validation_users")
    for env in args.envs:
        check_same_items(get_setting(env), get_setting(f"{env}Shifted"))


@contextmanager
def open_report() -> Iterator[Say]:
    """A line that says what is being done, and the share of it that is."""
    with make_progress() as progress:
        task = progress.add_task("", total=1.0)
        yield lambda what, share: progress.update(task, description=what, completed=share)


def report_in(env: str, say: Say) -> Say:
    """Say it of a scenario."""
    return lambda what, share: say(f"{env}: {what}", share)


def work_on(title: str, work: Callable[[Any], object], tasks: Sequence[Any], workers: int) -> None:
    """Do some work side by side, with a line that says how far it is."""
    if not tasks:
        return
    with make_progress(count=True) as progress:
        results = work_side_by_side(work, tasks, workers)
        for task, _ in progress.track(results, total=len(tasks), description=title):
            progress.console.print(f"{title}: {task}")


def train_missing(trainings: list[Training], args: Arguments) -> None:
    """Train what is not trained; a checkpoint, which may be large, is needed only until then."""
    missing = [training for training in trainings if not is_finished(training)]
    console.print(f"{len(trainings)} trainings, {len(missing)} of them to do")
    if missing:
        train_all(missing, args.workers, args.track)
    for training in trainings:
        if not is_finished(training):
            raise ValueError(
                f"training {training.name} ended early, after fewer steps than {training.config.steps:,}; give more"
            )
        (run_folder(training.name) / CHECKPOINT).unlink(missing_ok=True)


def make_preparation(args: Arguments, env: str) -> Preparation:
    """What a scenario needs beside its trainings; the control only a rule to compare with."""
    home = env != CONTROL
    rules = (*list_quick_rules(get_setting(env).world), *args.more_rules) if home else ("similarity",)
    return Preparation(env, run_folder(args.name) / env, rules, args.validation_users, args.trials, linear=home)


def open_arenas(args: Arguments, env: str) -> dict[str, tuple[str, Arena]]:
    """Names and arenas of the worlds that the policies of a scenario play, by what they are to it."""
    folder = run_folder(args.name) / env
    arenas = {HOME: (env, open_arena(env, args.users, folder / "played"))}
    if env != CONTROL:
        arenas[AWAY] = f"{env}Shifted", open_arena(f"{env}Shifted", args.users, folder / "shifted")
    return arenas


def make_trained_lives(
    args: Arguments, where: str, env: str, label: str, seed: int, training: Training
) -> TrainedLives:
    """Lives of a trained policy, at home or away."""
    row = StudyRow(label, make_title(training.config, label), "learned", seed)
    name, arena = open_arenas(args, env)[where]
    return TrainedLives(row, name, env, run_folder(training.name), args.users, arena.folder)


def play_scenario(
    args: Arguments, preparation: Preparation, trainings: dict[tuple[str, str, int], Training], say: Say
) -> tuple[pd.DataFrame, ScenarioResults]:
    """All lives of a scenario, and what is known of who lived them."""
    env, folder, scenario, lives = preparation.env, preparation.folder, ScenarioResults(), []
    arenas = open_arenas(args, env)

    def play(row: StudyRow, causes: tuple[object, ...], agent: Callable[[], Agent], where: str = HOME) -> None:
        arena = arenas[where][1]
        lives.append(arena.read_or_play(row, arena.compute_stamp(*causes), agent, say).assign(world=where))

    for name, (tuned, rule) in results_prepare.load_rules(preparation, say).items():
        scenario.contestants.append(Contestant(RULES[name].title, "rule", (), tuned.note, about=tuned.describe()))
        files = sorted(file for file in (folder / "rules" / name).rglob("*") if file.is_file())
        for where in arenas:
            play(StudyRow(name, RULES[name].title, "rule"), tuple(files), lambda rule=rule: rule, where)  # type: ignore[misc]
    for key, training in trainings.items():
        if key[0] == env:
            for where in arenas:
                policy = make_trained_lives(args, where, *key, training)
                lives.append(results_play.read_lives(policy).assign(world=where))
    agents, scenario.titles, scenario.spent = summarise_agents(env, trainings)
    scenario.contestants += agents
    linear = results_prepare.load_linear(preparation, say) if preparation.linear else None
    for where, (name, _) in arenas.items():
        for reference in make_references(get_setting(name), linear if where == HOME else None):
            agent = reference.agents[0]
            causes = (reference.name, folder / LINEAR) if linear is agent else (reference.name,)
            row = StudyRow(reference.name.replace(" ", "-"), reference.name, "reference")
            play(row, causes, lambda agent=agent: agent, where)  # type: ignore[misc]
            if where == HOME:
                scenario.contestants.append(replace(reference, agents=()))
    if linear is not None:
        scenario.ceiling = linear.name
        if args.planner_users:
            setting = get_setting(env)
            scenario.planner, table = results_play.play_planner(setting, args.planner_users, folder, linear, say)
            lives.append(table.assign(world=HOME))
    return pd.concat(lives, ignore_index=True).assign(scenario=env), scenario


def play_untrained(args: Arguments, preparation: Preparation) -> None:
    """Play what needs no training, for `play_scenario` to find."""
    play_scenario(args, preparation, {}, lambda what, share: None)


def describe_played(args: Arguments, env: str, scenario: ScenarioResults) -> dict[str, Any]:
    """What made the results of a scenario."""
    policies = [*scenario.contestants, *([scenario.planner] if scenario.planner else [])]
    return describe_origin(get_setting(env), policies, args.users, args.validation_users)


def describe_study(args: Arguments) -> str:
    """What stands above the tables."""
    return (
        f"    python -m longplay.scripts.studies.results {shlex.join(sys.argv[1:])}\n\n"
        f"{args.users} test users, the same luck for every policy; rules tuned in {args.trials} trials and policies "
        f"chosen on {args.validation_users} validation users. Intervals: 95 %, bootstrap over users (paired) and "
        f"training seeds, for whose number they allow. “{USERS_ONLY}” stands where {REASONS[USERS_ONLY]}. "
        f"{SCORES_NOTE if args.fitted_scores else ''}{results_prepare.POLICY_OF_LOGS} CPU and wall seconds are of one "
        f"training on one thread, the start of its process and its evaluations included, with {args.workers} side by "
        "side."
    )
