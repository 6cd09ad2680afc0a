"""What is there to gain over a whole month beyond the best slate now? Headroom in three steps.

    python -m longplay.scripts.studies.headroom --name headroom --envs longplay/Video-v1 --seeds 1 2 3
    python -m longplay.scripts.studies.headroom --name trust --sweep choice.trust 0 0.5 1 2 --steps myopic constant

The steps: the myopic oracle, whose slates pay most now; the best constant bonus, k minutes for each standard deviation
of an item's verdict, the same for everybody and at all times, which a term for quality in any ranking could do; and a
planner, whose worths read people and their state. Beside them stands the items oracle, which knows the items and
nothing hidden of the user: from there to the myopic oracle is what knowing people is worth now. Bonus and planner are
chosen on training and validation users of each world, and all are played by its test users with the same luck. Gains
are in percent, with paired 95 % intervals over users; those over all world seeds take users of all worlds as one crowd.

A sweep repeats this for each value of one constant of the scenario, such as impression.memory or horizon.days, or of
dynamics_strength, the dial.

Writes runs/NAME: a folder for each world with the lives of each step and what was chosen, results.parquet (one row a
world, step and user), headroom.parquet, headroom.png. The same command goes on after an interruption; environments,
seeds, values and steps may be added later.
"""

from dataclasses import dataclass
from functools import partial

import pandas as pd

from longplay.agents.playing.cross_entropy import CrossEntropyOptions
from longplay.agents.playing.evaluate import held_out_users
from longplay.agents.playing.sweep import SweepOptions
from longplay.agents.setting import Setting
from longplay.envs.named.registry import ENVIRONMENTS
from longplay.envs.shared.names import one_of
from longplay.scripts.shared.console import console, load_world, make_progress, run_command
from longplay.scripts.shared.folders import record_study, run_folder, write_figure, write_table
from longplay.scripts.shared.pool import work_side_by_side
from longplay.scripts.studies.headroom.report import draw_figure, make_tables, summarise
from longplay.scripts.studies.headroom.steps import STEPS, Budget, Part, name_step, play_part, read_bonus, read_part
from longplay.scripts.studies.headroom.worlds import StudyWorld, read_changes

SHARED = ("users", "rollout_users", "validation_users", "search_users", "population", "rounds", "scenario", "catalog")


@dataclass
class Arguments:
    """Fit and play each step in each world."""

    name: str = "headroom"
    """Folder below runs/."""
    envs: tuple[str, ...] = (Setting.env,)
    """Environment ids."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """World seeds."""
    steps: tuple[str, ...] = ("items", "myopic", "constant", "planner")
    """Steps to play: items, myopic, constant, planner; also network, a neural oracle that starts as the planner, and
    rollouts of the true user model around the planner."""
    sweep: tuple[str, ...] = ()
    """A constant of the scenario, as its file names it, or dynamics_strength, and the values that it takes."""
    users: int = 500
    """Test users that each step plays."""
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
    """A table of items; by default each environment's own."""
    id_column: str | None = None
    """Column of ids in the catalogue's table; by default id."""
    text_column: str | None = None
    """Column of texts in the catalogue's table; by default text."""
    scenario: str | None = None
    """A scenario TOML file; by default each environment's own."""
    workers: int = 1
    """Worlds side by side, one process each."""


def main(args: Arguments) -> None:
    """Fit, play, show; whatever is there already is left as it is."""
    parts = list_parts(args)
    folder = run_folder(args.name)
    first = Setting(args.envs[0], world_seed=args.seeds[0], scenario=args.scenario, **parts[0].world.table)  # type: ignore[arg-type]
    held_out_users(first.world, "test", args.users)
    held_out_users(first.world, "validation", args.validation_users, field="validation_users")
    held_out_users(first.world, "train", args.search_users * args.rounds, field="search_users × rounds")
    record_study(folder, {key: getattr(args, key) for key in SHARED})
    load_world(first)
    play_parts(parts, args.workers)
    results = pd.concat([read_part(part) for part in parts], ignore_index=True)
    write_table(results, folder / "results.parquet")
    bonuses = {part.world.label: read_bonus(part) for part in parts if "constant" in part.steps}
    summary = summarise(parts, results, bonuses)
    write_table(summary.map(str), folder / "headroom.parquet")
    write_figure(draw_figure(summary), folder / "headroom.png")
    for table in make_tables(summary, make_budget(args)):
        console.print(table)
    console.print(f"picture: {folder / 'headroom.png'}", soft_wrap=True)


def list_parts(args: Arguments) -> list[Part]:
    """All worlds and steps that are asked for, checked."""
    for name in ("envs", "seeds", "steps"):
        values = getattr(args, name)
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{name} = {list(values)} must be one or more different ones")
    for step in args.steps:
        one_of("steps", step, STEPS)
    for name in ("workers", "rollout_users"):
        if getattr(args, name) < 1:
            raise ValueError(f"{name} = {getattr(args, name)} must be at least 1")
    for env in args.envs:
        ENVIRONMENTS.card(env, "envs")
    changes, folder = read_changes(args.sweep), run_folder(args.name)
    budget = make_budget(args)
    table = {"catalog": args.catalog, "id_column": args.id_column, "text_column": args.text_column}
    worlds = [
        StudyWorld(env, seed, change, args.scenario, table)
        for env in args.envs
        for change in changes
        for seed in args.seeds
    ]
    for world in worlds:
        world.read_scenario()
    steps = tuple(step for step in STEPS if step in args.steps)
    return [Part(world, steps, folder / world.label, budget) for world in worlds]


def make_budget(args: Arguments) -> Budget:
    """What choosing costs."""
    search = CrossEntropyOptions(
        users=args.search_users,
        population=args.population,
        elites=max(args.population // 4, 2),
        iterations=args.rounds,
        validation_users=args.validation_users,
    )
    return Budget(args.users, min(args.rollout_users, args.users), SweepOptions(users=args.validation_users), search)


def play_parts(parts: list[Part], workers: int) -> None:
    """Play what is missing, some worlds side by side."""
    missing = [part for part in parts if part.missing]
    with make_progress() as progress:
        task = progress.add_task("worlds", total=len(parts), completed=len(parts) - len(missing))
        now = progress.add_task("", total=1.0, visible=workers == 1)

        def say(what: str, share: float) -> None:
            progress.update(now, description=what, completed=share)

        work = partial(play_part, say=say) if workers == 1 else play_part  # other processes are silent
        for part, _ in work_side_by_side(work, missing, workers):
            progress.console.print(f"{part}: {', '.join(map(name_step, part.steps))}")
            progress.advance(task)


if __name__ == "__main__":
    run_command(main, Arguments)
