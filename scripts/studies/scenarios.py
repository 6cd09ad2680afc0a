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
from typing import Any

import numpy as np
import pandas as pd
from gymnasium.vector import AutoresetMode

from longplay.agents.comparison.contestants import make_references, play_contestants, tune_rules
from longplay.agents.comparison.origin import describe_origin
from longplay.agents.references.oracles import MyopicOracle
from longplay.agents.setting import Setting
from longplay.envs.env import SlateVectorEnv
from longplay.envs.users.world import World
from longplay.scripts.shared.claims import claim
from longplay.scripts.shared.console import console, load_world, make_progress, run_command
from longplay.scripts.shared.folders import run_folder, write_table
from longplay.scripts.shared.tables import FRAMED, make_table
from longplay.scripts.studies.sensitivity.analysis import check_plain_sense

SCENARIOS = ("Video", "News", "Shop", "Social", "VideoShifted", "NewsShifted", "ShopShifted", "SocialShifted")


@dataclass
class Arguments:
    """Play the rules in every scenario."""

    name: str = "scenarios"
    """Folder below runs/."""
    envs: tuple[str, ...] = tuple(f"longplay/{name}-v0" for name in SCENARIOS)
    """Environment ids."""
    users: int = 200
    """Test users."""
    validation_users: int = 60
    """Validation users that the rules are tuned on."""


def correlate_substance_and_reward(world: World, users: int = 200) -> float:
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
    folder = run_folder(args.name)
    claim(folder)
    settings = {env: Setting(env) for env in args.envs}
    played = {env: play_scenario(setting, args) for env, setting in settings.items()}
    correlations = {env: correlate_substance_and_reward(setting.world) for env, setting in settings.items()}
    table = pd.concat([lives.assign(world=env) for env, (lives, _) in played.items()], ignore_index=True)
    table.attrs = {"origin": {env: origin for env, (_, origin) in played.items()}}
    write_table(table, folder / "results.parquet")
    print_report(table, correlations)


def play_scenario(setting: Setting, args: Arguments) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Tune the rules of one scenario, and play everybody; also what made these lives."""
    load_world(setting)
    with make_progress() as progress:
        task = progress.add_task(setting.env, total=None)

        def say(what: str, share: float = 0.0) -> None:
            progress.update(task, description=f"{setting.env}: {what}")

        contestants = [*tune_rules(setting, args.validation_users, say), *make_references(setting)]
        lives = play_contestants(setting, contestants, args.users, say)
        return lives, describe_origin(setting, contestants, args.users, args.validation_users)


def print_report(results: pd.DataFrame, correlations: dict[str, float]) -> None:
    """Minutes of each policy, and the checks."""
    minutes = results.groupby(["policy", "world"], sort=False)["minutes"].mean().unstack(sort=False)
    envs = [str(env) for env in minutes]
    names = [env.removeprefix("longplay/").removesuffix("-v0") for env in envs]
    title = f"minutes until the horizon, {results['user'].nunique()} users or more"
    table = make_table(title, ("policy", *names), **FRAMED)
    for policy, row in minutes.iterrows():
        table.add_row(str(policy), *(f"{value:.1f}" for value in row))
    console.print(table)
    table = make_table("plain sense", ("check", *names), **FRAMED)
    for name, holds in check_plain_sense(results).items():
        table.add_row(str(name), *("yes" if holds[env] else "NO" for env in envs))
    table.add_row("correlation of substance and reward", *(f"{correlations[env]:+.2f}" for env in envs))
    console.print(table)


if __name__ == "__main__":
    run_command(main, Arguments)
