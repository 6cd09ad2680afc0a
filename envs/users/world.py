"""What exists: items with hidden taste, appeal and substance, and people.

A world is a pure function of catalogue, scenario and seed.

Taste is not the text. A share ρ of the variance of an item's taste vector comes from its text and attributes, through
TF-IDF and a truncated SVD (another encoder than any agent's), and the rest is the item's own.
"""

import dataclasses
import functools
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ..catalogs.catalog import Catalog
from ..catalogs.order import sort_items
from ..catalogs.table import CatalogError
from ..kept.shelf import Entry, Shelf, make_key
from ..shared.notices import say_once
from ..shared.words import is_unspaced, split_words
from .params import Scenario
from .population import PAST_DAYS, draw_people
from .records import TOPICS_PER_ITEM, Record, item_type, person_type

EVER = 1e9  # days ago when what has always been there appeared
PRICE_MEDIAN, PRICE_BETWEEN, PRICE_WITHIN = 52.0, 0.9, 0.7  # of topics and within one: deviations of the logarithm
WORLDS = Shelf("worlds")
LIBRARIES = ("numpy", "scipy", "scikit-learn")
BUILDERS = (  # the code that builds a world
    "envs/catalogs/catalog.py",
    "envs/catalogs/order.py",
    "envs/kept/shelf.py",
    "envs/shared/words.py",
    "envs/users/arithmetic.py",
    "envs/users/constants.py",
    "envs/users/params.py",
    "envs/users/population.py",
    "envs/users/records.py",
    "envs/users/world.py",
)
SPLITS = MappingProxyType({"train": (0.0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1.0)})


@dataclass(frozen=True, eq=False)
class World:
    """Items and people.

    Attributes
    ----------
    items
        (N+1,) records of `records.item_type`; row 0 is the empty item.
    people
        (U,) records of `records.person_type`.
    topic_names
        G names, "" for a topic that no item has.
    """

    catalog: Catalog
    scenario: Scenario
    seed: int
    items: np.ndarray
    people: np.ndarray
    topic_names: tuple[str, ...]

    def __repr__(self) -> str:
        return f"World({self.catalog!r}, {self.scenario!r}, seed {self.seed}, {len(self.people)} people)"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("topics", "prices")}  # made anew

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        freeze_records(self.items, self.people)

    @functools.cached_property
    def topics(self) -> NDArray[np.float32]:
        """(N+1, G) soft topic membership: an attribute that agents may see."""
        dense = expand_topics(self.items, self.scenario.shape.topics)
        dense.setflags(write=False)
        return dense

    @property
    def born(self) -> NDArray[np.float64]:
        """(N+1,) when each item appears [days of the clock]: an attribute that agents may see."""
        return self.items["born"].astype(np.float64)

    @functools.cached_property
    def prices(self) -> NDArray[np.float64]:
        """(N+1,) price of each item, an attribute that agents may see; all 0 where the scenario knows no prices."""
        prices = np.zeros(len(self.items))
        if self.scenario.priced:
            prices[1:] = find_prices(self.catalog, self.items["topic"][1:, 0], self.seed)
        prices.setflags(write=False)
        return prices

    def split(self, name: str, sealed: bool = False) -> range:
        """User ids of a split: ``"train"``, ``"validation"`` or ``"test"``.

        Of the test users those in `sealed` are left out, so that nothing is chosen by them before the last word on a
        method; with ``sealed=True`` they alone are the split.

        Raises
        ------
        ValueError
            For an unknown split, and where `sealed` is asked for of a split or a world that has none.
        """
        if name not in SPLITS:
            raise ValueError(f"split = {name!r} is unknown; allowed: {', '.join(map(repr, SPLITS))}")
        low, high = SPLITS[name]
        users = len(self.people)
        if not sealed:
            return range(round(low * users), self.sealed.start if name == "test" else round(high * users))
        if name != "test" or not self.sealed:
            raise ValueError(
                f"sealed = {sealed!r} with split = {name!r} in scenario {self.scenario.name!r}: sealed are the last "
                "half of the test users of a world whose impression.memory is above 0; take split = 'test' of one, or "
                "leave sealed out"
            )
        return self.sealed

    @property
    def sealed(self) -> range:
        """User ids of the last half of the test users, where impressions leave a trace; elsewhere nobody's."""
        users = len(self.people)
        first = round(SPLITS["test"][0] * users)
        return range((first + users + 1) // 2 if self.scenario.memory else users, users)

    def check_open(self, users: NDArray[Any], field: str) -> None:
        """Raise ValueError where there is a sealed one among the ids of users; `field` is what an error calls them."""
        hidden = users[users >= self.sealed.start]
        if len(hidden):
            raise ValueError(
                f"{field} contains {hidden[0]}, who is sealed, as are {self.sealed.start} to {self.sealed.stop - 1}; "
                "take others, or for the last word on a method pass split = 'test' and sealed = True"
            )


def build_world(catalog: Catalog, scenario: Scenario, seed: int = 0) -> World:
    """Build a world, or return one already built in this process from inputs that make the same.

    Parameters
    ----------
    catalog
        N items.
    scenario
        Sizes and constants.
    seed
        The world's seed, 0 <= seed < 2**63.
    """
    # What changes no life is no part of a scenario's identity, and errors and studies tell it all the same.
    return _name_world(catalog, scenario, seed, (scenario.name, *scenario.sources.items(), *scenario.ranges.items()))


@functools.lru_cache(maxsize=16)
def _name_world(catalog: Catalog, scenario: Scenario, seed: int, told: tuple[Any, ...]) -> World:
    world = _build_world(catalog, scenario, seed)
    return world if world.scenario is scenario else dataclasses.replace(world, scenario=scenario)


@functools.lru_cache(maxsize=8)
def _build_world(catalog: Catalog, scenario: Scenario, seed: int = 0) -> World:
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise ValueError(f"world_seed = {seed!r} must be a whole number from 0 to 2**63 - 1")
    short = {size: getattr(scenario.shape, size) for size in ("slate", "past")}
    short = {size: least for size, least in short.items() if len(catalog) < least}
    if short:
        raise ValueError(
            f"catalogue {catalog.name!r} has {len(catalog)} items, fewer than "
            f"{' and '.join(f'a {size} of {least}' for size, least in short.items())}; add items or lower "
            f"{' and '.join(f'shape.{size}' for size in short)}"
        )
    build = functools.partial(_fill_world, catalog, scenario, int(seed))
    # Prices that are drawn are said to be, in each process.
    drawn = scenario.priced and catalog.price is None
    entry = build() if drawn else WORLDS.fetch(key_world(catalog, scenario, int(seed)), build)
    items = _restore(entry.arrays["items"], item_type(scenario.shape))
    people = _restore(entry.arrays["people"], person_type(scenario.shape, scenario.second))
    freeze_records(items, people)
    return World(catalog, scenario, int(seed), items, people, tuple(entry.facts["topic_names"]))


def key_world(catalog: Catalog, scenario: Scenario, seed: int) -> str:
    """What a world is kept by: catalogue, constants, seed, the code that builds it, and the versions of libraries.

    Behaviours of one's own are no part of it: they act in lives, and not on who and what exists.
    """
    constants = dataclasses.replace(scenario, behaviours={}).digest
    return make_key([catalog.digest, catalog.price_digest, constants, seed], BUILDERS, LIBRARIES)


def _restore(content: NDArray[np.uint8], kind: np.dtype) -> np.ndarray:
    """Records of their bytes, at an address that suits their type."""
    records = np.empty(content.size // kind.itemsize, kind)
    records.view(np.uint8)[...] = content
    return records


def _fill_world(catalog: Catalog, scenario: Scenario, seed: int) -> Entry:
    """Records of items and people, as bytes, and the names of topics."""
    # One thread: BLAS sums in another order on another number of threads, and a world must not depend on that.
    with threadpool_limits(limits=1):
        items, names = _build_items(catalog, scenario, seed)
        _check_past(scenario, items)
        topics = expand_topics(items, scenario.shape.topics)[1:].astype(np.float64)
        people = draw_people(scenario, items, topics, catalog.popularity, seed)
    return Entry({"items": items.view(np.uint8), "people": people.view(np.uint8)}, {"topic_names": names})


def freeze_records(*arrays: np.ndarray) -> None:
    """Make arrays read-only. To compiled loops they are another type if they are not, as after being unpickled."""
    for array in arrays:
        array.setflags(write=False)


def _build_items(catalog: Catalog, scenario: Scenario, seed: int) -> tuple[np.ndarray, tuple[str, ...]]:
    p, shape = scenario.params, scenario.shape
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0]))
    tfidf = _weigh_words(catalog)
    factors = factor_texts(tfidf, shape.taste)
    topics, names = assign_topics(catalog, tfidf, factors, shape.topics)
    items = np.zeros(len(catalog) + 1, item_type(shape))
    noise = rng.standard_normal(factors.shape) / np.sqrt(shape.taste)
    taste = np.sqrt(p.taste_text_share) * factors + np.sqrt(1 - p.taste_text_share) * noise
    items["taste"][1:] = taste / np.linalg.norm(taste, axis=1, keepdims=True)
    items["topic"][1:], items["share"][1:] = _keep_largest(topics)
    items["appeal"][1:] = _add_noise(rng, catalog.popularity, p.items_appeal_noise)
    items["substance"][1:] = _add_noise(rng, catalog.rating, p.items_substance_noise)
    if p.items_topics > 0:
        items["substance"][1:] = _rate_topics(items["substance"][1:], topics, p.items_topics, seed)
    if p.items_conflict > 0:
        items["substance"][1:] = _oppose(items["substance"][1:], items["appeal"][1:], p.items_conflict)
    items["minutes"][1:] = _compress(catalog.minutes, p.items_shortest, p.items_longest)
    items["born"] = -EVER
    if scenario.appearing:
        items["born"][1:] = _draw_births(catalog, p, seed)
    if p.items_flare > 0:
        sizes = np.random.default_rng(np.random.SeedSequence([seed, 4])).standard_exponential(len(catalog))
        items["flare"][1:] = p.items_flare * sizes
    if scenario.priced:
        items["price"][1:] = _standardise(np.log(find_prices(catalog, items["topic"][1:, 0], seed)))
    return items, names


def _check_past(scenario: Scenario, items: np.ndarray) -> None:
    """Refuse a world that is so young when it begins that nobody can have a past."""
    old_enough, past = int((items["born"][1:] <= -PAST_DAYS[0]).sum()), scenario.shape.past
    if old_enough < past:
        raise ValueError(
            f"scenario {scenario.name!r}: of {len(items) - 1} items only {old_enough} have appeared when the first day "
            f"begins, fewer than a past of {past}; add items, raise items.life, or lower items.arrivals, horizon.days "
            "or shape.past"
        )


def _keep_largest(topics: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers and shares of each item's largest topics, largest first; the shares sum to 1."""
    order = np.argsort(-topics, axis=1, kind="stable")[:, :TOPICS_PER_ITEM]
    share = np.take_along_axis(topics, order, axis=1)
    return order, share / share.sum(axis=1, keepdims=True)


def expand_topics(items: np.ndarray, count: int) -> NDArray[np.float32]:
    """(N+1, G) soft topic membership of item records."""
    dense = np.zeros((len(items), count), np.float32)
    np.put_along_axis(dense, items["topic"].astype(np.int64), items["share"], axis=1)
    dense[0] = 0.0
    return dense


def find_prices(catalog: Catalog, topic: NDArray[np.integer], seed: int) -> NDArray[np.float64]:
    """(N,) prices: the catalogue's, or, if it has none, log-normal ones around a median of each main topic.

    The median and the two spreads are those of the shop that comes with the package, in its currency.
    """
    if catalog.price is not None:
        return catalog.price
    say_once(f"catalogue {catalog.name!r} has no prices: they are drawn from the world's seed, by main topic")
    rng = np.random.default_rng(np.random.SeedSequence([seed, 5]))
    level = PRICE_BETWEEN * rng.standard_normal(256)[topic]  # one for each topic that there may be
    return np.asarray(PRICE_MEDIAN * np.exp(level + PRICE_WITHIN * rng.standard_normal(len(topic))))


def _standardise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Less their mean, in standard deviations; zeros where all are equal."""
    spread = values.std()
    return np.asarray((values - values.mean()) / spread if spread > 1e-9 else np.zeros(len(values)))


def _draw_births(catalog: Catalog, p: Record, seed: int) -> NDArray[np.float64]:
    """When items appear [days], in their order of publication.

    Where items age, evenly from before the users' past to the horizon; else the latest, a share ``items.arrivals`` of
    them, evenly over the horizon, and the others have always been there.
    """
    order = sort_items(catalog, "published", seed)
    if p.items_life > 0:
        return _spread_births(order, -(PAST_DAYS[1] + 3 * p.items_life), p.horizon_days)
    born = np.full(len(order), -EVER)
    coming = round(p.items_arrivals * len(order))
    late = order[len(order) - coming :]
    born[late] = _spread_births(np.arange(coming), 0.0, p.horizon_days)
    return born


def _spread_births(order: NDArray[np.int64], first: float, last: float) -> NDArray[np.float64]:
    """Days, evenly from the first to the last, by place in an order."""
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order))
    return np.asarray(first + (rank + 0.5) / len(order) * (last - first))


def _weigh_words(catalog: Catalog) -> Any:
    """Sparse (N, words) TF-IDF of text and topic labels.

    Raises
    ------
    CatalogError
        If no word stands in enough texts, so that nothing tells which items are alike.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # which takes long to import: where worlds are built

    rare = 3 if len(catalog) >= 1000 else 1
    documents = list(zip(catalog.texts, catalog.topics, strict=True))
    try:
        return TfidfVectorizer(sublinear_tf=True, min_df=rare, analyzer=_list_words).fit_transform(documents)
    except ValueError as error:  # of an empty vocabulary, in one of two wordings
        where = catalog.source or f"catalogue {catalog.name!r}"
        least = "a single text" if rare == 1 else f"{rare} texts or more"
        raise CatalogError(
            f"{where}: no word stands in {least} of {len(catalog):,}, so nothing tells which items are alike. "
            "Fix: name the column of texts in words (text_column), or add a column 'topics' with labels"
        ) from error


def _list_words(document: tuple[str, tuple[str, ...]]) -> list[str]:
    """Words of a text and its topic labels, a label's words marked as such."""
    text, labels = document
    words = split_words(text)
    for label in labels:
        marked = f"topic_{label.replace(' ', '_')}"
        words += [marked.lower()] if is_unspaced(marked) else split_words(marked)  # cut up, it would mean less
    return words


def factor_texts(tfidf: Any, width: int) -> NDArray[np.float64]:
    """(N, width) unit vectors: truncated SVD of TF-IDF, centred, with the dominant directions damped."""
    from sklearn.decomposition import TruncatedSVD

    rank = min(width, min(tfidf.shape) - 1)
    scores = TruncatedSVD(rank, random_state=0).fit_transform(tfidf) if rank > 0 else np.zeros((tfidf.shape[0], 0))
    scores = scores - scores.mean(axis=0)
    spread = scores.std(axis=0)
    scores = scores / np.sqrt(np.where(spread > 1e-9, spread, 1.0))  # the square root halves the range of the spectrum
    factors = np.zeros((tfidf.shape[0], width))
    factors[:, :rank] = scores
    norms = np.linalg.norm(factors, axis=1, keepdims=True)
    factors[norms[:, 0] < 1e-9, 0] = 1.0  # a text with no known word
    return factors / np.where(norms < 1e-9, 1.0, norms)


def assign_topics(
    catalog: Catalog, tfidf: Any, factors: NDArray[np.float64], topics: int
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Soft topics (N, G), rows summing to 1: the catalogue's labels if it has any, else non-negative factors of text.

    A rare label says more about an item than a common one, so labels weigh by the root of their log rarity. An item
    without labels takes the topics whose centroids its text is near.
    """
    counts: dict[str, int] = {}
    for labels in catalog.topics:
        for label in labels:
            counts[label] = counts.get(label, 0) + 1
    if not counts:
        from sklearn.decomposition import NMF

        rank = min(topics, min(tfidf.shape))
        weights = NMF(rank, init="nndsvda", max_iter=200, tol=1e-3, random_state=0).fit_transform(tfidf)
        membership = np.zeros((len(catalog), topics))
        membership[:, :rank] = weights + 1e-9
        names = tuple(f"topic {g + 1}" if g < rank else "" for g in range(topics))
        return membership / membership.sum(axis=1, keepdims=True), names
    frequent = sorted(sorted(counts), key=lambda label: -counts[label])[:topics]
    column = {label: g for g, label in enumerate(frequent)}
    membership = np.zeros((len(catalog), topics))
    for i, labels in enumerate(catalog.topics):
        for label in labels:
            if label in column:
                membership[i, column[label]] = np.sqrt(np.log1p(len(catalog) / counts[label]))
    bare = membership.sum(axis=1) == 0
    if bare.any():
        centroids = membership[:, : len(frequent)].T @ factors
        centroids /= np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-9)
        membership[bare, : len(frequent)] = np.maximum(factors[bare] @ centroids.T, 1e-3) ** 2
    return membership / membership.sum(axis=1, keepdims=True), tuple(frequent) + ("",) * (topics - len(frequent))


def _add_noise(rng: np.random.Generator, percentile: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """Standard normal scores of a percentile, with a share of their variance replaced by noise."""
    from scipy.stats import norm

    scores = norm.ppf(np.clip(percentile, 0.005, 0.995))
    spread = scores.std()
    scores = (scores - scores.mean()) / spread if spread > 1e-9 else np.zeros_like(scores)
    return np.asarray(np.sqrt(1 - noise) * scores + np.sqrt(noise) * rng.standard_normal(len(scores)))


def _rate_topics(
    substance: NDArray[np.floating], topics: NDArray[np.float64], share: float, seed: int
) -> NDArray[np.float64]:
    """Substance of which a share of the variance is that of an item's topics (N, G), each as good as its luck."""
    quality = np.random.default_rng(np.random.SeedSequence([seed, 4])).standard_normal(topics.shape[1])
    common = topics @ quality
    common = (common - common.mean()) / max(float(common.std()), 1e-9)
    mixed = np.sqrt(1 - share) * substance + np.sqrt(share) * common
    return np.asarray((mixed - mixed.mean()) / max(float(mixed.std()), 1e-9))


def _oppose(substance: NDArray[np.floating], appeal: NDArray[np.floating], conflict: float) -> NDArray[np.float64]:
    """Substance whose correlation with appeal is −c: ``√(1−c²)·s⊥ − c·a``, s⊥ being what appeal does not tell."""
    appeal = (appeal - appeal.mean()) / max(float(appeal.std()), 1e-9)
    rest = substance - substance.mean() - (substance * appeal).mean() * appeal
    return np.asarray(np.sqrt(1 - conflict**2) * rest / max(float(rest.std()), 1e-9) - conflict * appeal, np.float64)


def _compress(minutes: NDArray[np.float64], shortest: float, longest: float) -> NDArray[np.float64]:
    """Lengths to [shortest, longest] minutes: linear in the logarithm between the 1st and 99th percentile."""
    low, high = np.log(np.quantile(minutes, [0.01, 0.99]))
    if high - low < 1e-9:
        return np.full(len(minutes), (shortest + longest) / 2)
    share = np.clip((np.log(minutes) - low) / (high - low), 0.0, 1.0)
    return np.asarray(shortest + (longest - shortest) * share)
