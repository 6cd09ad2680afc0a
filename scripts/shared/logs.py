"""Logs and what is known of their items: simulated ones, and those of an owner."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from longplay.encoders.base import Items
from longplay.encoders.data.interactions import Interactions, clean, from_table
from longplay.encoders.device import find_device
from longplay.encoders.text.cache import Vectors
from longplay.encoders.text.encoder import TextEncoder
from longplay.envs.catalogs.catalog import Catalog


@dataclass(frozen=True, eq=False)
class Source:
    """A log, and what is known of its items.

    Parameters
    ----------
    name : str
        As in tables.
    items : Items
        Texts and frozen vectors.
    log : Interactions
        Who consumed what, when.
    profiles : (U, P) float32, optional
        Vectors of the users' profile texts; zeros where a user has none.
    """

    name: str
    items: Items
    log: Interactions
    profiles: Vectors | None = None


def read_collected_log(folder: Path, text_encoder: TextEncoder | None = None) -> Source:
    """The log that ``scripts/collect.py`` wrote into a folder."""
    catalog = Catalog.from_table(folder / "items.parquet")
    table = pd.read_parquet(folder / "log.parquet").drop(columns="item")
    users = pd.read_parquet(folder / "users.parquet")
    log = clean(table.merge(users[["user", "profile"]], on="user"), catalog.ids, item="item_id")
    return _make_source("simulated", catalog, log, text_encoder)


def read_table_log(
    log: Path,
    catalog: Path,
    text_encoder: TextEncoder | None = None,
    id_column: str = "id",
    text_column: str = "text",
    **columns: object,
) -> Source:
    """An owner's tables of interactions and of items; see `clean` and `Catalog.from_table` for their columns."""
    items = Catalog.from_table(catalog, id_column=id_column, text_column=text_column)
    return _make_source(log.stem, items, from_table(log, items.ids, **columns), text_encoder)


def _make_source(name: str, catalog: Catalog, log: Interactions, text_encoder: TextEncoder | None) -> Source:
    encoder = text_encoder or TextEncoder(device=find_device())
    items = Items(catalog.texts, encoder.encode(catalog.texts), catalog.minutes.astype(np.float32), encoder)
    texts = sorted(set(log.profiles) - {""})
    if not texts:
        return Source(name, items, log)
    vectors = dict(zip(texts, encoder.encode(texts), strict=True)) | {"": np.zeros(encoder.width, np.float32)}
    return Source(name, items, log, np.stack([vectors[text] for text in log.profiles]))
