"""What every synthetic catalogue keeps to, as a test kit: a test class inherits it, and says what is its own."""

import math
import re
from collections import Counter

import numpy as np
import pytest

from longplay.envs.catalogs.grammar import takes_an


def entropy(labels):
    shares = np.array(list(Counter(labels).values())) / len(labels)
    return -(shares * np.log(shares)).sum()


class CatalogContract:
    """What every catalogue written by the grammar keeps to.

    A test class that inherits this sets all of what follows, and `body` where a text is more than its sentences.
    """

    load = None  # the cached loader, as a staticmethod
    digest = None  # of the published catalogue
    size = None  # items
    labels = None  # least and most different labels
    entropy = None  # of the labels, in nats, give or take 0.1
    minutes = None  # least and most of an item
    loud = None  # pattern of sensational wording
    series = None  # pattern of items that continue another
    kinds = None  # keys of the report, which count all items between them

    @staticmethod
    def body(text):
        """The sentences of a text."""
        return text

    @pytest.fixture
    def catalog(self):
        return self.load()

    def test_labels_are_many_and_not_alike_in_size(self, catalog):
        labels = [label for labels in catalog.topics for label in labels]
        low, high = self.labels
        assert low <= len(set(labels)) <= high
        assert entropy(labels) == pytest.approx(self.entropy, abs=0.1)
        assert entropy(labels) < math.log(len(set(labels))) - 0.08

    def test_one_or_two_labels_that_differ(self, catalog):
        assert {len(labels) for labels in catalog.topics} == {1, 2}
        assert all(len(set(labels)) == len(labels) for labels in catalog.topics)

    def test_texts_all_differ(self, catalog):
        assert len(set(catalog.texts)) == len(catalog) == self.size

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
            body = self.body(text)
            assert not re.search(r"(?:^|[.!?] )['\"]?[a-z]", body), text
            assert re.search(r"[.!?]['\"]?$", body), text

    def test_words_are_many(self, catalog):
        words = {word for text in catalog.texts for word in re.findall(r"[a-z]{2,}", text.lower())}
        assert len(words) > 1500

    def test_a_label_shows_in_its_texts(self, catalog):
        """The words of a text tell its label: naive Bayes on the odd items labels nearly all the even ones."""
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

    def test_minutes(self, catalog):
        low, high = self.minutes
        assert catalog.minutes.min() >= low
        assert catalog.minutes.max() <= high
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
        loud = np.array([bool(re.search(self.loud, text)) for text in catalog.texts])
        assert 300 < loud.sum() < len(catalog) / 4
        assert catalog.popularity[loud].mean() > catalog.popularity[~loud].mean() + 0.1
        assert catalog.rating[loud].mean() < catalog.rating[~loud].mean() - 0.1

    def test_near_duplicates_exist(self, catalog):
        assert sum(bool(re.search(self.series, text)) for text in catalog.texts) > 100

    def test_report_adds_up(self, catalog):
        assert sum(catalog.report[kind] for kind in self.kinds) == len(catalog)
        assert min(catalog.report[kind] for kind in self.kinds) > 1000

    def test_two_loads_agree(self, catalog):
        again = self.load.__wrapped__()  # past the cache
        assert again is not catalog
        assert again.digest == catalog.digest

    def test_the_catalogue_is_the_published_one(self, catalog):
        assert catalog.digest == self.digest
