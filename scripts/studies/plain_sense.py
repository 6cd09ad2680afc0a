"""Does a world make plain sense, before anybody looks for what there is to gain in it? Rules and probes, and checks.

    python -m longplay.scripts.studies.plain_sense --name plain-sense
    python -m longplay.scripts.studies.plain_sense --name ends --envs longplay/Video-v1 --ends --users 150

For worlds in which impressions leave a trace. Beside the rules as they come, without tuning, these probes are played:
a blank screen, the first K candidates, the longest and the highest rated ones, greedy similarity that shows a slate
once more after nothing in it was opened, and the most popular items in a circle that is one slate too long for the
user's memory, so that what comes again has just been forgotten. Checked, on validation users:

- a blank screen loses three quarters of the users in a month (97 % in a season of
  ninety days, and in between as many as fall by the same share each day);
- first session: greedy similarity > popularity > random items, the first two without repeats in a session;
- a handful to a few dozen sessions a month;
- no rule at a ceiling: the best earns less than the myopic oracle;
- the click does not decide alone: of two rules, one whose slates are opened no more often keeps at least 5 points more;
- the longest candidates, the first K, an ignored slate shown again and the circle gain nothing over greedy similarity,
  fresh: the 95 % interval of the difference is not above 0.

With --ends the same for each assumed constant at both ends of its range, one at a time, and beside the checks what a
constant bonus of --bonus minutes for an item's verdict gains on the myopic oracle.

Writes runs/NAME/results.parquet (one row a world, policy and user). The same command goes on after an interruption;
environments and constants may be added later.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from longplay.agents.base import Agent, SlateFunction, as_agent
from longplay.agents.fresh import make_fresh
from longplay.agents.playing.evaluate import TURNS, Evaluator, held_out_users
from longplay.agents.playing.luck import VALIDATION_LUCK
from longplay.agents.references.bonus import BonusOracle
from longplay.agents.references.oracles import MyopicOracle
from longplay.agents.registry import RULES
from longplay.agents.rules.context import RuleModels
from longplay.agents.rules.ranking import rank_candidates, read_feature
from longplay.agents.setting import Setting
from longplay.agents.stats import bootstrap_difference
from longplay.envs.candidates.scoring import Scorer
from longplay.envs.engine import ContextColumn
from longplay.envs.users.constants import format_key
from longplay.envs.users.params import Scenario
from longplay.envs.users.world import World
from longplay.scripts.shared.console import console, load_world, make_progress, run_command
from longplay.scripts.shared.folders import record_study, run_folder, write_table
from longplay.scripts.shared.pool import work_side_by_side
from longplay.scripts.shared.tables import TIGHT, make_table
from longplay.scripts.studies.headroom.worlds import StudyWorld, Value
from longplay.scripts.studies.sensitivity.analysis import SWEPT

BLANK, AGAIN, FIRST, CIRCLE = "blank screen", "ignored slate again", "first K candidates", "popular in a circle"
FRESH, LONGEST, RATED = "greedy similarity, fresh", "longest", "highest rated"
POPULAR, RANDOM, MYOPIC, BONUS = "popularity, fresh", "random", "myopic oracle", "constant bonus"
PLAYED = ("random-candidates", "popularity", "similarity", "minutes")  # rules as they come, with repeats and without
MONTH, SEASON = 30.0, 90.0  # days
GONE, GONE_IN_A_SEASON = 0.75, 0.97
MONTHLY_SESSIONS = (3.0, 36.0)
KEPT = 0.05  # more users that are kept by slates that are opened no more often
QUICK = (BLANK, FRESH, POPULAR, RANDOM, AGAIN, LONGEST, RATED, FIRST, CIRCLE, MYOPIC, BONUS)  # at the ends of ranges


@dataclass
class Arguments:
    """Play rules and probes, and check."""

    name: str = "plain-sense"
    """Folder below runs/."""
    envs: tuple[str, ...] = tuple(f"longplay/{name}" for name in ("Video-v1", "Season-v0", "Shop-v1", "Social-v1"))
    """Environment ids, of worlds with a memory of impressions."""
    users: int = 300
    """Validation users that everybody plays."""
    ends: bool = False
    """Each assumed constant at both ends of its range, one at a time, and what a constant bonus gains there."""
    bonus: float = 3.0
    """Minutes of the bonus for each standard deviation of an item's verdict."""
    constants: tuple[str, ...] = ()
    """With --ends these constants alone, such as churn.trust."""
    catalog: str | None = None
    """A table of items; by default each environment's own."""
    id_column: str | None = None
    """Column of ids in the catalogue's table; by default id."""
    text_column: str | None = None
    """Column of texts in the catalogue's table; by default text."""
    scenario: str | None = None
    """A scenario TOML file; by default each environment's own."""
    workers: int = 1
    """Worlds side by side, one process each."""

    def make_world(self, env: str, *changes: tuple[str, Value]) -> StudyWorld:
        """A world of the study."""
        table = {"catalog": self.catalog, "id_column": self.id_column, "text_column": self.text_column}
        return StudyWorld(env, 0, changes, self.scenario, table)


@dataclass
class AgainAgent:
    """Greedy similarity without repeats, but a slate in which nothing was opened is shown once more."""

    fresh: Agent
    name: str = AGAIN
    privileged: bool = False

    def act(self, observation: Any) -> NDArray[np.int64]:
        """The last slate after an odd number of slates in vain in this session, else a fresh one."""
        slates = self.fresh.act(observation)
        context = observation["context"]
        again = (context[:, ContextColumn.SKIPS] % 2 == 1) & (context[:, ContextColumn.DEPTH] > 0)
        slates[again] = observation["slate_ids"][again].astype(np.int64)
        return slates


@dataclass
class CircleAgent:
    """The same slates (L, K) for everybody, one after another, and again from the first."""

    slates: NDArray[np.int64]
    name: str = CIRCLE
    privileged: bool = False

    @classmethod
    def evict(cls, world: World) -> "CircleAgent":
        """The catalogue's most popular items, as many as a user remembers and a slate more."""
        slots = world.scenario.shape.slate
        count = min(world.scenario.memory // slots + 1, len(world.catalog) // slots)
        order = np.argsort(-world.catalog.popularity, kind="stable")[: count * slots]
        return cls(order.reshape(count, slots) + 1)

    def act(self, observation: Any) -> NDArray[np.int64]:
        """The slate after the one shown last, which tells where the circle stands."""
        last = observation["slate_ids"][:, 0].astype(np.int64)
        place = np.argmax(self.slates[:, 0] == last[:, None], axis=1)
        return self.slates[np.where(last > 0, (place + 1) % len(self.slates), 0)]


def main(args: Arguments) -> None:
    """Play what is missing, check, print."""
    for name in ("users", "workers"):
        if getattr(args, name) < 1:
            raise ValueError(f"{name} = {getattr(args, name)} must be at least 1")
    worlds = [world for env in args.envs for world in list_worlds(env, args)]
    folder = run_folder(args.name)
    for env in args.envs:
        setting = args.make_world(env).make_setting(folder)
        held_out_users(setting.world, "validation", args.users)
        load_world(setting)
    record_study(folder, {name: getattr(args, name) for name in ("users", "ends", "bonus", "catalog", "scenario")})
    files = {world: folder / world.label / "lives.parquet" for world in worlds}
    missing = [(world, file) for world, file in files.items() if not file.exists()]
    with make_progress() as progress:
        task = progress.add_task("playing", total=len(worlds), completed=len(worlds) - len(missing))
        for (world, _), _ in work_side_by_side(partial(play_world, args=args), missing, args.workers):
            progress.update(task, description=world.label, advance=1)
    lives = {world.label: pd.read_parquet(file) for world, file in files.items()}
    write_table(pd.concat(list(lives.values()), ignore_index=True), folder / "results.parquet")
    if not args.ends:
        for label, table in lives.items():
            print_policies(label, table)
    print_checks({world.label: check_world(lives[world.label], read_days(world)) for world in worlds})
    if args.ends:
        print_gains(lives)


def list_worlds(env: str, args: Arguments) -> list[StudyWorld]:
    """The world as it is, and with `Arguments.ends` with each assumed constant at one end of its range.

    Raises
    ------
    ValueError
        For a world in which impressions leave no trace, and a constant that cannot be swept.
    """
    whole = args.make_world(env)
    scenario = whole.read_scenario()
    if not scenario.memory:
        raise ValueError(
            f"envs: in {env!r} impressions leave no trace, so that these checks do not hold; name worlds such as "
            "longplay/Video-v1, or take python -m longplay.scripts.studies.scenarios"
        )
    swept = [key for key in scenario.ranges if is_assumed(scenario, key)]
    unknown = set(args.constants) - set(map(format_key, swept))
    if unknown:
        raise ValueError(
            f"constants: {sorted(unknown)[0]!r} is no assumed constant of {env} with a range; allowed: "
            f"{', '.join(map(format_key, swept))}"
        )
    if args.constants and not args.ends:
        raise ValueError(f"constants = {list(args.constants)} would change nothing; give --ends, too")
    if not args.ends:
        return [whole]
    names = [key for key in swept if not args.constants or format_key(key) in args.constants]
    ends = [(format_key(key), float(end)) for key in names for end in scenario.ranges[key]]
    return [whole, *(args.make_world(env, change) for change in ends)]


def is_assumed(scenario: Scenario, key: str) -> bool:
    """Whether a constant could be another: neither measured nor a definition."""
    low, high = scenario.ranges[key]
    return scenario.sources[key].startswith(SWEPT) and low < high


def read_days(world: StudyWorld) -> float:
    """The horizon [days]."""
    return float(world.read_scenario().params.horizon_days)


def make_policies(setting: Setting, quick: bool, bonus: float) -> Mapping[str, Callable[[], Agent | SlateFunction]]:
    """Makers of the rules and probes by name."""
    models, slots = RuleModels(setting), setting.world.scenario.shape.slate

    def build(name: str) -> Agent:
        return RULES[name].build(models, RULES[name].options())

    makers: dict[str, Callable[[], Agent | SlateFunction]] = {
        BLANK: lambda: lambda observation: np.zeros((len(observation["context"]), slots), np.int64),
        FIRST: lambda: lambda observation: observation["candidates"][:, :slots].astype(np.int64),
        RANDOM: lambda: build("random"),
        LONGEST: lambda: make_fresh(build("longest")),
        RATED: lambda: make_fresh(as_agent(partial(rank_by_rating, models.scorer))),
        AGAIN: lambda: AgainAgent(make_fresh(build("similarity"))),
        CIRCLE: lambda: CircleAgent.evict(setting.world),
    }
    for name in PLAYED:
        makers[RULES[name].title] = lambda name=name: build(name)  # type: ignore[misc]
        makers[f"{RULES[name].title}, fresh"] = lambda name=name: make_fresh(build(name))  # type: ignore[misc]
    makers[RULES["minutes-rating"].title] = lambda: make_fresh(build("minutes-rating"))
    makers[MYOPIC] = lambda: MyopicOracle(setting.world)
    makers[BONUS] = lambda: BonusOracle(setting.world, bonus)
    return {name: maker for name, maker in makers.items() if (name in QUICK if quick else name != BONUS)}


def rank_by_rating(scorer: Scorer, observation: Any) -> NDArray[np.int64]:
    """Slates of the highest rated candidates."""
    return rank_candidates(scorer, observation, read_feature(scorer, observation, "rating"))


def play_world(place: tuple[StudyWorld, Path], args: Arguments) -> None:
    """Write the lives of all policies in a world into a file, a row a policy and user; each is kept once played."""
    world, file = place
    file.parent.mkdir(parents=True, exist_ok=True)
    setting = world.make_setting(file.parent)
    users = held_out_users(setting.world, "validation", args.users)
    evaluator = Evaluator(setting.world, setting.item_vectors, users, VALIDATION_LUCK)
    makers = make_policies(setting, args.ends, args.bonus)
    parts = {name: file.with_name(f"{name.replace(' ', '-')}.parquet") for name in makers}
    for name, part in parts.items():
        if not part.exists():
            write_table(evaluator.play(makers[name]()).assign(policy=name), part)
    tables = [pd.read_parquet(part) for part in parts.values()]
    write_table(pd.concat(tables, ignore_index=True).assign(world=world.label), file)
    for part in parts.values():
        part.unlink()


def check_world(lives: pd.DataFrame, days: float) -> dict[str, bool]:
    """Whether each check holds."""
    mean = lives.groupby("policy")[["minutes", "first_session_minutes", "sessions", "churned"]].mean()
    first, gone = mean["first_session_minutes"], mean["churned"]
    months = max(days / MONTH, 1.0)
    rules = [name for name in mean.index if name not in (MYOPIC, BONUS, BLANK)]
    low, high = MONTHLY_SESSIONS
    return {
        f"a blank screen loses {GONE:.0%} ({GONE_IN_A_SEASON:.0%} in a season)": gone[BLANK] >= read_loss(days),
        "first session: similarity > popularity > random": first[FRESH] > first[POPULAR] > first[RANDOM],
        "a handful to a few dozen sessions a month": low * months <= mean["sessions"][FRESH] <= high * months,
        "no rule at a ceiling": mean["minutes"][rules].max() < mean["minutes"][MYOPIC],
        "the click does not decide alone": finds_conflict(lives, rules),
        **{f"{name}: no gain": gains_nothing(lives, name) for name in (LONGEST, FIRST, AGAIN, CIRCLE)},
    }


def read_loss(days: float) -> float:
    """Share of the users that a blank screen has to lose within some days."""
    part = min(max((days - MONTH) / (SEASON - MONTH), 0.0), 1.0)
    return float(1.0 - (1.0 - GONE) ** (1.0 - part) * (1.0 - GONE_IN_A_SEASON) ** part)


def finds_conflict(lives: pd.DataFrame, rules: list[str]) -> bool:
    """Whether one rule's slates are opened no more often than another's, and it keeps more of the users."""
    sums = lives.groupby("policy")[["clicks", "slates"]].sum().loc[rules]
    opened, kept = sums["clicks"] / sums["slates"], 1.0 - lives.groupby("policy")["churned"].mean().loc[rules]
    return any(opened[a] <= opened[b] and kept[a] >= kept[b] + KEPT for a in rules for b in rules)


def gains_nothing(lives: pd.DataFrame, name: str) -> bool:
    """Whether a probe earns no more than fresh similarity, as far as the users can tell."""
    return bootstrap_difference(read_policy(lives, name) - read_policy(lives, FRESH)).low <= 0.0


def read_policy(lives: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """(1, U) minutes of a policy's users, in their order."""
    return lives[lives["policy"] == name].sort_values("user")["minutes"].to_numpy()[None]


def print_policies(label: str, lives: pd.DataFrame) -> None:
    """What each policy earns and keeps."""
    some = [column for column in TURNS if column in lives]
    titles = [TURNS[column] for column in some]
    columns = ("policy", "minutes", "first session", "sessions", "gone", "opened", "repeated", *titles)
    table = make_table(f"{label}, {lives['user'].nunique()} validation users", columns, "r", **TIGHT)
    for name, rows in lives.groupby("policy", sort=False):
        opened = rows["clicks"].sum() / max(rows["slates"].sum(), 1.0)
        mean = rows[["minutes", "first_session_minutes", "sessions", "churned", "repeated"]].mean()
        cells = (f"{mean.iloc[0]:.1f}", f"{mean.iloc[1]:.1f}", f"{mean.iloc[2]:.1f}", f"{mean.iloc[3]:.0%}")
        more = (f"{rows[column].mean():.1f}" for column in some)
        table.add_row(str(name), *cells, f"{opened:.2f}", f"{mean.iloc[4]:.0%}", *more)
    console.print(table)


def print_checks(checks: Mapping[str, Mapping[str, bool]]) -> None:
    """Worlds by checks; where there are many worlds, only what fails."""
    if len(checks) <= 6:
        table = make_table("plain sense", ("check", *checks), **TIGHT)
        for name in next(iter(checks.values())):
            table.add_row(name, *("yes" if found[name] else "NO" for found in checks.values()))
        console.print(table)
        return
    table = make_table("plain sense at the ends of ranges", ("world", "checks that fail"), **TIGHT)
    for label, found in checks.items():
        table.add_row(label, "; ".join(name for name, holds in found.items() if not holds) or "none")
    console.print(table)


def print_gains(lives: Mapping[str, pd.DataFrame]) -> None:
    """What the constant bonus gains on the myopic oracle in each world."""
    table = make_table("gain of a constant bonus", ("world", "myopic", "bonus", "gain", "95 % interval"), "r", **TIGHT)
    for label, rows in lives.items():
        myopic, bonus = read_policy(rows, MYOPIC), read_policy(rows, BONUS)
        gain = bootstrap_difference(bonus - myopic)
        scale = 100.0 / myopic.mean()
        interval = f"[{scale * gain.low:+.0f}, {scale * gain.high:+.0f}]"
        table.add_row(label, f"{myopic.mean():.0f}", f"{bonus.mean():.0f}", f"{scale * gain.mean:+.0f} %", interval)
    console.print(table)


if __name__ == "__main__":
    run_command(main, Arguments)
