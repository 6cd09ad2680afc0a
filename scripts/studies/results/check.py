"""What of a study's arguments could not run."""

from typing import Any

from longplay.agents.playing.evaluate import held_out_users
from longplay.agents.registry import RULES
from longplay.agents.rules.tuning import QUICK
from longplay.envs.shared.names import one_of
from longplay.scripts.shared.console import run_name
from longplay.scripts.shared.tracking import MODES
from longplay.scripts.studies.results import agents as results_agents
from longplay.scripts.studies.results.prepare import SCORES, check_same_items, setting_of

SCENARIOS = ("Video", "News", "Shop", "Social")
MORE_RULES = tuple(name for name in RULES if name not in QUICK)


def check(args: Any) -> None:
    """Refuse what could not run, before anything slow happens."""
    one_of("track", args.track, MODES)
    for key, names in (
        ("envs", SCENARIOS),
        ("agents", results_agents.AGENTS),
        ("seeds_of", args.agents),
        ("more_rules", MORE_RULES),
        ("scores", (*SCORES, "none")),
    ):
        given = getattr(args, key)
        for name in given:
            one_of(key, name, names)
        if len(set(given)) < len(given):
            raise ValueError(f"{key} = {list(given)} names something twice; name each once")
    if "none" in args.scores:
        if len(args.scores) > 1:
            raise ValueError(f"scores = {list(args.scores)} is none and something; give one of them")
        args.scores = ()
    for key in ("envs", "agents"):
        if not getattr(args, key):
            raise ValueError(f"{key} is empty; name at least one")
    for key in ("seeds", "users", "validation_users", "trials", "workers"):
        if getattr(args, key) < 1:
            raise ValueError(f"{key} = {getattr(args, key)} must be at least 1")
    if args.steps is not None and args.steps < 1:
        raise ValueError(f"steps = {args.steps} must be at least 1")
    if not 0 <= args.planner_users <= args.users:
        raise ValueError(f"planner_users = {args.planner_users} is out of range; allowed: 0 to users = {args.users}")
    for agent, count in args.seeds_of.items():
        if count < 1:
            raise ValueError(f"seeds_of {agent} = {count} must be at least 1")
    run_name(args.name)
    for env in (*args.envs, results_agents.CONTROL):
        held_out_users(setting_of(env).world, "test", args.users)
        held_out_users(setting_of(env).world, "validation", args.validation_users, field="validation_users")
    for env in args.envs:
        check_same_items(setting_of(env), setting_of(f"{env}Shifted"))
