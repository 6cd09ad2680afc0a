"""What is recommended to whom: the part of a run's configuration that two runs must share to be compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro
from numpy.typing import NDArray

from ..encoders.base import Items
from ..encoders.device import find_device
from ..envs.candidates.scoring import Scorer
from ..envs.make import make_vector_env, make_world
from ..envs.named.registry import ENVIRONMENTS
from ..envs.shared.options import Options, number
from ..envs.users.params import MOST_STRENGTH
from ..envs.users.world import World

if TYPE_CHECKING:
    from ..encoders.text.encoder import TextEncoder


@dataclass(frozen=True)
class Setting(Options):
    """What is recommended to whom."""

    env: Annotated[str, tyro.conf.arg(metavar="{" + ", ".join(ENVIRONMENTS) + "}")] = "longplay/Video-v1"
    """Environment id; one of another module as module:id."""
    catalog: str | None = None
    """A table of items (CSV, Parquet or JSONL with id and text); by default the environment's own."""
    scenario: str | None = None
    """A scenario TOML file; by default the environment's own."""
    world_seed: int = 0
    """Seed that fixes who and what exists."""
    strength: float = number(1.0, 0.0, MOST_STRENGTH)
    """The dial: 0 decouples the present from the future, 1 is the scenario, above 1 is stress."""
    bert: str | None = None
    """A text model by alias (minilm, multilingual), folder or hub name; by default minilm."""
    id_column: str | None = None
    """Column of ids in the catalogue's table; by default id."""
    text_column: str | None = None
    """Column of texts in the catalogue's table; by default text."""

    def __post_init__(self) -> None:
        """Refuse unknown names before anything slow happens."""
        super().__post_init__()
        ENVIRONMENTS.card(self.env, "env")

    @cached_property
    def world(self) -> World:
        """Items and people."""
        base = ENVIRONMENTS[self.env].scenario
        return make_world(
            self.scenario or base, self.catalog, self.world_seed, base, self.strength, None, **self.columns
        )

    def describe(self) -> str:
        """The environment's id, and what of it is not its own."""
        fields = {"scenario": self.scenario, "catalogue": self.catalog}
        changes = [f"{name} {value}" for name, value in fields.items() if value is not None]
        changes += [f"dial {self.strength:g}"] if self.strength != 1.0 else []
        changes += [f"world seed {self.world_seed}"] if self.world_seed else []
        return ", ".join([self.env, *changes])

    def __str__(self) -> str:
        """What it is, in errors about two that differ."""
        more = {"text model": self.bert, "id column": self.id_column, "text column": self.text_column}
        return ", ".join([self.describe(), *(f"{name} {value}" for name, value in more.items() if value is not None)])

    @property
    def columns(self) -> dict[str, str]:
        """Names of the table's columns that are not the usual ones, as `make_world` takes them."""
        given = {"id_column": self.id_column, "text_column": self.text_column}
        return {argument: name for argument, name in given.items() if name is not None}

    def to_dict(self) -> dict[str, Any]:
        """As files hold it: names of columns only where they are given, so that other files stay as they were."""
        return {key: value for key, value in asdict(self).items() if value is not None or not key.endswith("_column")}

    def with_table(self, path: Path) -> Setting:
        """The same with the items of a table that the package wrote, whose columns have the usual names."""
        return replace(self, catalog=str(path), id_column=None, text_column=None)

    @cached_property
    def encoder(self) -> TextEncoder:
        """The text encoder."""
        from ..encoders.text.encoder import TextEncoder  # which brings torch; not every policy needs it

        return TextEncoder(self.bert, device=find_device())

    @cached_property
    def item_vectors(self) -> NDArray[np.float32]:
        """(N, E) vectors of the catalogue's texts, from the cache on disk where it has them."""
        return self.encoder.encode(self.world.catalog.texts)

    def project_vectors(self, dimensions: int) -> NDArray[np.float32]:
        """(N, D) the item vectors in fewer dimensions; as they are for 0, and where they have no more."""
        from ..encoders.text.components import project_vectors

        if not 0 < dimensions < self.item_vectors.shape[1]:
            return self.item_vectors
        if dimensions not in self._projected:
            self._projected[dimensions] = project_vectors(self.item_vectors, dimensions)
        return self._projected[dimensions]

    @cached_property
    def _projected(self) -> dict[int, NDArray[np.float32]]:
        return {}

    @cached_property
    def items(self) -> Items:
        """What encoders know of the items."""
        catalog = self.world.catalog
        return Items(catalog.texts, self.item_vectors, catalog.minutes.astype(np.float32), self.encoder)

    @property
    def scorer(self) -> Scorer:
        """The scoring features of candidates."""
        return self.scorers[(), 0, 1]

    @cached_property
    def scorers(self) -> dict[tuple[tuple[str, ...], int, int], Scorer]:
        """Scorers by folders of the fitted models whose scores they add, dimensions (0 for all) and arithmetic.

        At first that of the rules, which adds none.
        """
        return {((), 0, 1): Scorer(self.world, self.item_vectors)}

    def vector_env(self, num_envs: int, action: str, candidates: bool = True, **options: Any) -> Any:
        """A vector environment, with candidates, that pays minutes, the metric of comparisons, in every scenario."""
        return make_vector_env(
            num_envs,
            reward="minutes",
            scenario=self.world.scenario,
            catalog=self.world.catalog,
            world_seed=self.world_seed,
            action=action,
            candidates=candidates,
            item_vectors=self.item_vectors,
            **options,
        )
