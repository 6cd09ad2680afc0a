"""Items in order of a column, and of a hash where the column says nothing."""

import dataclasses

import numpy as np
import pytest

from longplay.envs.catalogs.order import sort_items
from longplay.envs.users.world import build_world
from longplay.tests.envs.worlds import make_catalog, small


def changed(published, **others):
    catalog = make_catalog(len(published))
    return dataclasses.replace(catalog, published=np.array(published, float), **others)


def test_values_decide_and_ties_keep_the_order_of_the_table():
    catalog = changed([3, 1, 2, 1])
    assert sort_items(catalog, "published", 0).tolist() == [1, 3, 2, 0]
    assert sort_items(catalog, "published", 0, descending=True).tolist() == [0, 2, 1, 3]


def test_a_constant_column_is_ordered_by_id_and_seed_wherever_the_rows_stand():
    catalog = changed([5] * 200)
    order = sort_items(catalog, "published", 0)
    assert sorted(order.tolist()) == list(range(200))
    turned = dataclasses.replace(catalog, ids=catalog.ids[::-1])
    names = [catalog.ids[i] for i in order]
    assert [turned.ids[i] for i in sort_items(turned, "published", 0)] == names
    assert sort_items(catalog, "published", 1).tolist() != order.tolist()
    assert abs(np.corrcoef(order, np.arange(200))[0, 1]) < 0.2
    alike = dataclasses.replace(catalog, popularity=np.full(200, 0.5))
    assert sort_items(alike, "popularity", 0).tolist() != order.tolist()  # the popular ones are not the oldest


@pytest.mark.parametrize("item", ["item0", "item299"])
def test_without_dates_births_do_not_hang_on_the_order_of_rows(item):
    """The first row was born on day −15.6, and on day 30.0 once the rows were reversed."""
    catalog = dataclasses.replace(make_catalog(), published=np.zeros(300))
    turned = dataclasses.replace(
        catalog, **{name: getattr(catalog, name)[::-1] for name in ("ids", "texts", "topics", "popularity", "rating")}
    )
    worlds = [build_world(items, small("news", shape__users=20)) for items in (catalog, turned)]
    born = [world.born[1 + world.catalog.ids.index(item)] for world in worlds]
    assert born[0] == born[1]
    for world in worlds:
        assert abs(np.corrcoef(world.born[1:], np.arange(300))[0, 1]) < 0.2
        assert np.ptp(world.born[1:]) > 45
