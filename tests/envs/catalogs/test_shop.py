"""The synthetic shop."""

from longplay.envs.catalogs.shop import load_products
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
