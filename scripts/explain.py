"""Recommend items to one user and say why: which of the history, and which attributes, make each score.

    python scripts/explain.py --name why --user 9123
    python scripts/explain.py --name why-als --log log --encoder als-folder --user 17 --items 5

The history is what the user consumed in some slates that a rule chose, or in a log of scripts/collect.py. An encoder is
a name (one that learns from logs needs --log, and learns from all of it, the last tenth in time to stop by) or the
folder of a saved one. Writes runs/NAME.png, runs/NAME.json, and runs/NAME.csv with one row a reason.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import tyro

from longplay.agents.base import AgentSession
from longplay.agents.logs.collect import make_env
from longplay.agents.offline.logging_policies import check_policy, make_policy
from longplay.agents.setting import Setting
from longplay.encoders import Encoder, Items, PooledHistory, TextHistory
from longplay.encoders.base import Histories
from longplay.encoders.data.interactions import Interactions
from longplay.encoders.explain import Explanation, TextEffects, explain, to_table
from longplay.encoders.figures import draw_explanations, shorten
from longplay.encoders.measures.floor import fit_on_whole
from longplay.encoders.registry import ENCODERS, load_encoder
from longplay.envs.catalogs.texts import extract_title
from longplay.envs.shared.files import write_whole
from longplay.envs.shared.names import one_of
from longplay.scripts.shared.console import console, load_world, run_command, set_threads
from longplay.scripts.shared.folders import RUNS, check_free_files, resolve_policy, run_folder, write_figure
from longplay.scripts.shared.logs import read_collected_log
from longplay.scripts.shared.tables import FRAMED, make_table

ATTRIBUTES = ("shared", "text", "none")


@dataclass
class Arguments:
    """Recommend and explain."""

    name: str
    """Files below runs/, without their endings."""
    encoder: str = "pooled"
    """Encoder that recommends: a name, or a folder below runs/ of a saved encoder."""
    user: int | None = None
    """User who is recommended to; by default the first test user, or the log's first user."""
    items: int = 3
    """Number of items to recommend, none that the history holds."""
    log: str | None = None
    """Folder below runs/ that scripts/collect.py wrote; by default the user is played."""
    policy: str = "random-candidates"
    """Policy that chooses the slates of a user who is played; see scripts/collect.py."""
    slates: int = 40
    """Largest number of slates that are played."""
    luck: int = 0
    """Seed of the luck of a user who is played."""
    attributes: str = "shared"
    """Attributes that explain: shared (what history items of the same topic contribute), text (the item's text read
    without the topic's name; pooled, mean and text only) or none."""
    overwrite: bool = False
    """Replace an earlier result of the same name."""
    setting: tyro.conf.OmitArgPrefixes[Setting] = field(default_factory=Setting)


def main(args: Arguments) -> None:
    """Find a history, recommend, explain, write."""
    path = run_folder(args.name)
    _check_arguments(args)
    check_free_files((path.with_name(path.name + end) for end in (".png", ".json", ".csv")), args.overwrite)
    set_threads(1)
    setting, items, log, user = _load_user(args)
    encoder = _make_encoder(args.encoder, items, log)
    histories = _read_history(log, user) if log is not None else _play_history(setting, args, user)
    recommended = recommend(encoder, histories, args.items)
    titles, topics = [extract_title(text) for text in items.texts], setting.world.catalog.topics
    rows = {name: np.repeat(array, len(recommended), axis=0) for name, array in histories.items()}
    effects = TextEffects(encoder, rows, topics, setting.encoder.encode) if _check_reads_text(args, encoder) else None
    labels = None if args.attributes == "none" or not any(topics) else topics
    explanations = explain(encoder, rows, recommended, titles, labels, effects)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_figure(draw_explanations(explanations), path.with_name(path.name + ".png"))
    content = {"arguments": asdict(args), "explanations": [explanation.to_dict() for explanation in explanations]}
    write_whole(path.with_name(path.name + ".json"), json.dumps(content, indent=1))
    write_whole(path.with_name(path.name + ".csv"), to_table(explanations).to_csv(index=False))
    _print_explanations(explanations, f"user {user}, recommended by {args.encoder}")
    console.print(f"{path}.png, {path}.json, {path}.csv", soft_wrap=True)


def recommend(encoder: Encoder, histories: Histories, count: int) -> list[int]:
    """The items of highest score for one user that the history does not hold."""
    scores = encoder.score(histories)[0].copy()
    scores[histories["history_ids"][0].astype(np.int64)] = -np.inf
    return [int(item) for item in np.argsort(-scores, kind="stable")[:count]]


def _check_arguments(args: Arguments) -> None:
    one_of("attributes", args.attributes, ATTRIBUTES)
    check_policy(resolve_policy(args.policy))
    for name, low, high in (("items", 1, 20), ("slates", 1, 10_000), ("luck", 0, 2**62)):
        if not low <= getattr(args, name) <= high:
            raise ValueError(f"{name} = {getattr(args, name)} is out of range; allowed: {low} to {high}")
    if args.log is None:
        return
    if not (run_folder(args.log) / "sessions.parquet").exists():
        raise ValueError(f"log = {args.log!r}: {RUNS}/{args.log} holds no log; make one with scripts/collect.py")
    usual = {each.name: each.default for each in fields(Arguments)}
    for name in ("policy", "slates", "luck"):
        if getattr(args, name) != usual[name]:
            raise ValueError(
                f"{name} = {getattr(args, name)!r} is of a user who is played, and log = {args.log!r} tells what was "
                "consumed; leave out one of the two"
            )
    if args.setting.catalog is not None:
        raise ValueError(
            f"catalog = {args.setting.catalog!r}, and log = {args.log!r} brings its own items; leave out one of the two"
        )


def _load_user(args: Arguments) -> tuple[Setting, Items, Interactions | None, int]:
    """Where the user is, what is known of the items, the log if there is one, and the user's number."""
    if args.log is None:
        world = args.setting.world
        load_world(args.setting)
        user = world.split("test").start if args.user is None else args.user
        if not 0 <= user < len(world.people):
            raise ValueError(f"user = {user} is out of range; allowed: 0 to {len(world.people) - 1}")
        return args.setting, args.setting.items, None, user
    setting = args.setting.with_table(run_folder(args.log) / "items.parquet")
    source = read_collected_log(run_folder(args.log), setting.encoder)
    user = int(min(source.log.user_ids, key=int)) if args.user is None else args.user
    if str(user) not in source.log.user_ids:
        raise ValueError(
            f"user = {user} is not in the log; it has {source.log.users} users, such as {list_users(source.log)}"
        )
    return setting, source.items, source.log, user


def list_users(log: Interactions, count: int = 5) -> str:
    """Some of the users, for a message."""
    return ", ".join(sorted(log.user_ids, key=int)[:count])


def _make_encoder(name: str, items: Items, log: Interactions | None) -> Encoder:
    if name not in ENCODERS:
        return load_encoder(run_folder(name), items)
    encoder = ENCODERS[name].make(items)
    if not encoder.needs_fit:
        return encoder
    if log is None:
        raise ValueError(f"encoder = {name!r} learns from a log; give one with --log, or the folder of a saved encoder")
    with console.status(f"fitting {name}"):
        return fit_on_whole(encoder, log)


def _read_history(log: Interactions, user: int) -> Histories:
    return log.histories([log.user_ids.index(str(user))], before=float(np.nextafter(log.time.max(), np.inf)))


def _play_history(setting: Setting, args: Arguments, user: int) -> Histories:
    """What a user has consumed after some slates."""
    env = make_env(setting.world, 1, setting.item_vectors)
    following = AgentSession(make_policy(resolve_policy(args.policy), setting), 1, setting.world)
    observation: Any = env.reset(seed=args.luck, options={"users": [user]})[0]
    for _ in range(args.slates):
        observation, _, terminated, truncated, _ = env.step(following.act(observation, np.ones(1, bool)))
        if terminated[0] or truncated[0]:
            break
    return {name: array.copy() for name, array in observation.items() if name.startswith("history_")}


def _check_reads_text(args: Arguments, encoder: Encoder) -> bool:
    if args.attributes != "text":
        return False
    if not isinstance(encoder, PooledHistory | TextHistory):
        raise ValueError(
            f"attributes = 'text': item vectors of {args.encoder!r} are not those of texts; give --attributes shared"
        )
    return True


def _print_explanations(explanations: Sequence[Explanation], title: str) -> None:
    columns = ("item", "score", "because of", "attributes")
    table = make_table(title, columns, "lrl", **FRAMED, title_justify="center")
    for item in explanations:
        reasons = [f"{shorten(reason.title, 40)} {reason.contribution:+.3g}" for reason in item.history[:3]]
        shares = [f"{share.name} {share.value:+.3g}" for share in item.attributes[:3]]
        table.add_row(
            shorten(item.title, 40), f"{item.score:.3g}", "\n".join(reasons), "\n".join(shares), end_section=True
        )
    console.print(table)
    console.print(f"contributions: {explanations[0].method}", soft_wrap=True)
    if explanations[0].attributes:
        console.print(f"attributes: {explanations[0].attribute_method}", soft_wrap=True)


if __name__ == "__main__":
    run_command(main, Arguments)
