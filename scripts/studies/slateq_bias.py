"""How far is it from true that the future depends on a slate through what was taken from it alone.

    python -m longplay.scripts.studies.slateq_bias --env longplay/Video-v0 --users 2000

SlateQ gives two slates the same future if the same item is taken from both. Here that is tested without any learned
value: users are led to some slate of their life by a rule, and shown either the rule's slate or one in which all other
items than the one that was taken are replaced, by candidates of the main topic of what was taken ("alike") or by any
("any"). Then both lives go on under the rule with the same luck. The decomposition says that the minutes that follow do
not differ; the mean difference over users who took the same item from both is the decomposition's error, with a 95 %
interval over lives. Beside it, for scale, is what was to come. It is measured for several values of
``satiation.seen``, how much an item that is only seen tires, as a share of one that is consumed; at 0 the error is 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from rich.progress import track

from longplay.agents.setting import Setting
from longplay.agents.stats import bootstrap_difference
from longplay.envs.candidates.scoring import WEIGHTS, Scorer
from longplay.envs.make import make_vector_env
from longplay.envs.named.registry import ENVIRONMENTS
from longplay.scripts.shared.console import console, load_world, run_command
from longplay.scripts.shared.tables import format_interval, make_table

RULE = {"similarity": 0.6, "popularity": 0.3, "rating": 0.6, "exposed": -0.4, "variety": 0.2}  # weights of the rule


@dataclass
class Arguments:
    """Measure the error of the decomposition of values of slates."""

    env: str = "longplay/Video-v0"
    """Environment id."""
    users: int = 2000
    """Lives for each value of satiation.seen and each moment."""
    seen: tuple[float, ...] = (0.0, 0.05, 0.15)
    """Values of satiation.seen."""
    moments: tuple[int, ...] = (3, 12, 30)
    """Slates before the one that is replaced."""
    seed: int = 0
    """Seed of luck and replacements."""


def main(args: Arguments) -> None:
    """Play, compare, print."""
    for name, low, values in (("users", 2, (args.users,)), ("seen", 0.0, args.seen), ("moments", 0, args.moments)):
        for value in values:
            if value < low:
                raise ValueError(f"{name} = {value!r} is out of range; allowed: from {low}")
    setting = Setting(env=args.env)
    load_world(setting)
    columns = ("satiation.seen", "replaced by", "users", "to come", "error of the decomposition")
    table = make_table("Minutes that follow: less after the replaced slate", columns, "rlr", show_edge=True)
    cases = [(seen, alike) for seen in args.seen for alike in (False, True)]
    for seen, alike in track(cases, "playing", console=console, transient=True):
        pairs = [measure_differences(setting, args, seen, alike, moment) for moment in args.moments]
        whole, other = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
        if len(whole) < 2:
            raise ValueError(f"users = {args.users} leaves {len(whole)} who took the same item; give more")
        error = bootstrap_difference(whole, other, seed=args.seed)
        table.add_row(
            f"{seen:g}",
            "alike" if alike else "any",
            f"{len(whole):,}",
            f"{whole.mean():.1f}",
            format_interval(error, "+.3f"),
        )
    console.print(table)


def measure_differences(
    setting: Setting, args: Arguments, seen: float, alike: bool, moment: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Minutes that followed the rule's slate and the replaced one, for users who took the same item from both."""
    env = make_vector_env(
        args.users,
        scenario={"satiation.seen": seen},
        base=ENVIRONMENTS[args.env].scenario,
        catalog=setting.world.catalog,
        candidates=True,
        item_vectors=setting.item_vectors,
        split="validation",
        reward="minutes",
        autoreset_mode=AutoresetMode.DISABLED,
    )
    scorer = Scorer(env.unwrapped.world, setting.item_vectors)
    observation, _ = env.reset(seed=np.random.default_rng([args.seed, moment]).integers(2**31).item())
    active = np.ones(args.users, bool)
    for _ in range(moment):
        observation, _, terminated, truncated, _ = env.step(choose_slates(scorer, observation))
        active &= ~(terminated | truncated)
    before = {key: value.copy() for key, value in env.save_state().items()}
    first = choose_slates(scorer, observation)
    rng = np.random.default_rng([args.seed, moment, alike])
    choice, after = follow_lives(env, scorer, first, active)
    observation = env.load_state(before)
    second = replace_others(scorer, observation, first, choice, alike, rng)
    other_choice, other_after = follow_lives(env, scorer, second, active)
    same = active & (choice >= 0) & (choice == other_choice)
    env.close()
    return after[same], other_after[same]


def choose_slates(scorer: Scorer, observation: Mapping[str, Any]) -> NDArray[np.int64]:
    """The rule's slates (B, K)."""
    weights = np.array([[RULE.get(name, 0.0) for name in WEIGHTS]], np.float32)
    return scorer.recommend(observation, np.repeat(weights, len(observation["candidates"]), axis=0))  # type: ignore[arg-type]


def replace_others(
    scorer: Scorer,
    observation: Mapping[str, Any],
    slates: NDArray[np.int64],
    choice: NDArray[np.int64],
    alike: bool,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Slates (B, K) with the same item at the place of the choice, and others of the candidates everywhere else."""
    out = slates.copy()
    for b in np.flatnonzero(choice >= 0):
        taken = slates[b, choice[b]]
        candidates = observation["candidates"][b].astype(np.int64)
        others = rng.permutation(candidates[(candidates > 0) & ~np.isin(candidates, slates[b])])
        if alike:
            others = others[np.argsort(scorer.main_topic[others] != scorer.main_topic[taken], kind="stable")]
        places = np.delete(np.arange(slates.shape[1]), choice[b])[: len(others)]
        out[b, places] = others[: len(places)]
    return out


def follow_lives(
    env: Any, scorer: Scorer, slates: NDArray[np.int64], active: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What is chosen from slates, and the minutes (B,) after these, with the rule from then on."""
    observation, _, terminated, truncated, info = env.step(slates)
    choice, alive = info["choice"].copy(), active & ~(terminated | truncated)
    after = np.zeros(len(slates))
    while alive.any():
        observation, reward, terminated, truncated, _ = env.step(choose_slates(scorer, observation))
        after += np.where(alive, reward, 0.0)
        alive &= ~(terminated | truncated)
    return choice, after


if __name__ == "__main__":
    run_command(main, Arguments)
