"""SlateQ on the simulated users that it was published on, as far as the paper says what they are.

    python -m longplay.scripts.studies.interest_evolution --seeds 5

Trains SlateQ with γ and with γ = 0, all else the same, on `longplay.envs.literature.interest_evolution`, and plays the
same test sessions as random slates, the most interesting documents, the best ones, and a rule that knows what time
documents give back. Published are 159.2 minutes for random slates, 166.3 for myopic ones and 174.6 for SlateQ (Ie et
al., IJCAI 2019, with γ = 1 over longer trainings). Takes a minute for each seed on one core.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from rich.table import Table

from longplay.agents.learners.slateq.agent import SlateQOptions
from longplay.agents.learners.slateq.learner import SlateQ
from longplay.agents.stats import Interval, bootstrap_difference
from longplay.scripts.shared.console import console, set_threads
from longplay.scripts.shared.tables import MARK, explain_labels, format_interval, make_table
from longplay.scripts.studies.interest_evolution.players import (
    EvolutionPlayers,
    Policy,
    choose_best_quality,
    choose_most_interesting,
    choose_random,
    choose_thrifty,
    play_sessions,
)

RULES: dict[str, Policy] = {
    "random": choose_random,
    "most interesting": choose_most_interesting,
    "quality first": choose_best_quality,
    "thrifty": choose_thrifty,
}
TEST_LUCK = 0  # players have training_luck(seed + 1) and more
MYOPIC = "SlateQ γ=0"


@dataclass
class Arguments:
    """Train and compare."""

    seeds: int = 5
    """Trainings of each learner."""
    steps: int = 60_000
    """Slates of a training."""
    num_envs: int = 256
    """Users at a time."""
    gamma: float = 0.95
    """Discount per slate."""
    sessions: int = 2000
    """Test sessions."""


def main(args: Arguments) -> None:
    """Train, play, print."""
    for name, low in (("seeds", 1), ("steps", 1), ("num_envs", 1), ("sessions", 2)):
        if getattr(args, name) < low:
            raise ValueError(f"{name} = {getattr(args, name)} is out of range; allowed: from {low}")
    if not 0.0 < args.gamma <= 1.0:
        raise ValueError(f"gamma = {args.gamma} is out of range; allowed: above 0, to 1 (0 is trained beside it)")
    set_threads(1)
    minutes = {name: play_sessions(rule, args.sessions, TEST_LUCK)[None] for name, rule in RULES.items()}
    learners = {
        MYOPIC: (0.0, SlateQOptions(repeats=True)),
        f"SlateQ γ={args.gamma:g}": (args.gamma, SlateQOptions(repeats=True)),
        f"SlateQ γ={args.gamma:g}, by gradients": (args.gamma, SlateQOptions(repeats=True, later="network")),
    }
    trainings = [(name, seed) for seed in range(args.seeds) for name in learners]
    learned: dict[str, list[NDArray[np.float64]]] = {name: [] for name in learners}
    for name, seed in track(trainings, "training", console=console, transient=True):
        learned[name].append(play_sessions(train_policy(args, seed, *learners[name]), args.sessions, TEST_LUCK))
    minutes |= {name: np.stack(sessions) for name, sessions in learned.items()}
    console.print(make_minutes_table(minutes))


def train_policy(args: Arguments, seed: int, gamma: float, options: SlateQOptions) -> Callable[..., NDArray[np.int64]]:
    """The policy that a training ends with."""
    players = EvolutionPlayers(args.num_envs, seed)
    slots, vectors = players.env.constants.slots, players.env.vectors
    learner = SlateQ(players, options, gamma, seed, vectors=vectors, slots=slots, name="SlateQ")  # type: ignore[arg-type]
    while learner.steps < args.steps:
        learner.iterate()
    return lambda observation: learner.agent.choose(players.inputs(observation))


def make_minutes_table(minutes_by_policy: dict[str, NDArray[np.float64]]) -> Table:
    """Minutes a session of each policy (S, sessions), and the differences from random slates and from the twin."""
    columns = ("policy", "minutes", "− random", f"− {MYOPIC}")
    table = make_table("Minutes of a session", columns, "lr", padding=0, caption_justify="left")
    found: list[Interval] = []
    for name, minutes in sorted(minutes_by_policy.items(), key=lambda pair: pair[1].mean()):
        cells = [name, f"{minutes.mean():.1f}"]
        for other in ("random", MYOPIC):
            # Learners of one seed meet the same users: what is compared is seed by seed.
            once = len(minutes) == 1 and not {name, other} <= {*RULES}
            difference = bootstrap_difference(minutes - minutes_by_policy[other], trained_once=once)
            cells.append("" if name == other else format_interval(difference, "+.1f", ".1f", MARK))
            found.append(difference)
        table.add_row(*cells)
    table.caption = explain_labels(found, MARK) or None
    return table
