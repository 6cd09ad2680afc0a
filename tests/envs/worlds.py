"""Small catalogues, scenarios, users and policies that the tests of the environments share.

All keep the sizes of the shipped scenarios (slots, history, taste, topics), so that the compiled user model is compiled
once; what is small is the catalogue and the population.
"""

import numpy as np

from longplay.envs.catalogs.catalog import Catalog, compute_midrank_percentile
from longplay.envs.engine import _read_slates
from longplay.envs.env import SlateVectorEnv
from longplay.envs.users.memory import NEVER
from longplay.envs.users.params import Scenario
from longplay.envs.users.records import TOPICS_PER_ITEM, item_type, work_type
from longplay.envs.users.world import EVER, build_world

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
        popularity=compute_midrank_percentile(rng.random(items)),
        rating=compute_midrank_percentile(rng.random(items)),
        published=rng.integers(1940, 2015, items).astype(np.float64),
    )


def small(name="video", **changes):
    """A shipped scenario with few people; changes are written ``group__name=value``."""
    sizes = {"shape.users": 200, "shape.candidates": 64}
    return Scenario.load(name).with_overrides(sizes | {key.replace("__", "."): v for key, v in changes.items()})


PLACES = 128  # one size of the memory, so that the loops are compiled once for it
# What shown slates leave behind: impressions ignored, repeats forgotten, trust that opens, visits in vain.
TRACES = {
    "impression__weight": 0.5,
    "impression__recovery": 3.0,
    "impression__memory": PLACES,
    "repeat__recovery": 60.0,
    "choice__trust": 1.0,
    "satisfaction__rate": 0.5,
    "satisfaction__idle": 0.1,
    "trust__vain": 0.4,
    "churn__trust": 8.0,
    "churn__frailty": 0.5,
    "gap__trust": 1.5,
    "candidates__order": "luck",
}


def remembering(name="video", **changes):
    """A small scenario in which what slates leave behind matters."""
    return small(name, **TRACES | changes)


def vectors(catalog, width=16, seed=5):
    """Item vectors as a text encoder would give them."""
    return np.random.default_rng(seed).normal(size=(len(catalog), width)).astype(np.float32)


def hand_items(scenario, count=12, seed=0):
    """A table of items as a world has it (row 0 empty, read-only), with random attributes."""
    shape, rng = scenario.shape, np.random.default_rng(seed)
    items = np.zeros(count + 1, item_type(shape))
    taste = rng.normal(size=(count, shape.taste))
    items["taste"][1:] = taste / np.linalg.norm(taste, axis=1, keepdims=True)
    items["topic"][1:] = rng.permuted(np.tile(np.arange(shape.topics), (count, 1)), axis=1)[:, :TOPICS_PER_ITEM]
    items["share"][1:] = np.sort(rng.dirichlet(np.full(TOPICS_PER_ITEM, 0.7), count), axis=1)[:, ::-1]
    items["appeal"][1:], items["substance"][1:] = rng.normal(size=(2, count))
    items["minutes"][1:] = rng.uniform(3, 20, count)
    items["born"] = -EVER
    items.setflags(write=False)
    return items


def membership(items, topics):
    """(N+1, G) soft topics φ, dense and in float64, from the sparse fields."""
    dense = np.zeros((len(items), topics))
    for row, item in zip(dense, items, strict=True):
        np.add.at(row, item["topic"].astype(int), item["share"].astype(np.float64))
    return dense


def record(scenario, **changes):
    """The constants as the compiled code takes them, some of them changed; words are given by their place."""
    array = scenario.record.copy()
    for name, value in changes.items():
        array[name] = value
    return array[0]


def as_array(p):
    """A record of constants as the engine holds it, so that its loops are not compiled again."""
    array = np.zeros(1, p.dtype)
    array[0] = p
    array.setflags(write=False)
    return array


def scratch(scenario):
    """A thread's scratch record."""
    return np.zeros(1, work_type(scenario.shape))[0]


def crowd(scenario, count=1, seed=1):
    """`count` identical users in the middle of a session, with luck of their own; set fields by hand from here."""
    shape, rng = scenario.shape, np.random.default_rng(seed)
    users = np.zeros(count, scenario.make_user_type())
    users["id"] = np.arange(count)
    users["memory_trace"] = users["memory_consumed"] = NEVER
    users["k0"], users["k1"] = 12345, 67890
    taste = rng.normal(size=shape.taste)
    users["taste"] = taste / np.linalg.norm(taste)
    users["satiation"] = rng.random(shape.topics)
    users["sensitivity"], users["recovery"] = 0.5, 0.24
    users["trust"] = users["satisfaction"] = 0.5
    users["slate"] = 1 + np.arange(shape.slate)
    users["clock"], users["day"], users["session"], users["choice"] = 2.4, 2, 3, -1
    return users


def read(scenario, p, users, items):
    """Every user reads their slate once; the minutes."""
    minutes, work = np.zeros(len(users)), np.zeros(1, work_type(scenario.shape))
    _read_slates(as_array(p), work, items, users, users["slate"].astype(np.int64), minutes)
    return minutes


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


def aged(base=small, **changes):
    """Video with what it leaves at rest: items that age, a cascade, saturating satiation, momentum that lasts."""
    still = {"items__life": 4.0, "choice__model": "cascade", "satiation__kind": "saturating"}
    return base(**still | {"momentum__persistence": 0.5, "time__coupling": 0.6, "choice__nothing": 2.0} | changes)


# What a shop may have: new products, some with a stir, prices, and purchases after a look.
SELLING = {
    "items__arrivals": 0.3,
    "items__flare": 0.8,
    "items__flare_days": 2.0,
    "choice__price": 0.3,
    "choice__nothing": 1.0,
    "purchase__rate": 0.2,
    "purchase__utility": 0.5,
    "purchase__substance": 0.4,
    "purchase__price": 0.6,
}


def shop(base=small, **changes):
    """Video as a shop that sells."""
    return base(**SELLING | changes)


def lives(steps=40, users=3):
    """Discrete events, then floats (B users last), of a few lives; `test_plain` has them lived in plain Python, too."""
    events, floats, tastes = [], [], []
    for scenario in (
        small(shape__users=20),
        aged(shape__users=20),
        aged(shape__users=20, choice__model="position"),
        remembering(shape__users=20),
        aged(remembering, shape__users=20),
        aged(remembering, shape__users=20, choice__model="position"),
        remembering(shape__users=20, second__weight=2.0, habit__gap=1.0, habit__rate=0.3, taste__cultivation=0.1),
        shop(shape__users=20),
    ):
        env = SlateVectorEnv(build_world(make_catalog(120), scenario), users)
        env.reset(seed=3, options={"users": np.arange(users)})
        rng = np.random.default_rng(0)
        for _ in range(steps):
            _, reward, terminated, truncated, info = env.step(rng.integers(0, 121, env.action_space.shape))
            state = env.engine.users.copy()
            about = [state["session"], state["bought"]]
            events.append([info["user"], info["choice"], info["left"], terminated, truncated, *about])
            parts = [state["trust"], state["fatigue"], state["satiation"].sum(axis=1), state["momentum"].sum(axis=1)]
            memory = [state[f"memory_{name}"] for name in ("item", "trace", "consumed")]
            memory = [np.where(part == NEVER, 0, part).sum(axis=(1, 2)) for part in memory]
            some = [state["habit"], state["first_minutes"]]
            floats.append([reward, info["day"], info["completion"], *parts, *memory, *some])
        tastes.append(env.engine.users["taste"].copy())
    return np.array(events, np.int64), np.array(floats), np.array(tastes)
