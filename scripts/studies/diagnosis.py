"""Where do the minutes of a month go? Lives with each effect of the user model switched off, and what planning gains.

    python -m longplay.scripts.studies.diagnosis --name diagnosis --env longplay/Video-v1 --users 300

The same users live under the same luck and the same policies in worlds of which each lacks one effect: churn, what
trust does to gaps, what slates do to leaving, satiation and so on. What minutes rise by is what the effect costs under
that policy; effects overlap, so that the costs do not add up. Then the steps of `longplay.scripts.studies.headroom` are
played in the world as it is, with other horizons and with other strengths of the dial: a planner that gains more the
longer the month, and nothing at 0, plans.

Writes runs/NAME: a folder for each world, results.parquet (one row a world, policy and user), diagnosis.png. The same
command goes on after an interruption.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table

from longplay.agents.playing.cross_entropy import CrossEntropyOptions
from longplay.agents.playing.evaluate import held_out_users
from longplay.agents.registry import RULES
from longplay.agents.setting import Setting
from longplay.envs.shared.names import one_of
from longplay.envs.users.params import Scenario
from longplay.scripts.shared.console import console, load_world, run_command
from longplay.scripts.shared.folders import record_study, run_folder, write_figure, write_table
from longplay.scripts.shared.tables import TIGHT, format_interval, make_table
from longplay.scripts.studies.headroom import study as headroom
from longplay.scripts.studies.headroom.report import ALL, GAINS, draw_gains, estimate_gain, measure_lives, summarise
from longplay.scripts.studies.headroom.steps import MYOPIC, Part, name_step, read_part
from longplay.scripts.studies.headroom.worlds import DIAL, StudyWorld, Value

WHOLE, FRESH = "as it is", "similarity-fresh"
EFFECTS: dict[str, dict[str, float]] = {  # what switches each off
    "churn": {"churn.base": -20.0},
    "frailty": {"churn.frailty": 0.0},
    "trust in churn": {"churn.trust": 0.0},
    "trust in gaps": {"gap.trust": 0.0},
    "slates in leaving": {"leave.satisfaction": 0.0, "leave.fatigue": 0.0, "leave.skips": 0.0},
    "satiation": {"satiation.sensitivity": 0.0},
    "momentum": {"momentum.weight": 0.0},
    "repeats": {"repeat.penalty": 0.0},
    "impressions": {"impression.weight": 0.0},
    "trust that opens": {"choice.trust": 0.0},
    "visits in vain": {"trust.vain": 0.0},
    "flares": {"items.flare": 0.0},
    "prices": {"choice.price": 0.0},
    "taste drift": {"taste.drift": 0.0},
    "second taste": {"second.weight": 0.0},
    "habit": {"habit.gap": 0.0},
    "cultivation": {"taste.cultivation": 0.0},
    "conflict": {"items.conflict": 0.0},
}


@dataclass
class Arguments:
    """Play without each effect, and with other horizons and strengths."""

    name: str = "diagnosis"
    """Folder below runs/."""
    env: str = Setting.env
    """Environment id."""
    seed: int = 0
    """World seed."""
    policies: tuple[str, ...] = ()
    """Whose lives: rules, with their default options, items or myopic; by default similarity, fresh where the world
    says what it has shown, and myopic."""
    effects: tuple[str, ...] = tuple(EFFECTS)
    """Effects to switch off, those that the scenario has."""
    steps: tuple[str, ...] = ("myopic", "constant", "planner")
    """Steps of headroom to play; none where there is nothing to vary."""
    horizons: tuple[float, ...] = (10.0, 30.0, 60.0)
    """Days of a life in which headroom is measured."""
    strengths: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5)
    """Strengths of the dial at which headroom is measured."""
    users: int = 300
    """Test users that every policy plays."""
    rollout_users: int = 50
    """Test users that rollouts play at most, a few seconds each."""
    validation_users: int = 200
    """Validation users that bonus and planner are chosen on."""
    search_users: int = CrossEntropyOptions.users
    """Training users that each trial of the planner's search plays."""
    population: int = CrossEntropyOptions.population
    """Trials in each round of the planner's search."""
    rounds: int = CrossEntropyOptions.iterations
    """Rounds of the planner's search."""
    catalog: str | None = None
    """A table of items; by default the environment's own."""
    id_column: str | None = None
    """Column of ids in the catalogue's table; by default id."""
    text_column: str | None = None
    """Column of texts in the catalogue's table; by default text."""
    scenario: str | None = None
    """A scenario TOML file; by default the environment's own."""
    workers: int = 1
    """Worlds side by side, one process each."""

    def headroom(self, *sweep: str) -> headroom.Arguments:
        """The arguments of the study of headroom that sweeps so."""
        own = {key: value for key, value in vars(self).items() if key in headroom.Arguments.__dataclass_fields__}
        worlds = {"envs": (self.env,), "seeds": (self.seed,), "sweep": sweep}
        return headroom.Arguments(**own | worlds | {"steps": self.steps or ("myopic",)})


def main(args: Arguments) -> None:
    """Play, show; whatever is there already is left as it is."""
    effects, sweeps = list_effects(args), list_sweeps(args)
    folder = run_folder(args.name)
    table = effects[0].world.table
    first = Setting(args.env, scenario=args.scenario, world_seed=args.seed, **table)  # type: ignore[arg-type]
    held_out_users(first.world, "test", args.users)
    held_out_users(first.world, "validation", args.validation_users, field="validation_users")
    record_study(folder, {key: getattr(args, key) for key in ("env", "seed", *headroom.SHARED)})
    load_world(first)
    headroom.play_parts([*effects, *(part for parts in sweeps.values() for part in parts)], args.workers)
    lives = pd.concat([read_part(part).assign(without=part.world.name) for part in effects], ignore_index=True)
    grown = {
        name: summarise(parts, pd.concat([read_part(part) for part in parts], ignore_index=True), {})
        for name, parts in sweeps.items()
    }
    write_table(lives, folder / "results.parquet")
    costs = {name_step(policy): compare_worlds(lives, name_step(policy)) for policy in effects[0].steps}
    write_figure(draw_figure(costs, grown), folder / "diagnosis.png")
    for shown in [
        *(make_cost_table(policy, costs[policy]) for policy in costs),
        *map(make_growth_table, grown.values()),
    ]:
        console.print(shown)
    console.print(f"picture: {folder / 'diagnosis.png'}", soft_wrap=True)


def list_effects(args: Arguments) -> list[Part]:
    """The world as it is, and those without an effect that its scenario has, all checked."""
    allowed = [*RULES, "items", "myopic"]
    for field, known in (("policies", allowed), ("effects", list(EFFECTS))):
        values = getattr(args, field)
        if len(set(values)) < len(values):
            raise ValueError(f"{field} = {list(values)} must be different ones")
        for value in values:
            one_of(field, value, known)
    (whole,) = headroom.list_parts(args.headroom())
    scenario, found = whole.world.read_scenario(), []
    policies = args.policies or choose_policies(scenario)
    for name, changes in {WHOLE: {}, **{name: EFFECTS[name] for name in args.effects}}.items():
        if name == WHOLE or any(has_effect(scenario, key, value) for key, value in changes.items()):
            constants: tuple[tuple[str, Value], ...] = tuple(changes.items())
            world = StudyWorld(args.env, args.seed, constants, args.scenario, whole.world.table, name.replace(" ", "-"))
            found.append(Part(world, policies, run_folder(args.name) / world.label, whole.budget))
    return found


def choose_policies(scenario: Scenario) -> tuple[str, ...]:
    """Those that are played where none is named."""
    return (FRESH if scenario.memory and FRESH in RULES else "similarity", "myopic")


def has_effect(scenario: Scenario, name: str, value: float) -> bool:
    """Whether setting a constant to a value changes a scenario."""
    return scenario.read_number(name.replace(".", "_", 1)) != value


def list_sweeps(args: Arguments) -> dict[str, list[Part]]:
    """Worlds in which headroom is measured, by the constant that is swept."""
    swept: dict[str, Sequence[float]] = {"horizon.days": args.horizons, DIAL: args.strengths}
    if not args.steps:
        return {}
    return {
        name: headroom.list_parts(args.headroom(name, *map(str, values))) for name, values in swept.items() if values
    }


def compare_worlds(lives: pd.DataFrame, policy: str) -> pd.DataFrame:
    """One row a world: what a policy's lives look like there, and by how many percent minutes exceed those as it is."""
    own = lives[lives["policy"] == policy]
    whole = own[own["without"] == WHOLE.replace(" ", "-")]
    rows = []
    for name, there in own.groupby("without", sort=False):
        shown = str(name).replace("-", " ")
        gain = None if shown == WHOLE else estimate_gain(there, whole)
        rows.append({"without": shown, "gain": gain, **measure_lives(there)})
    return pd.DataFrame(rows)


def make_cost_table(policy: str, costs: pd.DataFrame) -> Table:
    """Lives in each world."""
    columns = ("without", "minutes", "more minutes, %", "sessions", "gone", "opened", "shown before")
    table = make_table(f"{policy}: where the minutes go (paired 95 % intervals)", columns, "lr", **TIGHT)
    for row in costs.to_dict("records"):
        shares = (f"{row[name]:.1f} %" for name in columns[4:])
        gain = format_interval(row["gain"], "+.1f")
        table.add_row(row["without"], f"{row['minutes'].mean:.1f}", gain, f"{row['sessions']:.1f}", *shares)
    return table


def make_growth_table(summary: pd.DataFrame) -> Table:
    """Gains between the steps of headroom for each value of what is swept."""
    constant, names = summary["constant"].iloc[0], [name for name in GAINS if name in summary]
    title = "Gain in minutes, % (paired 95 % intervals)"
    table = make_table(title, (constant, f"{MYOPIC}, minutes", *names), "r", **TIGHT)
    for row in summary[summary["seed"] == ALL].to_dict("records"):
        minutes = f"{row[f'{MYOPIC}: minutes'].mean:.1f}" if f"{MYOPIC}: minutes" in row else ""
        table.add_row(row["value"], minutes, *(format_interval(row[name], "+.1f") for name in names))
    return table


def draw_figure(costs: dict[str, pd.DataFrame], grown: dict[str, pd.DataFrame]) -> Figure:
    """What each effect costs each policy, and how gains grow with horizon and dial."""
    figure = Figure(figsize=(5.5 * (1 + len(grown)), 5.0), layout="constrained")
    first, *others = figure.subplots(1, 1 + len(grown), squeeze=False)[0]
    for number, (policy, frame) in enumerate(costs.items()):
        rows = [row for row in frame.to_dict("records") if row["gain"] is not None]
        mean = np.array([row["gain"].mean for row in rows])
        reach = np.abs(np.array([[row["gain"].low, row["gain"].high] for row in rows]).reshape(-1, 2).T - mean)
        places = np.arange(len(rows)) + 0.8 * (number - (len(costs) - 1) / 2) / len(costs)
        first.barh(places, mean, xerr=reach, height=0.8 / len(costs), label=policy, error_kw={"lw": 0.8})
        first.set_yticks(range(len(rows)), [row["without"] for row in rows])
    first.invert_yaxis()
    first.axvline(0, color="#888888", lw=0.8)
    first.set_xlabel("minutes more without it, %")
    first.legend(fontsize=8)
    for axes, (constant, summary) in zip(others, grown.items(), strict=True):
        draw_gains(axes, summary[summary["seed"] == ALL])
        axes.set_xlabel(constant)
    return figure


if __name__ == "__main__":
    run_command(main, Arguments)
