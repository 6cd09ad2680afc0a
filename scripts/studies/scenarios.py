"""Does each scenario make plain sense? Rules and references in all of them, before any agent is trained.

    python -m longplay.scripts.studies.scenarios --name scenarios

In each scenario the rules are tuned on its validation users and everybody plays its test users with the same luck.
Checked: in a first session similarity earns more than popularity and random, over the horizon not less than random; a
handful to a few dozen sessions, a fifth to a half of the users gone under greedy similarity; no rule reaches the best
reference. Also reported: the correlation over items of substance (what keeps a user) with the minutes that an item is
expected to pay in a slot of its own (what pays now); were it high, retention would follow from the reward by
construction.

Writes runs/NAME/results.parquet, one row a scenario, policy and user.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from gymnasium.vector import AutoresetMode
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from longplay.agents.comparison.contestants import make_references, play_contestants, tune_rules
from longplay.agents.references.oracles import MyopicOracle
from longplay.agents.runs.config import Setting
from longplay.envs.env import SlateVectorEnv
from longplay.envs.users.world import World
from longplay.scripts.shared.console import command_line, console, prepare, run_name, write_table
from longplay.scripts.studies.sensitivity.analysis import plain_sense

MAIN = ("Video", "News", "Shop", "Social", "VideoShifted", "NewsShifted", "ShopShifted", "SocialShifted")


@dataclass
class Arguments:
    """Play the rules in every scenario."""

    name: str = "scenarios"
    """Folder below runs/."""
    envs: tuple[str, ...] = tuple(f"longplay/{name}-v0" for name in MAIN)
    """Environment ids."""
    users: int = 200
    """Test users."""
    validation_users: int = 60
    """Validation users that the rules are tuned on."""


def substance_and_reward(world: World, users: int = 200) -> float:
    """Mean over users of the correlation over live items of substance and expected minutes, alone in the first slot."""
    env = SlateVectorEnv(world, users, privileged=True, autoreset_mode=AutoresetMode.DISABLED, reward="minutes")
    observation, info = env.reset(seed=0)
    ids = np.broadcast_to(np.arange(1, len(world.catalog) + 1), (users, len(world.catalog)))
    pull, minutes = MyopicOracle(world, whole=True).weigh_items(ids, {**observation, "latent": info["latent"]})
    paid = pull / (np.exp(world.scenario.params.choice_nothing) + pull) * minutes
    substance = world.items["substance"][1:]
    return float(np.mean([np.corrcoef(substance[on], row[on])[0, 1] for row, on in zip(paid, pull > 0, strict=True)]))


def main(args: Arguments) -> None:
    """Play, check, print."""
    folder = run_name(args.name)
    settings = {env: Setting(env) for env in args.envs}
    played = [play_one(setting, args).assign(world=env) for env, setting in settings.items()]
    together = {env: substance_and_reward(setting.world) for env, setting in settings.items()}
    table = pd.concat(played, ignore_index=True)
    write_table(table, folder / "results.parquet")
    report(table, together)


def play_one(setting: Setting, args: Arguments) -> pd.DataFrame:
    """Tune the rules of one scenario, and play everybody."""
    prepare(setting)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(setting.env)

        def say(what: str, share: float = 0.0) -> None:
            progress.update(task, description=f"{setting.env}: {what}")

        return play_contestants(
            setting, [*tune_rules(setting, args.validation_users, say), *make_references(setting)], args.users, say
        )


def report(results: pd.DataFrame, together: dict[str, float]) -> None:
    """Minutes of each policy, and the checks."""
    minutes = results.groupby(["policy", "world"], sort=False)["minutes"].mean().unstack(sort=False)
    envs = [str(env) for env in minutes]
    first = Table(title=f"minutes until the horizon, {results['user'].nunique()} users or more", title_justify="left")
    second = Table(title="plain sense", title_justify="left")
    for table, head in ((first, "policy"), (second, "check")):
        table.add_column(head)
        for env in envs:
            table.add_column(env.removeprefix("longplay/").removesuffix("-v0"), justify="right")
    for policy, row in minutes.iterrows():
        first.add_row(str(policy), *(f"{value:.1f}" for value in row))
    checks = plain_sense(results)
    for name, held in checks.items():
        second.add_row(str(name), *("yes" if held[env] else "NO" for env in envs))
    second.add_row("correlation of substance and reward", *(f"{together[env]:+.2f}" for env in envs))
    console.print(first)
    console.print(second)


if __name__ == "__main__":
    command_line(main, Arguments)
