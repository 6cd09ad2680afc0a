"""The embedded catalogue: films of 1940-2014 from Wikidata (CC0), as the package bokeh-sampledata carries them."""

from __future__ import annotations

import functools
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from bokeh_sampledata.movies_data import movie_path  # the path alone; bokeh itself is not needed

from .catalog import Catalog, compute_midrank_percentile
from .registry import CATALOGS, keep_catalog
from .table import CatalogError
from .texts import attribute_to_text

if TYPE_CHECKING:
    import pandas as pd

# A feature runs 40 minutes or longer (the rule of the American and British Film Institutes); beyond five hours the
# table has serials and films shown in parts.
SHORTEST_FEATURE = 40.0  # [min]
LONGEST_FEATURE = 300.0  # [min]

# Reviews by which each meter is pulled to the mean: E[p(1 - p)] / Var[p], the method of moments for a Beta prior, on
# these films' meters p. A hundred per cent of five reviews says less than ninety of two hundred.
PRIOR_REVIEWS = 2.5

_ATTRIBUTES = {"Genre": "genre", "Director": "director", "Cast": "cast", "Language": "language", "Country": "country"}
_NAME_SUFFIX = re.compile(r", (?=(?:Jr\.|Sr\.|III)(?:,|$))")  # "Ed Begley, Jr." is one person
_NO_PERSON = re.compile(r"list of ")  # a Wikidata page about several people, standing among the cast


def load_films() -> Catalog:
    """Read the embedded films, ordered by the table's own number.

    Returns
    -------
    Catalog
        `ids` are IMDb ids, `topics` the genres (none for the films whose genre is not known), `minutes` the runtimes,
        `published` the years. `popularity` ranks films by their number of reviews; `rating` ranks them by the critics'
        meter, pulled to the mean the more, the fewer the reviews; both are 0.5 where not known.
        In `report`, ``*_missing`` and ``runtime_odd`` count all rows read, and ``*_dropped`` those left out.

    Raises
    ------
    CatalogError
        If the table cannot be read as expected.

    Notes
    -----
    Of films that share an IMDb id (versions of one film), or title and year (namesakes: they could not be told apart
    in a list), the one with more reviews stays. A runtime that is missing, or is no feature's, becomes the median of
    the film's first genre. The table lists a cast by the alphabet; the three named are those whose films here drew the
    most reviews, as near to the leads as the table comes.

    Source: Wikidata through bokeh-sampledata, table `omdb` for attributes and `tomatoes` for reviews.
    """
    rows = _read_rows(movie_path)
    odd = ~rows.Runtime.between(SHORTEST_FEATURE, LONGEST_FEATURE) & rows.Runtime.notna()
    report = {"rows": len(rows), "runtime_missing": int(rows.Runtime.isna().sum()), "runtime_odd": int(odd.sum())}
    for column in ("Meter", "Reviews"):
        report[f"{column.lower()}_missing"] = int(rows[column].isna().sum())
    for column, label in _ATTRIBUTES.items():
        report[f"{label}_missing"] = int((rows[column] == "").sum())
    rows["Runtime"] = rows.Runtime.mask(odd)

    films = rows.sort_values(["Reviews", "ID"], ascending=[False, True])  # films of unknown reviews come last
    for label, columns in (("same_imdb_id", ["imdbID"]), ("same_title_and_year", ["Title", "Year"])):
        duplicate = films.duplicated(columns)
        report[f"{label}_dropped"] = int(duplicate.sum())
        films = films[~duplicate]
    films = films.sort_values("ID")
    report["films"] = len(films)

    genres = [_split_names(cell) for cell in films.Genre]
    first_genre = films.Genre.str.split(", ").str[0]
    runtimes = films.Runtime.fillna(films.Runtime.groupby(first_genre).transform("median"))
    return Catalog(
        name="films",
        ids=tuple(films.imdbID),
        texts=_write_texts(films, genres),
        topics=tuple(map(tuple, genres)),
        minutes=runtimes.to_numpy(np.float64),
        popularity=compute_midrank_percentile(films.Reviews),
        rating=compute_midrank_percentile(_shrink_meter(films)),
        published=films.Year.to_numpy(np.float64),
        report=report,
    )


def _read_rows(path: Path) -> pd.DataFrame:
    import pandas as pd  # which takes long to import, and only who reads the table needs it

    columns = ", ".join(f'omdb."{name}"' for name in ("ID", "imdbID", "Title", "Year", "Runtime", *_ATTRIBUTES))
    query = f"SELECT {columns}, Meter, Reviews FROM omdb JOIN tomatoes USING (ID)"
    try:
        # Immutable: no lock and no journal, so that a read-only installation can be read too.
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            rows = pd.read_sql_query(query, database)
    except (sqlite3.Error, pd.errors.DatabaseError) as error:
        fix = "install bokeh-sampledata 2026.1 or newer again"
        raise CatalogError(f"{path}: the films cannot be read ({error}). Fix: {fix}") from error
    attributes = list(_ATTRIBUTES)
    rows[attributes] = rows[attributes].fillna("")  # the table has both NULL and "" for a name that is not known
    return rows


def _split_names(cell: str) -> list[str]:
    """Split a cell of names, each once, in the table's order."""
    names = _NAME_SUFFIX.sub(" ", cell).split(", ") if cell else []
    return list(dict.fromkeys(name for name in names if not _NO_PERSON.match(name)))


def _shrink_meter(films: pd.DataFrame) -> pd.Series[float]:
    """Critics' meter [%] as the posterior mean of a Beta prior worth `PRIOR_REVIEWS` reviews at the overall mean."""
    # Where the count is not known, the meter is trusted as little as the least reviewed one.
    reviews = films.Reviews.fillna(films.Reviews.min())
    return (reviews * films.Meter + PRIOR_REVIEWS * films.Meter.mean()) / (reviews + PRIOR_REVIEWS)


def _write_texts(films: pd.DataFrame, genres: Iterable[list[str]]) -> tuple[str, ...]:
    casts = [_split_names(cell) for cell in films.Cast]
    fame: Counter[str] = Counter()
    for cast, reviews in zip(casts, films.Reviews.fillna(0.0), strict=True):
        for name in cast:
            fame[name] += int(reviews)
    facts = zip(films.Title, films.Year, genres, films.Director, casts, films.Country, films.Language, strict=True)
    texts = []
    for title, year, kinds, director, cast, country, language in facts:
        directors = _split_names(director)
        text = attribute_to_text(
            title,
            year=year,
            genres=kinds,
            director=directors if len(directors) <= 4 else [*directors[:3], "others"],  # anthologies have up to 41
            cast=sorted(cast, key=lambda name: (-fame[name], name))[:3],
            country=_split_names(country),
            spoken=_split_names(language),
        )
        texts.append(text)
    return tuple(texts)


@functools.lru_cache(maxsize=1)
def _take_films() -> Catalog:
    about = movie_path.stat()
    data = f"{movie_path} {about.st_size} {about.st_mtime_ns}"
    return keep_catalog(
        load_films, source="envs/catalogs/films.py", data=data, packages=("pandas", "numpy", "bokeh-sampledata")
    )


CATALOGS.register("films", _take_films)
