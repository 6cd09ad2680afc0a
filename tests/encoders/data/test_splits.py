"""No leakage: properties that hold for any log, an example by hand, and leaks that the same check must find."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longplay.encoders.data.splits import split
from longplay.encoders.data.table_parsing import LogError
from longplay.tests.encoders.small_logs import log_of, make_log

KINDS = ("warm", "cold_users", "cold_items", "validation_cases")


def leaks(log, parts):
    """Everything that is wrong with a split, found by plain loops over rows and users."""
    found = []

    def check(fine, words):
        if not fine:
            found.append(words)

    for name, part in (("train", parts.train), ("validation", parts.validation)):
        check(not parts.cold_user[part.user].any(), f"{name}: cold user")
        check(not parts.cold_item[part.item].any(), f"{name}: cold item")
    check((parts.train.time < parts.validation_start).all(), "train: late row")
    check((parts.validation.time >= parts.validation_start).all(), "validation: early row")
    check((parts.validation.time < parts.test_start).all(), "validation: late row")
    check(set(np.flatnonzero(parts.known)) == set(parts.train.item[parts.train.consumed]), "known: not those of train")
    rows = list(zip(log.user, log.item, log.time, log.consumed, log.liked, strict=True))
    for name in KINDS:
        cases = getattr(parts, name)
        check(not cases.pool[0], f"{name}: padding in the pool")
        check((cases.pool == (parts.cold_item if name == "cold_items" else parts.known)).all(), f"{name}: pool")
        for b, user in enumerate(cases.users):
            history = set(cases.histories["history_ids"][b].astype(int)) - {0}
            targets, seen = set(cases.targets[b]), set(cases.seen[b])
            check(targets and all(cases.pool[list(targets)]), f"{name}: target outside the pool")
            check(not targets & history, f"{name}: target in the history")
            check(not targets & seen, f"{name}: target seen")
            check(history & set(np.flatnonzero(cases.pool)) <= seen, f"{name}: history not seen")
            check(not any(parts.cold_item[list(history)]), f"{name}: cold item in the history")
            check(parts.cold_user[user] == (name == "cold_users"), f"{name}: user")
            begin = parts.validation_start if name == "validation_cases" else parts.test_start
            end = parts.test_start if name == "validation_cases" else np.inf
            own = [row for row in rows if row[0] == user]
            for target in targets:
                early = [row for row in own if row[1] == target and row[3] and row[2] < begin]
                likes = [row for row in own if row[1] == target and row[4] and begin <= row[2] < end]
                check(not early, f"{name}: target consumed before")
                check(likes, f"{name}: target not liked in its time")
            check(set(cases.clicked[b]) <= set(cases.shown[b]), f"{name}: clicked, not shown")
            check(targets <= set(cases.clicked[b]), f"{name}: target not clicked")
            check(not set(cases.shown[b]) & seen, f"{name}: shown item seen")
            if name != "cold_users":
                liked = [r for r in own if r[4] and not parts.cold_item[r[1]] and r[2] < parts.validation_start]
                check(liked, f"{name}: no liked row in training")
    return found


@given(st.integers(0, 10_000), st.booleans(), st.floats(0.1, 0.5), st.floats(0.0, 0.3), st.integers(1, 4))
def test_nothing_leaks(seed, impressions, test_share, validation_share, shown):
    log = make_log(seed, users=15, items=25, rows=400, impressions=impressions)
    parts = split(
        log,
        test_share=test_share,
        validation_share=validation_share,
        cold_users=0.3,
        cold_items=0.2,
        shown=shown,
        history=8,
        seed=seed,
    )
    assert leaks(log, parts) == []
    assert len(parts.warm) > 0
    assert (parts.cold_user.sum(), parts.cold_item.sum()) == (4, 5)
    for ids in parts.cold_users.histories["history_ids"]:
        assert np.count_nonzero(ids) == shown
    for b, user in enumerate(parts.cold_users.users):
        assert parts.cold_users.profiles[b] == f"Likes {user}."


def repeat(part, **columns):
    """Put one more row into a log, at its end in time."""
    row = {"user": part.user[-1], "item": part.item[-1], "time": part.time[-1], "completion": 1.0, "consumed": True}
    row |= {"session": 0, "minutes": 0.0} | columns
    longer = {name: np.append(getattr(part, name), value) for name, value in row.items()}
    order = np.lexsort((longer["time"], longer["user"]))
    return dataclasses.replace(part, **{name: values[order] for name, values in longer.items()})


def with_first(cases, **changes):
    """Change what the first user of cases has."""
    return dataclasses.replace(cases, **{name: (value, *getattr(cases, name)[1:]) for name, value in changes.items()})


def leaky(parts):
    """The split with a leak of each kind, by the words that the check must say."""
    train, warm, cold_items = parts.train, parts.warm, parts.cold_items
    cold_item = np.flatnonzero(parts.cold_item)[0]
    known = parts.known.copy()
    known[cold_item] = True
    peeked = {name: values.copy() for name, values in warm.histories.items()}
    peeked["history_ids"][0, 0] = warm.targets[0][0]
    told = {name: values.copy() for name, values in cold_items.histories.items()}
    told["history_ids"][0, 0] = cold_item
    yield "train: late row", {"train": repeat(train, time=parts.validation_start)}
    yield "train: cold user", {"train": repeat(train, user=np.flatnonzero(parts.cold_user)[0])}
    yield "train: cold item", {"train": repeat(train, item=cold_item)}
    yield "validation: late row", {"validation": repeat(parts.validation, time=parts.test_start)}
    yield "known: not those of train", {"known": known}
    yield "warm: pool", {"warm": dataclasses.replace(warm, pool=known)}
    yield "warm: target in the history", {"warm": dataclasses.replace(warm, histories=peeked)}
    yield "cold_items: cold item in the history", {"cold_items": dataclasses.replace(cold_items, histories=told)}
    yield "warm: target consumed before", {"warm": with_first(warm, targets=warm.seen[0])}
    yield "warm: history not seen", {"warm": with_first(warm, seen=warm.seen[0][:0])}
    yield "cold_users: user", {"cold_users": warm}


def test_the_check_finds_each_leak():
    log = make_log(3, users=15, items=25, rows=600)
    parts = split(log, cold_users=0.3, cold_items=0.2)
    assert leaks(log, parts) == []
    for words, change in leaky(parts):
        assert words in leaks(log, dataclasses.replace(parts, **change)), words


def test_an_example_by_hand():
    rows = [(0, 1, 0.0, 1.0), (0, 2, 1.0, 0.2), (0, 3, 5.0, 0.9), (0, 4, 8.0, 1.0), (0, 1, 8.5, 1.0), (0, 5, 9.0, 0.1)]
    rows += [(1, 2, 2.0, 0.8), (1, 3, 3.0, None), (1, 4, 3.5, 0.6), (1, 3, 8.0, 0.7), (1, 5, 8.2, None)]
    rows += [(1, 1, 9.5, None), (2, 5, 1.5, 0.9)]
    log = log_of(rows)
    parts = split(log, validation_start=5.0, test_start=8.0, cold_users=0.0, cold_items=0.0, history=3)
    assert (len(parts.train), len(parts.validation)) == (6, 1)
    assert parts.known.tolist() == [False, True, True, False, True, True]  # 3 was only shown, or seen later
    assert parts.warm.users.tolist() == [0]  # user 1 liked 3 alone, which is not known; user 2 came no more
    assert [items.tolist() for items in parts.warm.targets] == [[4]]  # 1 is not new, 5 was not liked
    assert [items.tolist() for items in parts.warm.seen] == [[1, 2]]
    assert [items.tolist() for items in parts.warm.shown] == [[4, 5]]
    assert [items.tolist() for items in parts.warm.clicked] == [[4, 5]]
    assert parts.warm.histories["history_ids"].tolist() == [[3, 2, 1]]
    assert parts.warm.histories["history_age"].tolist() == [[3.0, 7.0, 8.0]]
    assert (len(parts.cold_users), len(parts.cold_items), len(parts.validation_cases)) == (0, 0, 0)


def test_impressions_without_a_click_are_shown_and_not_clicked():
    log = log_of([(0, 1, 0.0, 1.0), (1, 2, 0.0, 1.0), (1, 3, 0.0, 1.0), (0, 2, 5.0, 0.9), (0, 3, 5.0, None)])
    warm = split(log, validation_start=5.0, test_start=5.0, cold_users=0.0, cold_items=0.0).warm
    assert [items.tolist() for items in warm.shown] == [[2, 3]]
    assert [items.tolist() for items in warm.clicked] == [[2]]


def cold_user_one(shown):
    """Split with user 1 held out, whoever else the other seeds would have drawn."""
    rows = [(user, item, 0.1 * item, 1.0) for user in (0, 2) for item in range(1, 5)]
    rows += [(0, 5, 6.0, 1.0), (2, 5, 6.0, 1.0), (3, 5, 0.5, 1.0), (4, 5, 0.5, 1.0)]
    rows += [(1, 1, 1.0, 1.0), (1, 1, 1.5, 1.0), (1, 2, 2.0, 0.1), (1, 3, 6.5, 0.8), (1, 4, 7.0, 0.9), (1, 5, 8.0, 0.2)]
    options = {"validation_start": 5.0, "test_start": 6.0, "cold_users": 0.2, "cold_items": 0.0, "history": 4}
    log = log_of(rows, users=5)
    tries = (split(log, shown=shown, seed=seed, **options) for seed in range(50))
    return next(parts for parts in tries if parts.cold_user[1])


def test_a_cold_user_shows_the_first_liked_and_is_asked_for_later_ones():
    parts = cold_user_one(shown=1)
    one = parts.cold_users
    assert one.histories["history_ids"].tolist() == [[1, 0, 0, 0]]  # at its first time, and asked at the cut
    assert one.histories["history_age"].tolist() == [[5.0, 0.0, 0.0, 0.0]]
    assert [items.tolist() for items in one.targets] == [[3, 4]]
    assert [items.tolist() for items in one.seen] == [[1, 2]]
    empty = parts.cold_users_empty
    assert not any(values.any() for values in empty.histories.values())
    assert [items.tolist() for items in empty.targets] == [[3, 4]]


def test_a_cold_user_whose_shown_items_pass_the_cut_is_asked_right_after_them():
    two = cold_user_one(shown=2).cold_users
    assert two.histories["history_ids"].tolist() == [[3, 1, 0, 0]]
    np.testing.assert_allclose(two.histories["history_age"], [[0.0, 5.5, 0.0, 0.0]], atol=1e-6)
    assert [items.tolist() for items in two.targets] == [[4]]


def test_a_cold_user_without_later_likes_is_no_case():
    assert len(cold_user_one(shown=3).cold_users) == 0


def test_shares_are_those_asked_for_and_equal_times_stay_together():
    log = make_log(1, users=40, items=30, rows=1000)
    parts = split(log, test_share=0.2, validation_share=0.1, cold_users=0.0, cold_items=0.0)
    assert np.mean(log.time >= parts.test_start) == pytest.approx(0.2, abs=0.01)
    assert len(parts.validation) == pytest.approx(100, abs=10)
    assert len(parts.train) + len(parts.validation) == (log.time < parts.test_start).sum()
    assert (~parts.train.consumed).any()  # impressions stay, as real negatives


def test_the_same_seed_gives_the_same_split_and_another_another():
    log = make_log(2, users=40, items=30, rows=800)
    one, same, other = (split(log, seed=seed) for seed in (1, 1, 2))
    assert (one.cold_user == same.cold_user).all()
    assert (one.cold_item == same.cold_item).all()
    assert (one.cold_user != other.cold_user).any()
    np.testing.assert_array_equal(one.train.item, same.train.item)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_share": 1.0}, "test_share 1.0 is out of range"),
        ({"cold_users": -0.1}, "cold_users -0.1 is out of range"),
        ({"test_share": 0.6, "validation_share": 0.4}, "take 1 of the rows"),
        ({"shown": 0}, "shown 0 is out of range"),
        ({"test_start": 1e9}, "the test on day 1e[+]09"),
        ({"validation_start": 20.0, "test_start": 10.0}, "validation would start on day 20, the test on day 10"),
        ({"validation_start": 0.0}, "leave rows before the first cut"),
        ({"cold_users": 0.99}, "no user liked an item in training"),
    ],
)
def test_bad_splits_are_refused(options, message):
    with pytest.raises(LogError, match=message):
        split(make_log(0), **options)


def test_an_empty_log_is_refused():
    with pytest.raises(LogError, match="no rows"):
        split(make_log().take([]))
