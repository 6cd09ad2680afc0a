"""Small random logs with all that a log may have: impressions, repeats, equal times, sessions, idle users and items."""

import numpy as np

from longplay.encoders.data.interactions import Interactions


def make_log(seed=0, users=12, items=9, rows=200, impressions=True, days=30):
    """Times are whole hours, so that many are equal."""
    rng = np.random.default_rng(seed)
    user, time = rng.integers(users, size=rows), rng.integers(24 * days, size=rows) / 24.0
    order = np.lexsort((time, user))
    user, time = user[order], time[order]
    consumed = rng.random(rows) < 0.7 if impressions else np.ones(rows, bool)
    return Interactions(
        user=user,
        item=rng.integers(1, items + 1, size=rows),
        time=time,
        completion=np.where(consumed, rng.random(rows), 0.0),
        consumed=consumed,
        users=users,
        items=items,
        user_ids=tuple(f"u{u}" for u in range(users)),
        item_ids=tuple(f"i{i}" for i in range(1, items + 1)),
        profiles=tuple(f"Likes {u}." for u in range(users)),
        session=np.zeros(rows, np.int64),
        minutes=np.where(consumed, rng.integers(0, 3, size=rows), 0.0),
    )


def log_of(rows, users=3, items=5):
    """Log of rows (user, item, time, completion); completion ``None`` is an impression. Sorted as they should be."""
    rows = sorted(rows, key=lambda row: (row[0], row[2]))
    user, item, time, completion = zip(*rows, strict=True)
    consumed = np.array([share is not None for share in completion])
    return Interactions(
        user=np.array(user),
        item=np.array(item),
        time=np.array(time, float),
        completion=np.array([share or 0.0 for share in completion]),
        consumed=consumed,
        users=users,
        items=items,
        user_ids=tuple(f"u{u}" for u in range(users)),
        item_ids=tuple(f"i{i}" for i in range(1, items + 1)),
        profiles=("",) * users,
        session=np.zeros(len(user), np.int64),
        minutes=np.zeros(len(user)),
    )
