"""The synthetic news."""

import math
import re
from collections import Counter

import numpy as np
import pytest

from longplay.envs import news
from longplay.envs.grammar import takes_an

LOUD = (
    r"!|[Jj]aws dropped|went wild|grown men wept|nobody saw it coming"
    r"|Doctors are amazed"
)


@pytest.fixture(scope="module")
def catalog():
    return news.load_news()


def entropy(labels):
    shares = np.array(list(Counter(labels).values())) / len(labels)
    return -(shares * np.log(shares)).sum()


class TestLabels:
    def test_how_many(self, catalog):
        labels = [label for labels in catalog.topics for label in labels]
        assert 56 <= len(set(labels)) <= 64
        assert entropy(labels) == pytest.approx(3.7, abs=0.1)
        assert entropy(labels) < math.log(len(set(labels))) - 0.08  # not alike in size

    def test_one_or_two_that_differ(self, catalog):
        assert {len(labels) for labels in catalog.topics} == {1, 2}
        assert all(len(set(labels)) == len(labels) for labels in catalog.topics)


class TestTexts:
    def test_all_differ(self, catalog):
        assert len(set(catalog.texts)) == len(catalog) == 12_000

    def test_no_trace_of_the_grammar(self, catalog):
        trace = re.compile(r"[{}|]|  | [,.;!?]|\.\.|,,|,\.|\n|\\|\(\)|(?<!-)\b(\w*[a-z]) \1\b")
        assert [text for text in catalog.texts if trace.search(text)] == []

    def test_articles_fit_the_next_word(self, catalog):
        article = re.compile(r"(?<!')\b([Aa]n?) ['\"]?(\w[\w-]*)")
        for text in catalog.texts:
            for said, word in article.findall(text):
                assert (said.lower() == "an") == takes_an(word), text

    def test_sentences_begin_and_end(self, catalog):
        for text in catalog.texts:
            body = text
            assert not re.search(r"(?:^|[.!?] )['\"]?[a-z]", body), text
            assert re.search(r"[.!?]['\"]?$", body), text

    def test_words_are_many(self, catalog):
        words = {word for text in catalog.texts for word in re.findall(r"[a-z]{2,}", text.lower())}
        assert len(words) > 1500

    def test_a_label_shows_in_its_texts(self, catalog):
        """The words of a text tell its section: naive Bayes on the odd items labels nearly all the even ones."""
        main = [labels[0] for labels in catalog.topics]
        words = [set(re.findall(r"[a-z]{3,}", text.lower())) for text in catalog.texts]
        size, uses = Counter(main[1::2]), {label: Counter() for label in set(main)}
        for label, said in zip(main[1::2], words[1::2], strict=True):
            uses[label].update(said)
        right = 0
        sample = range(0, len(main), 50)
        for item in sample:
            scores = {
                label: math.log(size[label])
                + sum(math.log((uses[label][word] + 0.1) / (size[label] + 1)) for word in words[item])
                for label in uses
            }
            right += max(scores, key=scores.get) == main[item]
        assert right / len(sample) > 0.85


class TestNumbers:
    def test_minutes(self, catalog):
        assert catalog.minutes.min() >= 0.5
        assert catalog.minutes.max() <= 6
        assert catalog.minutes.std() > 0.1 * catalog.minutes.mean()

    def test_published_in_order(self, catalog):
        assert (np.diff(catalog.published) >= 0).all()
        assert len(np.unique(catalog.published)) > 1000

    def test_popularity_and_rating_are_percentiles_that_agree_a_little(self, catalog):
        for ranks in (catalog.popularity, catalog.rating):
            assert ranks.mean() == pytest.approx(0.5, abs=1e-6)
            assert np.quantile(ranks, [0.1, 0.9]) == pytest.approx([0.1, 0.9], abs=0.01)
        assert 0.1 < np.corrcoef(catalog.popularity, catalog.rating)[0, 1] < 0.3

    def test_sensational_wording_draws_and_disappoints(self, catalog):
        loud = np.array([bool(re.search(LOUD, text)) for text in catalog.texts])
        assert 300 < loud.sum() < len(catalog) / 4
        assert catalog.popularity[loud].mean() > catalog.popularity[~loud].mean() + 0.1
        assert catalog.rating[loud].mean() < catalog.rating[~loud].mean() - 0.1


def test_near_duplicates_exist(catalog):
    series = re.compile(r"[Pp]art \d|[Ss]econd part|the next chapter|the sequel")
    assert sum(bool(series.search(text)) for text in catalog.texts) > 100


def test_report_adds_up(catalog):
    kinds = ("plain", "lurid", "depth")
    assert sum(catalog.report[kind] for kind in kinds) == len(catalog)
    assert min(catalog.report[kind] for kind in kinds) > 1000


def test_two_loads_agree(catalog):
    again = news.load_news.__wrapped__()
    assert again is not catalog
    assert again.digest == catalog.digest


def test_the_catalogue_is_the_published_one(catalog):
    assert catalog.digest == "e0397afacd3e90ae009076f9fef65e4a3bcd83983bf08f1cf6816890f605dd06"
