"""Real ratings of films: MovieTweetings, with the films' titles, years, genres and plots.

S. Dooms, T. De Pessemier, L. Martens: "MovieTweetings: a movie rating dataset collected from Twitter", 2013 (MIT
licence); plots are the first sentences of Wikipedia's articles (CC BY-SA). Nothing of it is part of this package: the
owner names the folder that holds the two files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from longplay.encoders.base import Items
from longplay.encoders.data.interactions import Interactions, from_table
from longplay.encoders.data.table_parsing import LogError
from longplay.encoders.device import find_device
from longplay.encoders.text.encoder import TextEncoder
from longplay.envs.catalogs.table import read_table
from longplay.envs.catalogs.texts import attribute_to_text
from longplay.scripts.shared.logs import Source

RATINGS = "movietweetings_100k_ratings.csv.gz"  # u: user, m: film, r: rating, t: Unix time [s]
FILMS = "movietweetings_items.jsonl.gz"  # imdb: film, title, year, genres; extract where there is a plot
BEST = 10.0


def read_ratings_log(folder: Path, text_encoder: TextEncoder | None = None) -> Source:
    """MovieTweetings, the films with a plot."""
    texts, _, log = load_ratings(folder)
    encoder = text_encoder or TextEncoder(device=find_device())
    return Source("ratings", Items(texts, encoder.encode(texts), np.ones(len(texts), np.float32), encoder), log)


def load_ratings(folder: str | Path, plots_only: bool = True) -> tuple[tuple[str, ...], tuple[str, ...], Interactions]:
    """Read films and their ratings.

    Parameters
    ----------
    folder : path
        Holds the files named `RATINGS` and `FILMS`.
    plots_only : bool
        Leave out films without a plot, and count their ratings as dropped.

    Returns
    -------
    texts : tuple of str, length N
        Title, year and genres as `attribute_to_text` says them, then the plot.
    item_ids : tuple of str, length N
        IMDb numbers, as written.
    log : Interactions
        Completion is rating / 10; its `report` says what was dropped.

    Raises
    ------
    CatalogError
        If a file is not there or broken, a column is missing, or nothing is left.
    """
    folder = Path(folder)
    absent = [name for name in (RATINGS, FILMS) if not (folder / name).is_file()]
    if absent:
        raise LogError(f"{folder}: no {' and no '.join(absent)}. Fix: name the folder that holds both files")
    table = read_table(folder / FILMS)
    ids, titles = (table.cells[table.find(name, name)] for name in ("imdb", "title"))
    size = len(table.numbers)
    years = table.read_floats("year") if "year" in table.cells else np.full(size, np.nan)
    genres = table.read_labels("genres") if "genres" in table.cells else ((),) * size
    plots = [" ".join(str(plot or "").split()) for plot in table.cells.get("extract", [""] * size)]
    selected = [i for i in range(size) if plots[i] or not plots_only]
    texts = tuple(
        f"{attribute_to_text(titles[i], year=years[i], genres=genres[i])} {plots[i]}".strip() for i in selected
    )
    item_ids = tuple(str(ids[i]) for i in selected)
    log = from_table(
        folder / RATINGS,
        item_ids,
        user="u",
        item="m",
        time="t",
        rating="r",
        best_rating=BEST,
        time_unit="seconds",
    )
    return texts, item_ids, log
