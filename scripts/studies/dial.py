"""How strong must fatigue be before planning pays? Policies against the dial of the dynamics.

    python -m longplay.scripts.studies.dial --name dial --strengths 0 0.5 1 1.5 2 --seeds 3

At each strength: greedy similarity, the best static cap (tuned on validation users), greedy minutes, the myopic oracle,
PPO on weights and its γ = 0 twin, on the same test users with the same luck. What counts is the paired difference of
PPO to its twin, and to the best rule. At 1 the scenario is as it is; at 0 nothing shown changes how users choose, stay
or return later. But all here choose from candidates, which the retriever finds by the history even at 0: what is
clicked then changes what can be shown. So at 0, too, a little planning may pay, and only an oracle that chooses from
the whole catalogue (`MyopicOracle(world, whole=True)`) is exactly optimal.

Writes runs/NAME: results.parquet (one row a strength, policy, seed and user), dial.png, dial.html. Whatever an
interrupted study had trained or played is kept there and not done again; more strengths or seeds may be added later.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table

from longplay.agents.base import Agent
from longplay.agents.comparison.contestants import Contestant, describe_trainings, tune_rules
from longplay.agents.comparison.origin import describe_origin
from longplay.agents.comparison.summary import read_minutes
from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.luck import TEST_LUCK
from longplay.agents.references.oracles import MyopicOracle
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.progress import count_slates
from longplay.agents.runs.reading import load_agent
from longplay.agents.setting import Setting
from longplay.agents.stats import bootstrap_difference
from longplay.envs.shared.files import write_whole
from longplay.scripts.shared.console import console, load_world, make_progress, run_command
from longplay.scripts.shared.folders import record_study, run_folder, write_figure, write_table
from longplay.scripts.shared.tables import MARK, TIGHT, explain_labels, format_interval, make_table
from longplay.scripts.shared.tracking import check_tracking
from longplay.scripts.shared.trainings import Training, train_all

NAMES = ("similarity", "static-cap", "minutes")  # of the rules, as `RULES` of `longplay.agents.registry` has them
RULES = ("greedy similarity", "static cap", "greedy minutes")
ORACLE, AHEAD, TWIN = "myopic oracle", "PPO", "PPO γ=0"
POLICIES = (*RULES, ORACLE, AHEAD, TWIN)
STUDY = ("env", "catalog", "scenario", "steps", "users", "validation_users")  # what all parts must share


@dataclass
class Arguments:
    """Train and play at each strength of the dynamics."""

    name: str = "dial"
    """Folder below runs/."""
    strengths: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0)
    """Strengths of the coupling of the present to the future; 1 is the scenario."""
    seeds: int = 3
    """Training seeds of PPO and of its twin, at each strength."""
    steps: int = RunConfig.steps
    """Slates that each training learns from."""
    users: int = 500
    """Test users that every policy plays."""
    validation_users: int = 200
    """Validation users that rules and policies are chosen on."""
    env: str = Setting.env
    """Environment id."""
    catalog: str | None = None
    """A table of items; by default the environment's own."""
    id_column: str | None = None
    """Column of ids in the catalogue's table; by default id."""
    text_column: str | None = None
    """Column of texts in the catalogue's table; by default text."""
    scenario: str | None = None
    """A scenario TOML file; by default the environment's own."""
    workers: int = 2
    """Trainings side by side, one thread each."""
    track: str = "off"
    """Tracking by Weights & Biases: online, offline or off."""

    def setting(self, strength: float) -> Setting:
        """The setting at a strength."""
        return Setting(
            self.env,
            self.catalog,
            self.scenario,
            strength=strength,
            id_column=self.id_column,
            text_column=self.text_column,
        )


def main(args: Arguments) -> None:
    """Train, play, show; whatever is there already is left as it is."""
    check_tracking(args.track)
    for name in ("seeds", "steps", "workers"):
        if getattr(args, name) < 1:
            raise ValueError(f"{name} = {getattr(args, name)} must be at least 1")
    if not args.strengths or len(set(args.strengths)) < len(args.strengths):
        raise ValueError(f"strengths = {list(args.strengths)} must be one or more different numbers")
    folder = run_folder(args.name)
    settings = {strength: args.setting(strength) for strength in sorted(args.strengths)}
    first = next(iter(settings.values()))
    held_out_users(first.world, "test", args.users)
    held_out_users(first.world, "validation", args.validation_users, field="validation_users")
    record_study(folder, {key: getattr(args, key) for key in STUDY})
    load_world(first)
    trainings = [
        Training(name_run(args, strength, policy, seed), config)
        for strength, setting in settings.items()
        for seed in range(args.seeds)
        for policy, config in make_configs(args, setting, seed).items()
        if not locate_lives(args, strength, policy, seed).exists()
    ]
    if trainings:
        train_all(trainings, args.workers, args.track)
    with make_progress() as progress:
        task = progress.add_task("playing", total=1.0)

        def show(what: str, share: float = 0.0) -> None:
            progress.update(task, description=what, completed=share)

        for strength, setting in settings.items():
            play_missing(args, strength, setting, show)
    results = read_results(args)
    write_table(results, folder / "results.parquet")
    frame = summarise(results)
    write_picture(folder, frame, results)
    for table in make_tables(frame, args):
        console.print(table)
    console.print(f"picture: {folder / 'dial.html'}", soft_wrap=True)


def make_configs(args: Arguments, setting: Setting, seed: int) -> dict[str, RunConfig]:
    """PPO and its twin, of one seed."""
    ahead = RunConfig(setting, seed=seed, steps=args.steps, eval_users=args.validation_users)
    return {AHEAD: ahead, TWIN: ahead.twin()}


def name_run(args: Arguments, strength: float, policy: str, seed: int) -> str:
    """Name below runs/ of a policy at a strength: of its training, and without a suffix of its lives."""
    names = {AHEAD: f"ppo-{seed}", TWIN: f"twin-{seed}"}
    return f"{args.name}/strength-{strength:g}/{names.get(policy, policy.replace(' ', '-'))}"


def locate_lives(args: Arguments, strength: float, policy: str, seed: int) -> Path:
    """File of the lives of a policy at a strength."""
    return run_folder(name_run(args, strength, policy, seed) + ".parquet")


def play_missing(args: Arguments, strength: float, setting: Setting, show: Callable[[str, float], None]) -> None:
    """Play what has not been played at this strength, one file a policy and seed."""
    everything = [(p, s) for p in POLICIES for s in range(args.seeds if p in (AHEAD, TWIN) else 1)]
    missing = [(p, s) for p, s in everything if not locate_lives(args, strength, p, s).exists()]
    if not missing:
        return
    agents: dict[str, Agent] = {ORACLE: MyopicOracle(setting.world)}
    policies = {ORACLE: Contestant(ORACLE, "reference", [agents[ORACLE]])}
    if any(p in RULES for p, _ in missing):

        def say(what: str) -> None:
            show(f"strength {strength:g}: {what}", 0.0)

        contestants = tune_rules(setting, args.validation_users, say, NAMES)
        policies |= {contestant.name: contestant for contestant in contestants}
        agents |= {contestant.name: contestant.agents[0] for contestant in contestants}
    evaluator = Evaluator(
        setting.world, setting.item_vectors, held_out_users(setting.world, "test", args.users), TEST_LUCK
    )
    for policy, seed in missing:
        agent = agents.get(policy)
        if agent is None:
            folder = run_folder(name_run(args, strength, policy, seed))
            config = make_configs(args, setting, seed)[policy]
            agent = load_agent(folder, config, setting)
            about = describe_trainings([config], [folder], [count_slates(folder)])
            policies[policy] = Contestant(policy, "learned", [agent], about=about)
        table = evaluator.play(agent, lambda share, p=policy: show(f"strength {strength:g}: {p}", share))  # type: ignore[misc]
        table = table.assign(strength=strength, policy=policy, seed=seed)
        table.attrs = {"origin": describe_origin(setting, [policies[policy]], args.users, args.validation_users)}
        write_table(table, locate_lives(args, strength, policy, seed))


def read_results(args: Arguments) -> pd.DataFrame:
    """All rows of the strengths and seeds asked for."""
    seeds = {policy: args.seeds if policy in (AHEAD, TWIN) else 1 for policy in POLICIES}
    files = [locate_lives(args, x, p, s) for x in sorted(args.strengths) for p in POLICIES for s in range(seeds[p])]
    lives = {file: pd.read_parquet(file) for file in files}
    root = run_folder(args.name)
    origins = {file.relative_to(root).as_posix(): table.attrs.pop("origin", {}) for file, table in lives.items()}
    results = pd.concat(list(lives.values()), ignore_index=True)
    results.attrs = {"origin": origins}
    return results


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """One row a strength: `Interval` of each policy's minutes, and of the paired differences; the best rule's name."""
    summaries = []
    for strength, rows in results.groupby("strength"):
        minutes = {policy: read_minutes(rows, policy) for policy in POLICIES}
        best = max(RULES, key=lambda rule: minutes[rule].mean())
        row: dict[str, object] = {"strength": strength, "best rule": best}
        once = len(minutes[AHEAD]) == 1  # as of its twin
        row |= {
            policy: bootstrap_difference(own, trained_once=once and policy in (AHEAD, TWIN))
            for policy, own in minutes.items()
        }
        for name, other in (("− twin", TWIN), ("− best rule", best), ("− oracle", ORACLE)):
            others = minutes[other]
            # A twin begins with the same seed, so those two are compared seed by seed.
            own, theirs = (minutes[AHEAD] - others, None) if other == TWIN else (minutes[AHEAD], others)
            row[name] = bootstrap_difference(own, theirs, trained_once=once)
        summaries.append(row)
    return pd.DataFrame(summaries)


def make_tables(frame: pd.DataFrame, args: Arguments) -> list[Table]:
    """Minutes, and differences."""
    differences = ("− twin", "− best rule", "− oracle")
    title = f"Minutes, {args.users} test users, same luck"
    minutes = make_table(title, ("dial", *POLICIES), "r", **TIGHT)
    title = f"{AHEAD} against others, paired (95 % intervals: users and seeds)"
    caption = explain_labels(frame.to_numpy().ravel(), MARK) or None
    gains = make_table(
        title, ("dial", *differences, "best rule"), "r", caption=caption, caption_justify="left", **TIGHT
    )
    for row in frame.to_dict("records"):
        strength = f"{row['strength']:g}"
        minutes.add_row(strength, *(f"{row[policy].mean:.1f}" for policy in POLICIES))
        gains.add_row(
            strength, *(format_interval(row[name], "+.0f", ".0f", MARK) for name in differences), row["best rule"]
        )
    return [minutes, gains]


def write_picture(folder: Path, frame: pd.DataFrame, results: pd.DataFrame) -> None:
    """``dial.png``, and ``dial.html`` with it and the numbers."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for policy, colour in zip(
        POLICIES, ("#bbbbbb", "#888888", "#333333", "#e08a00", "#1f6fd0", "#8cc0f5"), strict=True
    ):
        left.plot(frame["strength"], [i.mean for i in frame[policy]], "o-", color=colour, label=policy, ms=4)
    left.set_ylabel("minutes of dwell until the horizon")
    left.set_yscale("log")
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter("{x:g}")
    scale = np.array([100 / row[row["best rule"]].mean for row in frame.to_dict("records")])
    for column, colour in (("− best rule", "#333333"), ("− twin", "#1f6fd0")):
        low, mean, high = scale * np.array([(i.low, i.mean, i.high) for i in frame[column]]).T
        right.plot(frame["strength"], mean, "o-", color=colour, label=f"{AHEAD} {column}", ms=4)
        right.fill_between(frame["strength"], low, high, color=colour, alpha=0.15, lw=0)
    right.axhline(0, color="#888888", lw=0.8)
    right.set_ylabel("difference in % of the best rule's minutes")
    for axes in (left, right):
        axes.set_xlabel("strength of the dynamics")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    picture = base64.b64encode(write_figure(figure, folder / "dial.png")).decode()
    write_whole(
        folder / "dial.html",
        "<!doctype html><html lang=en><meta charset=utf-8><title>longplay: the dial</title>"
        "<body style='font:15px/1.5 system-ui,sans-serif;max-width:1280px;margin:2rem auto'>"
        f"<h1>When does planning pay?</h1><p>{results['user'].nunique()} test users, the same luck for every policy; "
        f"95 % intervals of a bootstrap over users (paired) and training seeds. "
        f"{explain_labels(frame.to_numpy().ravel())} The dial scales everything that couples "
        "what is shown now to what comes later.</p>"
        f"<img alt='minutes against the dial' style='max-width:100%' src='data:image/png;base64,{picture}'>"
        f"{frame.map(str).to_html(index=False)}",
    )


if __name__ == "__main__":
    run_command(main, Arguments)
