"""The synthetic social network."""

from longplay.envs.catalogs.social import load_posts
from longplay.tests.envs.catalogs.contracts import CatalogContract


class TestSocial(CatalogContract):
    load = staticmethod(load_posts)
    digest = "0a0083978a993b8747bc45e3a115be447eeb142254f659187579915b65a3b020"
    size = 15_000
    labels = 24, 40
    entropy = 3.39
    minutes = 0.2, 2
    loud = r"disgrace|[Uu]npopular opinion|Enough is enough|[Ss]hame on you|[Ww]ake up|unfollow me|I cannot believe"
    series = r"Part \d|Week \d+|Day \d+|the sequel"
    kinds = "plain", "clip", "joke", "outrage", "useful", "thread"

    @staticmethod
    def body(text):
        return text.split(": ", 1)[1].split(" #")[0]  # between the author and the tags
