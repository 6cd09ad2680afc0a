"""Tiny scenarios, solved: what policies are worth exactly, and what simulated lives say.

    python -m longplay.scripts.studies.tiny --users 20000
    python -m longplay.scripts.studies.tiny tiny-trust --users 20000

Where impressions leave a trace a scenario is solved as TinyTrust is, elsewhere as Tiny. The planner's value is the most
that any policy can get; the myopic one takes the slate that pays most at once.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tyro
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from rich.progress import track

from longplay.agents.base import select_users
from longplay.agents.references.exact.finite import FinitePlanner, Slate
from longplay.agents.references.exact.trust import TinyTrustPlanner
from longplay.agents.references.tiny import TinyPlanner
from longplay.agents.stats import Interval
from longplay.envs.env import SlateVectorEnv
from longplay.envs.make import make_world
from longplay.envs.users.world import World
from longplay.scripts.shared.console import console, run_command
from longplay.scripts.shared.tables import make_table

Policy = dict[Any, Slate]  # by the planner's state


@dataclass
class Arguments:
    """Solve Tiny or TinyTrust and simulate it."""

    users: int = 20_000
    """Lives that are simulated for each policy."""
    scenario: tyro.conf.Positional[str] = "tiny"
    """A scenario that is finite as Tiny or TinyTrust is: a name or a TOML file."""
    seed: int = 0
    """Seed of the luck; each policy has its own, so that the intervals are independent checks."""


def main(args: Arguments) -> None:
    """Solve, simulate, print."""
    for name, least in (("users", 2), ("seed", 0)):
        if getattr(args, name) < least:
            raise ValueError(f"{name} = {getattr(args, name)} must be at least {least}")
    world = make_world(args.scenario)
    kind: type[FinitePlanner[Any]] = TinyTrustPlanner if world.scenario.memory else TinyPlanner
    planner = kind(world)
    policies = list_policies(planner, kind(world, greedy=True))
    days = world.scenario.params.horizon_days
    title = f"Minutes in {days:g} days: exact, and of {args.users:,} lives (95 % intervals)"
    table = make_table(title, ("policy", "exact", "of optimal", "simulated", "interval"), "LR")
    playing = track(list(policies.items()), "playing", console=console, transient=True)
    for number, (name, policy) in enumerate(playing):
        exact = planner.evaluate(policy.__getitem__)
        minutes = simulate_policy(world, planner, policy, args.users, args.seed + number * args.users)
        mark = " " if minutes.low <= exact <= minutes.high else "*"
        table.add_row(
            name,
            f"{exact:.3f}",
            f"{exact / planner.value:.1%}" if planner.value else "",
            f"{minutes.mean:.3f}",
            f"{minutes.low:.2f} to {minutes.high:.2f}{mark}",
        )
    console.print(table)
    console.print(f"{len(planner.solution):,} states; * one interval in twenty misses the exact value by chance")


def list_policies(planner: FinitePlanner[Any], greedy: FinitePlanner[Any]) -> dict[str, Policy]:
    """The optimal policy, the myopic one, and each fixed slate, the best first."""
    policies = {
        "optimal": {state: slate for state, (_, slate) in planner.solution.items()},
        "myopic": {state: slate for state, (_, slate) in greedy.solution.items()},
    }
    names = ("–", *planner.world.catalog.ids)
    fixed = {
        f"always {', '.join(names[item] for item in slate)}": dict.fromkeys(planner.solution, slate)
        for slate in planner.slates
    }
    return policies | dict(sorted(fixed.items(), key=lambda pair: -planner.evaluate(pair[1].__getitem__)))


def simulate_policy(world: World, planner: FinitePlanner[Any], policy: Policy, users: int, seed: int) -> Interval:
    """Mean minutes of simulated lives."""
    env = SlateVectorEnv(world, users, autoreset_mode=AutoresetMode.DISABLED, reward="minutes")
    observation, _ = env.reset(seed=seed)
    minutes: NDArray[np.float64] = np.zeros(users)
    active = np.ones(users, bool)
    slates = np.zeros((users, world.scenario.shape.slate), np.int64)
    while active.any():
        slates[active] = [policy[state] for state in planner.read_states(select_users(observation, active))]
        observation, reward, terminated, truncated, _ = env.step(slates)
        minutes += reward
        active = ~(terminated | truncated)
    spread = 1.96 * minutes.std(ddof=1) / np.sqrt(users)
    return Interval(float(minutes.mean()), float(minutes.mean() - spread), float(minutes.mean() + spread))


if __name__ == "__main__":
    run_command(main, Arguments)
