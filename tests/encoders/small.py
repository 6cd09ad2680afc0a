"""A small log that has something to learn: two crowds, each with items of its own, and their texts say which."""

import numpy as np

from longplay.encoders import Items
from longplay.encoders.data.interactions import Interactions

WORDS = ("sheriff saloon cattle desert duel", "robot planet orbit laboratory signal")


def make_items(count=30, width=16, seed=0):
    """Items whose texts and vectors tell their crowd: odd numbers the one, even numbers the other."""
    rng = np.random.default_rng(seed)
    crowd = np.arange(count) % 2
    centres = rng.normal(size=(2, width))
    vectors = centres[crowd] + 0.7 * rng.normal(size=(count, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [f"Number {i}: {' '.join(rng.permutation(WORDS[c].split())[:3])}." for i, c in enumerate(crowd)]
    return Items(tuple(texts), vectors.astype(np.float32), rng.uniform(3.0, 20.0, count).astype(np.float32))


def make_log(users=60, items=30, rows=12, seed=0, start=0.0):
    """Users consume mostly their crowd's items, finish those and not the others; some items are only shown."""
    rng = np.random.default_rng(seed)
    columns = {name: [] for name in ("user", "item", "time", "completion", "consumed")}
    for user in range(users):
        own = 1 + user % 2 + 2 * rng.permutation(items // 2)[:rows]
        other = 2 - user % 2 + 2 * rng.permutation(items // 2)[: rows // 4]
        both = rng.permutation(np.concatenate([own, other]))
        mine = both % 2 == own[0] % 2
        opened = mine | (rng.random(len(both)) < 0.5)
        columns["user"].append(np.full(len(both), user))
        columns["item"].append(both)
        columns["time"].append(start + np.sort(rng.uniform(0.0, 10.0, len(both))))
        columns["completion"].append(opened * np.where(mine, rng.uniform(0.6, 1.0, len(both)), 0.2))
        columns["consumed"].append(opened)
    table = {name: np.concatenate(parts) for name, parts in columns.items()}
    size = len(table["user"])
    return Interactions(
        **table,
        users=users,
        items=items,
        user_ids=tuple(f"u{u}" for u in range(users)),
        item_ids=tuple(f"i{i}" for i in range(items)),
        profiles=("",) * users,
        session=np.zeros(size, np.int64),
        minutes=np.where(table["consumed"], 5.0, 0.0),
    )
