"""The synthetic shop."""

import numpy as np
import pytest

from longplay.envs.catalogs.shop import load_products
from longplay.envs.users.world import PRICE_BETWEEN, PRICE_MEDIAN, PRICE_WITHIN
from longplay.tests.envs.catalogs.contracts import CatalogContract


class TestShop(CatalogContract):
    load = staticmethod(load_products)
    digest = "0232f456cf43a9a0b8e639979de09d6669f61bf599531ec5af062efec389a3ba"
    size = 10_000
    labels = 24, 40
    entropy = 3.54
    minutes = 0.5, 5
    loud = r"!"
    series = r"now in another version|More of the \w+ series"
    kinds = "plain", "hype", "solid", "again"

    def test_prices_are_those_that_the_texts_name(self, catalog):
        assert all(f"{price:.0f} crowns" in text for price, text in zip(catalog.price, catalog.texts, strict=True))
        assert 2 < catalog.price.min() < np.median(catalog.price) < 100 < catalog.price.max() < 3000
        spread = np.log(catalog.price)
        first = np.array([labels[0] for labels in catalog.topics])
        level = np.array([spread[first == label].mean() for label in first])
        assert np.median(catalog.price) == PRICE_MEDIAN
        assert (level.std(), (spread - level).std()) == pytest.approx((PRICE_BETWEEN, PRICE_WITHIN), abs=0.03)
