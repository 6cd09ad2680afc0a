"""Which items are clicked, and how old they are then."""

import numpy as np
import pytest

from longplay.agents.playing.clicked import ClickedItems

BORN = np.r_[-1e9, np.linspace(-10, 10, 300)]


def test_shares_and_ages_are_those_of_counting():
    rng = np.random.default_rng(0)
    clicked, items, ages = ClickedItems(BORN), [], []
    for _ in range(40):
        shown, days = rng.integers(0, 301, 20) * rng.integers(0, 2, 20), rng.uniform(10, 20, 20)
        clicked.note(shown, days)
        items += [item for item in shown.tolist() if item]
        ages += [day - BORN[item] for item, day in zip(shown.tolist(), days, strict=True) if item]
    found = clicked.summarise()
    most = sorted((items.count(item) for item in set(items)), reverse=True)[:3]
    assert found["concentration"] == pytest.approx(sum(most) / len(items))
    assert found["arrived"] == pytest.approx(np.mean([BORN[item] > 0 for item in items]))
    assert found["ages"] == pytest.approx(np.quantile(ages, [0.1, 0.5, 0.9]).tolist())


def test_without_a_click_there_is_nothing_to_tell():
    clicked = ClickedItems(BORN)
    clicked.note(np.zeros(5, np.int64), np.ones(5))
    assert clicked.summarise() == {}
