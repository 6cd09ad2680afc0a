"""Words behind taste: to the bit what they were in Latin script, and as telling in other scripts."""

import dataclasses

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from longplay import make_world
from longplay.envs.catalogs.catalog import Catalog
from longplay.envs.catalogs.films import load_films
from longplay.envs.catalogs.registry import CATALOGS
from longplay.envs.catalogs.table import CatalogError
from longplay.envs.users.world import _build_world, _weigh_words, factor_texts
from longplay.tests.envs.catalogs.parallel import compute_genre_cosine, make_parallel
from longplay.tests.envs.worlds import small

build_anew = _build_world.__wrapped__


def weigh_as_before(texts, topics):
    documents = [
        " ".join([text, *(f"topic_{label.replace(' ', '_')}" for label in labels)])
        for text, labels in zip(texts, topics, strict=True)
    ]
    return TfidfVectorizer(sublinear_tf=True, min_df=3, token_pattern=r"(?u)\b\w+\b").fit_transform(documents)


def keep_every(catalog, step):
    rows = range(0, len(catalog), step)
    columns = ("ids", "texts", "topics", "minutes", "popularity", "rating", "published")
    kept = {name: [getattr(catalog, name)[i] for i in rows] for name in columns}
    return Catalog(catalog.name, **{name: tuple(values) for name, values in kept.items()})


def test_factors_of_the_films_are_what_they_always_were_to_the_bit():
    films = keep_every(load_films(), 4)
    before, now = weigh_as_before(films.texts, films.topics), _weigh_words(films)
    assert (before != now).nnz == 0
    assert factor_texts(now, 32).tobytes() == factor_texts(before, 32).tobytes()


@pytest.mark.parametrize("name", ["news", "shop", "social"])
def test_words_of_the_shipped_catalogues_weigh_what_they_always_did(name):
    catalog = keep_every(CATALOGS[name](), 8)
    assert (weigh_as_before(catalog.texts, catalog.topics) != _weigh_words(catalog)).nnz == 0


@pytest.mark.parametrize("labels", [True, False])
def test_the_same_films_are_as_alike_in_chinese_as_in_english(labels):
    genres = [names[0] for names in make_parallel()[0].topics]
    cosines = [
        compute_genre_cosine(factor_texts(_weigh_words(catalog), 32), genres)
        for catalog in make_parallel(labels=labels)
    ]
    assert cosines[0] > 0.25
    assert cosines[1] == pytest.approx(cosines[0], abs=0.05)


def test_a_label_in_chinese_counts_as_one_word():
    catalog = dataclasses.replace(make_parallel(50)[1], texts=("一",) * 50)
    assert _weigh_words(catalog).shape[1] == 1 + len({label for labels in catalog.topics for label in labels})


@pytest.mark.parametrize("items", [40, 1000])
def test_texts_without_words_are_refused_with_the_file_and_the_fix(items, tmp_path):
    path = tmp_path / "dots.csv"
    path.write_text("id,text\n" + "".join(f"{i},……{'！' * (i % 7)}\n" for i in range(items)), encoding="utf-8")
    message = rf"dots\.csv: no word stands in {'a single text' if items < 1000 else '3 texts or more'} of {items:,}, "
    with pytest.raises(CatalogError, match=message + ".* Fix: name the column of texts in words"):
        make_world(small(), path)


def test_a_catalogue_without_a_file_is_named_when_refused():
    catalog = dataclasses.replace(make_parallel(50, labels=False)[0], texts=("?",) * 50)
    with pytest.raises(CatalogError, match=r"^catalogue 'english': no word stands"):
        build_anew(catalog, small())


def test_headlines_alone_make_a_world_with_different_items():
    """1,500 Chinese headlines, which share no clause, and have no labels."""
    catalog = make_parallel(1500, labels=False)[1]
    headlines = (text.split("。")[2].replace("，", "") for text in catalog.texts)
    headlines = tuple(f"{headline}{chr(0x4E00 + i)}" for i, headline in enumerate(headlines))
    world = build_anew(dataclasses.replace(catalog, texts=headlines), small())
    assert len(np.unique(world.topics[1:].argmax(axis=1))) >= 8
