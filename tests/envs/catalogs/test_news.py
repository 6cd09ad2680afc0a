"""The synthetic news."""

from longplay.envs.catalogs.news import load_news
from longplay.tests.envs.catalogs.contracts import CatalogContract


class TestNews(CatalogContract):
    load = staticmethod(load_news)
    digest = "e0397afacd3e90ae009076f9fef65e4a3bcd83983bf08f1cf6816890f605dd06"
    size = 12_000
    labels = 56, 64
    entropy = 3.7
    minutes = 0.5, 6
    loud = r"!|[Jj]aws dropped|went wild|grown men wept|nobody saw it coming|Doctors are amazed"
    series = r"[Pp]art \d|[Ss]econd part|the next chapter|the sequel"
    kinds = "plain", "lurid", "depth"
