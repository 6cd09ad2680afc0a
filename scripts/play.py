"""Play one agent by name: any rule with its options, a reference, or what was trained or saved.

    python scripts/play.py --agent mmr --trade-off 0.7
    python scripts/play.py --agent fatigue --trials 20 --save my-fatigue    # tuned on validation users first
    python scripts/play.py --agent run --run my-fatigue --users 500         # a rule that was saved, or a training run
    python scripts/play.py --agent linear --linear runs/results/Video/linear.json  # a reference
    python scripts/play.py --me --agent similarity     # you read the slates yourself, as the first user of the split

``--agent NAME --help`` lists the options of that rule. Prints minutes until the horizon with a 95 % interval over
users, sessions and the share of users who left for good; where items appear by and by, how few of them take the clicks
and how new these are; where users buy, conversion and sales; where what is watched turns taste, how far, and what the
same slates are worth without. With --me you choose from the slates, and the rest of the life, how much is watched, when
a session ends and whether there is another, is the simulated user's; at the end it says how often that user would have
chosen the same.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray

from longplay.agents.base import Agent, AgentSession
from longplay.agents.comparison.summary import summarise_purchases
from longplay.agents.fresh import FRESH, check_shown
from longplay.agents.offline import agent as offline
from longplay.agents.offline.data import read_logged_setting
from longplay.agents.options import make_space
from longplay.agents.playing.clicked import TOP
from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.luck import TEST_LUCK, VALIDATION_LUCK
from longplay.agents.playing.readers import Person
from longplay.agents.playing.trials import make_life_env
from longplay.agents.registry import ALWAYS, ASKED, REFERENCES, RULES
from longplay.agents.rules.context import RuleModels
from longplay.agents.rules.tuning import FILE, TunedRule, load_rule, save_rule, tune
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.reading import Reading, load_agent
from longplay.agents.setting import Setting
from longplay.agents.stats import bootstrap_difference
from longplay.envs.drawing.viewer import format_clock
from longplay.envs.engine import ContextColumn
from longplay.envs.shared.names import one_of
from longplay.envs.shared.options import Options
from longplay.envs.users.opinions import EnoughError, Exchange, answer_by
from longplay.envs.users.params import Scenario
from longplay.envs.users.records import CHURNED, HORIZON, Record
from longplay.scripts.shared.claims import claim
from longplay.scripts.shared.console import console, load_world, make_progress, run_command
from longplay.scripts.shared.folders import run_folder

RUN, FITTED = "run", ("linear", "constant", "neural")  # references that a file has the weights of
PLAYABLE = (*RULES, *REFERENCES, RUN)  # and module:Class of a rule
LUCK = {"validation": VALIDATION_LUCK, "test": TEST_LUCK}
ASK_FRESH = "Show nothing twice in a session; by default wherever the environment keeps account of what was shown."


@dataclass
class Arguments:
    """Play one agent."""

    agent: str = "similarity"
    """Agent to play: a rule (random, random-candidates, popularity, similarity, softmax, minutes, mmr, dpp, static-cap,
    round-robin, fatigue, linucb, lints, personal-linucb, personal-lints, user-knn, item-knn, als, tower-heads,
    lightgcn; similarity-fresh, minutes-rating and longest, which show nothing twice in a session, where the environment
    keeps account of what was shown), a reference (items, myopic, taste, constant, linear,
    neural), or run."""
    run: str | None = None
    """Folder below runs/ of a training, of a policy that scripts/offline.py learned, or of a rule that --save wrote;
    with --agent run."""
    users: int = 200
    """Users who are played; with --me one."""
    me: tyro.conf.FlagCreatePairsOff[bool] = False
    """Read the slates yourself, at the terminal: a number takes a text, 0 nothing, q stops."""
    split: str = "test"
    """Split whose users are played: validation or test."""
    trials: int = 0
    """Trials in which the options of a rule are tuned first; 0 plays those given."""
    validation_users: int = 100
    """Validation users that the options are tuned on."""
    save: str | None = None
    """Folder below runs/ that a rule is written to, with what it was fitted with."""
    linear: Path | None = None
    """JSON file of the reference linear, constant or neural, as its save writes it; without one each is the myopic
    oracle."""
    setting: tyro.conf.OmitArgPrefixes[Setting] = field(default_factory=Setting)


def make_arguments_type(words: Sequence[str]) -> type[Arguments]:
    """The type of the command line that these words begin: with the options of the rule that they name.

    Raises
    ------
    ValueError
        If they name no agent.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--agent", default=Arguments.agent, nargs="?", const="")
    name = check_agent(parser.parse_known_args(list(words))[0].agent)
    if not is_rule(name):
        return Arguments
    kind: Any = RULES[name].options
    fields: list[tuple[str, Any, Any]] = []
    if RULES[name].fresh == ASKED:
        fields += [(FRESH, Annotated[bool | None, tyro.conf.arg(help=ASK_FRESH)], None)]
    if make_space(kind):
        fields += [("options", Annotated[kind, tyro.conf.OmitArgPrefixes], field(default_factory=kind))]
    if not fields:
        return Arguments
    extended: type[Arguments] = make_dataclass("RuleArguments", fields, bases=(Arguments,))
    extended.__doc__ = f"{RULES[name].title}: {RULES[name].about}."
    return extended


def main(args: Arguments) -> None:
    """Prepare, play, print."""
    check_arguments(args)
    if args.me:
        read_slates(args)
        return
    people = held_out_users(args.setting.world, args.split, args.users)
    if args.trials:
        held_out_users(args.setting.world, "validation", args.validation_users, field="validation_users")
    load_world(args.setting)
    agent, note = make_agent(args)
    evaluator = Evaluator(args.setting.world, args.setting.item_vectors, people, LUCK[args.split])
    with make_progress() as progress:
        task = progress.add_task("playing", total=1.0)
        table = evaluator.play(agent, lambda share: progress.update(task, completed=share))
    print_result(args, agent, note, table)


def is_rule(name: str) -> bool:
    """Whether a name is of a rule: one of `RULES`, or a module's."""
    return name in RULES or ":" in name


def check_agent(name: str) -> str:
    """The name of what can be played; ValueError with the closest one."""
    return name if is_rule(name) else one_of("agent", name, PLAYABLE)


def check_arguments(args: Arguments) -> None:
    """Refuse what could not run, before anything slow happens."""
    check_agent(args.agent)
    one_of("split", args.split, LUCK)
    if (args.agent == RUN) != (args.run is not None):
        raise ValueError(f"run = {args.run!r} with agent = {args.agent!r}: --agent run --run NAME plays runs/NAME")
    if args.run is not None and (config := read_config(args.run)) is not None:
        check_same_setting(run_folder(args.run), config.setting, args.setting)
    if args.linear is not None and args.agent not in FITTED:
        raise ValueError(f"linear = {str(args.linear)!r} with agent = {args.agent!r}: --agent linear --linear FILE")
    if args.linear is not None:
        make_agent(args)  # which refuses before anything slow happens
    if args.me and args.users != Arguments.users:
        raise ValueError(f"users = {args.users} with --me: you live one life; leave out --users")
    if args.trials < 0:
        raise ValueError(f"trials = {args.trials} must be at least 0, which plays the options given")
    if not is_rule(args.agent) and (args.save is not None or args.trials):
        raise ValueError(
            f"agent = {args.agent!r} is no rule: only rules are tuned and saved; leave out --trials, --save"
        )
    if args.save is not None:
        folder = run_folder(args.save)
        if folder.exists():
            raise ValueError(f"{folder} exists; give another --save")
    if is_rule(args.agent):
        given = choose_options(args)
        if args.trials and given != RULES[args.agent].choose_options(args.setting.world)():
            raise ValueError(
                f"trials = {args.trials} would search for the options that are given; leave out one of the two"
            )


def choose_options(args: Arguments) -> Options:
    """The options of a rule that are given, and its own where they are not; refuses what the world does not offer."""
    rule, world, fresh = RULES[args.agent], args.setting.world, getattr(args, FRESH, None)
    if fresh or rule.fresh == ALWAYS:
        check_shown(world, f"agent = {args.agent!r}" if fresh is None else f"fresh = {fresh}")
    values = vars(getattr(args, "options", rule.options()))
    if fresh is not None and world.scenario.memory:
        values = {**values, FRESH: fresh}
    return rule.choose_options(world)(**values)


def make_agent(args: Arguments) -> tuple[Agent, str]:
    """The agent, and what to say of it."""
    if args.agent in REFERENCES:
        reference, world = REFERENCES[args.agent], args.setting.world
        if args.linear is not None and reference.load is not None:
            return reference.load(args.linear, world), "reads hidden state"
        return reference.build(world), "reads hidden state"
    if args.agent == RUN:
        return load_run(args)
    if args.save is not None:
        claim(run_folder(args.save))
    models = RuleModels(args.setting, console.print)
    if args.trials:
        people = held_out_users(args.setting.world, "validation", args.validation_users)
        evaluator = Evaluator(args.setting.world, args.setting.item_vectors, people, VALIDATION_LUCK)
        tuned = tune(args.agent, models, evaluator, args.trials)
        print_trials(tuned.trials)
    else:
        tuned = TunedRule(args.agent, choose_options(args))
    agent = tuned.build(models)
    if args.save is not None:
        save_rule(tuned, run_folder(args.save), models)
        console.print(f"rule: {run_folder(args.save)}", soft_wrap=True)
    return agent, tuned.note


def read_config(run: str) -> RunConfig | None:
    """What a training run is of; None where the folder holds a rule, or what was learned from a log."""
    folder = run_folder(run)
    file = folder / "config.json"
    if (folder / FILE).is_file() or (file.is_file() and "log" in json.loads(file.read_text(encoding="utf-8"))):
        return None
    return RunConfig.from_json(file)


def load_run(args: Arguments) -> tuple[Agent, str]:
    """What a folder below runs/ holds: a saved rule, or a training run, which must be of this setting."""
    folder = run_folder(str(args.run))
    if (folder / FILE).is_file():
        tuned, agent = load_rule(folder, args.setting)
        return agent, tuned.note
    config = read_config(str(args.run))
    if config is None:
        job = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return load_from_log(folder, job, args.setting)
    return load_agent(folder, config, args.setting), f"seed {config.seed}, {config.steps:,} steps"


def load_from_log(folder: Path, job: Mapping[str, Any], setting: Setting) -> tuple[Agent, str]:
    """A policy that a job of scripts/offline.py learned."""
    check_same_setting(folder, read_logged_setting(run_folder(job["log"]))[0], setting)
    return offline.load_agent(folder, Reading(setting, job["state"]).inputs), f"learned from the log {job['log']}"


def check_same_setting(folder: Path, run_setting: Setting, setting: Setting) -> None:
    """Refuse a policy of another setting."""
    if run_setting != setting:
        raise ValueError(f"{folder} was trained on {run_setting}, this is {setting}; give its --env and so on")


def read_slates(args: Arguments) -> None:
    """Let a person at the terminal live the life of the first user of the split, and say how it went."""
    people = held_out_users(args.setting.world, args.split, 1)
    load_world(args.setting)
    agent, note = make_agent(args)
    exchanges: list[Exchange] = []
    person = Person(ask_line, lambda line: console.print(line, markup=False, soft_wrap=True), console.width)
    scenario = args.setting.world.scenario.with_behaviours(answer_by(person, exchanges.append))
    env = make_life_env(replace(args.setting.world, scenario=scenario), args.setting.item_vectors, 1)
    console.print(f"{agent.name}{f' ({note})' if note else ''} chooses what you see", soft_wrap=True)
    minutes = 0.0
    try:
        for earned in follow_person(env, AgentSession(agent, 1, args.setting.world), people, LUCK[args.split]):
            minutes += earned
    except EnoughError:
        console.print("")
    print_life(env.unwrapped.engine.users[0], minutes, exchanges)  # type: ignore[attr-defined]


def ask_line(prompt: str) -> str:
    """A line that the person types; EOFError where there is none."""
    console.print(prompt, markup=False, soft_wrap=True, end="")
    return input()


def follow_person(env: Any, session: AgentSession, people: NDArray[np.int64], luck: int) -> Iterator[float]:
    """Show slates until the life is over, and say what came of each; gives the minutes of each."""
    observation, info = env.reset(seed=luck, options={"users": people})
    over, who = False, np.ones(1, bool)
    while not over:
        visible = {**observation, "latent": info["latent"]} if session.agent.privileged else observation
        observation, reward, churned, horizon, info = env.step(session.act(visible, who))
        yield float(reward[0])
        over = bool(churned[0] or horizon[0])
        if info["choice"][0] >= 0:
            console.print(f"  watched {info['completion'][0]:.0%}, {reward[0]:.1f} minutes")
        if info["left"][0] and not over:
            days = float(observation["context"][0, ContextColumn.GAP_DAYS])
            gap = f"{days:.1f} days" if days >= 1 else f"{24 * days:.1f} hours"
            console.print(f"  that is all for now; back after {gap}")


def print_life(user: Record, minutes: float, exchanges: Sequence[Exchange]) -> None:
    """Sessions, minutes, whether the user is lost, and how often the simulated one would have chosen the same."""
    end = {CHURNED: "lost: they would not have come back", HORIZON: "still there at the end"}
    fate = end.get(int(user["status"]), "not lost so far")
    sessions = len({one.question.session for one in exchanges})
    day = format_clock(float(user["clock"])).split(",")[0]
    console.print(
        f"{sessions} session{'' if sessions == 1 else 's'}, {minutes:.1f} minutes, {day}; {fate}", soft_wrap=True
    )
    if exchanges:
        same = sum(one.slot == one.simulated for one in exchanges)
        chance = np.mean([one.chances[-1 if one.slot is None else one.slot] for one in exchanges])
        console.print(
            f"the simulated user with the same past would have chosen the same in {same} of {len(exchanges)} slates; "
            f"in {chance:.0%} of all luck",
            soft_wrap=True,
        )


def print_trials(trials: pd.DataFrame) -> None:
    """The trials, the best first."""
    if len(trials):
        console.print(trials.sort_values("minutes", ascending=False, kind="stable").to_string(index=False))


def print_result(args: Arguments, agent: Agent, note: str, table: pd.DataFrame) -> None:
    """Minutes, sessions, churn."""
    minutes = bootstrap_difference(table["minutes"].to_numpy())
    whom = f"{len(table)} {args.split} users of {args.setting.describe()}"
    console.print(f"{agent.name}{f' ({note})' if note else ''}, {whom}:", soft_wrap=True)
    console.print(
        f"{minutes.mean:.1f} minutes [{minutes.low:.1f}, {minutes.high:.1f}], {table['sessions'].mean():.1f} sessions, "
        f"{table['churned'].mean():.0%} left for good",
        soft_wrap=True,
    )
    if "turned" in table:
        console.print(
            f"taste turned by {table['turned'].mean():.0f} degrees; the same slates would have had "
            f"{table['first_minutes'].mean():.1f} minutes at the taste that they came with",
            soft_wrap=True,
        )
    # Fewer would be on 1 % of the items whatever is shown.
    few = table["clicks"].sum() < 10 * TOP * len(args.setting.world.catalog)
    if args.setting.world.scenario.appearing and "ages" in table.attrs and not few:
        console.print(describe_clicks(args.setting.world.scenario, table.attrs), soft_wrap=True)
    if sold := summarise_purchases(table):
        looks = f"{sold['conversion']:.1%} of {table['clicks'].sum():,.0f} looks end in a purchase"
        console.print(f"{looks}, sales of {sold['sales']:.1f} a user", soft_wrap=True)


def describe_clicks(scenario: Scenario, found: Mapping[Any, Any]) -> str:
    """How few items take the clicks, and how new they are, by `ClickedItems.summarise`."""
    words = f"{found['concentration']:.1%} of the clicks are on the 1 % of items clicked most"
    if scenario.read_number("items_life") > 0:
        young, half, old = (f"{24 * age:.1f} h" if age < 1 else f"{age:.1f} days" for age in found["ages"])
        return f"{words}; items are {half} old when clicked (median; 10 to 90 %: {young} to {old})"
    return f"{words}, {found['arrived']:.1%} on those that appeared within the horizon"


if __name__ == "__main__":
    run_command(main, make_arguments_type)
