"""Small catalogues, scenarios, users and policies that the tests of the environments share.

All keep the sizes of the shipped scenarios (slots, history, taste, topics), so that the compiled user model is compiled
once; what is small is the catalogue and the population.
"""

import numpy as np

from longplay.envs.catalog import Catalog, midrank_percentile
from longplay.envs.params import Scenario
from longplay.envs.records import item_type, user_type

THEMES = {
    "Drama": "family grief letter winter mother promise village silence",
    "Comedy": "wedding mistake holiday neighbour landlord prank dinner dog",
    "Crime": "detective robbery witness alibi evidence gangster trial prison",
    "War": "soldier trench general invasion bomber armistice medal border",
    "Romance": "kiss summer balcony dance engagement jealousy rose station",
    "Horror": "ghost cellar scream curse midnight grave monster attic",
    "Science": "robot planet laboratory orbit alien signal reactor clone",
    "Western": "sheriff saloon cattle desert outlaw railway duel ranch",
    "Music": "orchestra singer piano tour record audition jazz encore",
    "Sport": "boxer championship coach stadium league injury marathon rival",
    "Sea": "captain island storm lighthouse pirate harbour whale anchor",
    "Animals": "wolf forest horse river bear migration cub snow",
}


def make_catalog(items=300, seed=0, unlabelled=0.0):
    """Texts of one to three themes each; a share of the items has no labels."""
    rng = np.random.default_rng(seed)
    names = list(THEMES)
    topics, texts = [], []
    for i in range(items):
        own = [names[g] for g in rng.choice(len(names), rng.integers(1, 4), replace=False)]
        words = " ".join(rng.permutation(" ".join(THEMES[name] for name in own).split())[:10])
        texts.append(f"Number {i}: {words}.")
        topics.append(() if rng.random() < unlabelled else tuple(own))
    return Catalog(
        name="small",
        ids=tuple(f"item{i}" for i in range(items)),
        texts=tuple(texts),
        topics=tuple(topics),
        minutes=rng.lognormal(4.6, 0.3, items),
        popularity=midrank_percentile(rng.random(items)),
        rating=midrank_percentile(rng.random(items)),
        published=rng.integers(1940, 2015, items).astype(np.float64),
    )


def small(name="video", **changes):
    """A shipped scenario with few people; changes are written ``group__name=value``."""
    sizes = {"shape.users": 200, "shape.candidates": 64}
    return Scenario.load(name).with_overrides(sizes | {key.replace("__", "."): v for key, v in changes.items()})


def vectors(catalog, width=16, seed=5):
    """Item vectors as a text encoder would give them."""
    return np.random.default_rng(seed).normal(size=(len(catalog), width)).astype(np.float32)


def hand_items(scenario, count=12, seed=0):
    """A table of items as a world has it (row 0 empty, read-only), with random attributes."""
    shape, rng = scenario.shape, np.random.default_rng(seed)
    items = np.zeros(count + 1, item_type(shape))
    taste = rng.normal(size=(count, shape.taste))
    items["taste"][1:] = taste / np.linalg.norm(taste, axis=1, keepdims=True)
    items["topics"][1:] = rng.dirichlet(np.full(shape.topics, 0.3), count)
    items["appeal"][1:], items["substance"][1:] = rng.normal(size=(2, count))
    items["minutes"][1:] = rng.uniform(3, 20, count)
    items.setflags(write=False)
    return items


def record(scenario, **changes):
    """The constants as the compiled code takes them, some of them changed."""
    array = scenario.record
    for name, value in changes.items():
        array[name] = value
    return array[0]


def crowd(scenario, count=1, seed=1):
    """`count` identical users in the middle of a session, with luck of their own; set fields by hand from here."""
    shape, rng = scenario.shape, np.random.default_rng(seed)
    users = np.zeros(count, user_type(shape))
    users["id"] = np.arange(count)
    users["k0"], users["k1"] = 12345, 67890
    taste = rng.normal(size=shape.taste)
    users["taste"] = taste / np.linalg.norm(taste)
    users["satiation"] = rng.random(shape.topics)
    users["sensitivity"], users["recovery"] = 0.5, 0.24
    users["trust"] = users["satisfaction"] = 0.5
    users["slate"] = 1 + np.arange(shape.slate)
    users["clock"], users["day"], users["session"], users["choice"] = 2.4, 2, 3, -1
    return users


def play(env, steps, seed=0, **reset):
    """Random slates, the same for equal `env.num_envs`; the trace of users, choices, leavings and ends."""
    rng = np.random.default_rng(seed)
    env.reset(**reset)
    trace = []
    for _ in range(steps):
        slates = rng.integers(0, env.single_action_space.nvec[0], env.action_space.shape)
        _, _, terminated, truncated, info = env.step(slates)
        trace.append([info["user"], info["choice"], info["left"], terminated, truncated])
    return np.array(trace, dtype=np.int64)


def content(records):
    """Bytes of every field of an array of records, without the padding between fields, which is not defined."""
    return b"".join(np.ascontiguousarray(records[name]).tobytes() for name in records.dtype.names)


def lives(steps=60, users=3):
    """Discrete events, then floats (B users last), of a few lives; `test_dynamics` plays them compiled and plain."""
    from longplay.envs.env import SlateVectorEnv
    from longplay.envs.world import build_world

    env = SlateVectorEnv(build_world(make_catalog(120), small(shape__users=20)), users)
    env.reset(seed=3, options={"users": np.arange(users)})
    rng = np.random.default_rng(0)
    events, floats = [], []
    for _ in range(steps):
        _, reward, terminated, truncated, info = env.step(rng.integers(0, 121, env.action_space.shape))
        state = env.engine.users.copy()
        events.append([info["user"], info["choice"], info["left"], terminated, truncated, state["session"]])
        floats.append(
            [reward, info["day"], info["completion"], state["trust"], state["fatigue"], state["satiation"][:, 0]]
        )
    return np.array(events, np.int64), np.array(floats), env.engine.users["taste"].copy()
