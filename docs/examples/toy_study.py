"""Compare the first sessions of greedy similarity and of random slates.

    python docs/examples/toy_study.py --users 200

Plays both on the same validation users with the same luck, and prints the paired difference with its interval.
"""

from dataclasses import dataclass, field

import numpy as np
import tyro

from longplay.agents import RULES, Evaluator, Setting
from longplay.agents.playing.evaluate import held_out_users
from longplay.agents.playing.luck import VALIDATION_LUCK
from longplay.agents.rules.context import RuleModels
from longplay.agents.stats import bootstrap_difference
from longplay.scripts.shared.console import console, load_world, run_command


@dataclass
class Arguments:
    """Compare first sessions."""

    users: int = 200
    """Validation users who are played."""
    setting: tyro.conf.OmitArgPrefixes[Setting] = field(default_factory=Setting)


def main(args: Arguments) -> None:
    """Play, compare, print."""
    people = held_out_users(args.setting.world, "validation", args.users)
    load_world(args.setting)
    evaluator = Evaluator(args.setting.world, args.setting.item_vectors, people, VALIDATION_LUCK)
    models = RuleModels(args.setting)
    minutes = [
        evaluator.play(RULES[name].make(models, RULES[name].options()))["first_session_minutes"].to_numpy()
        for name in ("similarity", "random")
    ]
    gain = bootstrap_difference(*(np.atleast_2d(row) for row in minutes))
    console.print(f"first session: {gain.mean:+.1f} minutes [{gain.low:.1f}, {gain.high:.1f}]")


if __name__ == "__main__":
    run_command(main, Arguments)
