"""Who exists: the people of a world, drawn once from the world's seed."""

import numpy as np
from numpy.typing import NDArray

from .arithmetic import logistic
from .params import Scenario
from .records import person_type

ANCHORS = 3  # items a taste is made of
FAVOURITES = 3  # topics named at sign-up
PAST_POOL = 256  # items a past is chosen from
PAST_DAYS = (0.5, 14.0)  # how long ago the past happened
CHUNK = 500  # people at a time, to bound memory


def draw_people(
    scenario: Scenario, items: np.ndarray, topics: NDArray[np.float64], popularity: NDArray[np.float64], seed: int
) -> np.ndarray:
    """Draw the population.

    A taste is a mixture of a few films the person loves (met in proportion to how much they are talked about) plus
    something of their own. Traits are log-normal, normal or Beta around the scenario's medians. The past is what they
    chose by taste from random items, and what they named as favourite topics is a noisy view of their taste.

    Parameters
    ----------
    items
        (N+1,) item records; row 0 is the empty item.
    topics
        (N, G) soft topic membership.
    popularity
        (N,) percentile of how much an item is talked about.
    seed
        The world's seed.

    Returns
    -------
    numpy.ndarray
        (U,) records of `records.person_type`.
    """
    from scipy.special import logit  # which takes long to import, and only who builds a world needs it

    p, shape = scenario.params, scenario.shape
    count = min(shape.types, shape.users) or shape.users
    people = np.zeros(count, person_type(shape, scenario.second))
    rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    people["taste"] = _draw_tastes(rng, items["taste"][1:].astype(np.float64), popularity, count)
    people["sensitivity"] = p.satiation_sensitivity * np.exp(
        p.satiation_sensitivity_spread * rng.standard_normal(count)
    )
    people["recovery"] = p.satiation_recovery * np.exp(p.satiation_recovery_spread * rng.standard_normal(count))
    people["leave_logit"] = logit(np.clip(rng.beta(p.leave_beta_a, p.leave_beta_b, count), 0.01, 0.95))
    people["visit_rate"] = p.gap_between_users * rng.standard_normal(count)
    people["chronotype"] = p.day_chronotype * rng.standard_normal(count)
    people["past_age"] = np.sort(rng.uniform(*PAST_DAYS, (count, shape.past)), axis=1)
    noise = p.dwell_noise * rng.standard_normal((count, shape.past))
    for start in range(0, count, CHUNK):
        chunk = slice(start, min(start + CHUNK, count))
        chosen, liking = _draw_past(rng, scenario, items, people["taste"][chunk])
        people["past_items"][chunk] = chosen
        utility = p.taste_weight * liking
        people["past_completion"][chunk] = logistic_array(p.dwell_base + p.dwell_utility * utility + noise[chunk])
    if p.items_life > 0:
        _date_past(rng, items, p.items_life, people)
    people["frailty"] = p.churn_frailty * np.random.default_rng(np.random.SeedSequence([seed, 2])).standard_normal(
        count
    )
    if scenario.second:
        people["second"] = _draw_second(scenario, people["taste"], seed)
    people["profile"] = _draw_favourites(rng, topics, items, people["taste"])
    # As bytes: records would be copied field by field, with whatever was in memory between the fields.
    content = people.view(np.uint8).reshape(count, -1)[np.arange(shape.users) % count]
    return content.reshape(-1).view(people.dtype)


# Without compilation (NUMBA_DISABLE_JIT=1) `logistic` is the plain function already.
logistic_array = np.vectorize(getattr(logistic, "py_func", logistic), otypes=[np.float64])


def _draw_tastes(
    rng: np.random.Generator, vectors: NDArray[np.float64], popularity: NDArray[np.float64], users: int
) -> NDArray[np.float64]:
    chance = popularity + 0.05  # even the obscure are somebody's favourites
    anchors = rng.choice(len(vectors), size=(users, ANCHORS), p=chance / chance.sum())
    shares = rng.dirichlet(np.ones(ANCHORS), users)
    noise = rng.standard_normal((users, vectors.shape[1])) / np.sqrt(vectors.shape[1])
    mixed = np.einsum("ua,uad->ud", shares, vectors[anchors]) + 0.3 * noise
    return np.asarray(mixed / np.linalg.norm(mixed, axis=1, keepdims=True))


def _draw_second(scenario: Scenario, taste: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """``ũ = ρu + √(1−ρ²)(√(1−η)·Ru + √η·z)``, unit vectors.

    R is a rotation of the world, made orthogonal to each u, so that who is drawn to this tends to be glad of that; z is
    the person's own.
    """
    from scipy.stats import ortho_group

    p, width = scenario.params, taste.shape[1]
    rng = np.random.default_rng(np.random.SeedSequence([seed, 3]))
    turned = taste @ ortho_group.rvs(width, random_state=rng).T
    own = rng.standard_normal(taste.shape)
    parts = []
    for vectors in (turned, own):
        vectors = vectors - (vectors * taste).sum(axis=1, keepdims=True) * taste
        parts.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    other = np.sqrt(1 - p.second_own) * parts[0] + np.sqrt(p.second_own) * parts[1]
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    second = p.second_agreement * taste + np.sqrt(1 - p.second_agreement**2) * other
    return np.asarray(second / np.linalg.norm(second, axis=1, keepdims=True))


def _draw_past(
    rng: np.random.Generator, scenario: Scenario, items: np.ndarray, taste: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Items and their cosine with taste: the best of a random pool under Gumbel noise, so a softmax without repeats."""
    p, past = scenario.params, scenario.shape.past
    # One pool for the chunk, so that nobody draws an item twice.
    old_enough = np.flatnonzero(items["born"][1:] <= -PAST_DAYS[0]) + 1
    pool = rng.choice(old_enough, size=min(PAST_POOL * 4, len(old_enough)), replace=False)
    liking = np.einsum("ud,nd->un", taste, items["taste"][pool].astype(np.float64))
    visible = rng.random(liking.shape) < PAST_POOL / len(pool)
    drawn = p.choice_appeal * items["appeal"][pool] - p.choice_price * items["price"][pool]
    score = p.taste_focus * liking + drawn + rng.gumbel(size=liking.shape)
    order = np.argsort(np.where(visible, score, score - 1e6), axis=1)[:, ::-1][:, :past]
    order = rng.permuted(order, axis=1)  # the best-liked is not always the most recent
    return pool[order], np.take_along_axis(liking, order, axis=1)


def _date_past(rng: np.random.Generator, items: np.ndarray, life: float, people: np.ndarray) -> None:
    """Where items age, each of the past was read at an age that is exponential with mean `life`, most recent first."""
    born = items["born"][people["past_items"]].astype(np.float64)
    age = np.clip(-born - life * rng.standard_exponential(born.shape), *PAST_DAYS)
    order = np.argsort(age, axis=1, kind="stable")
    people["past_age"] = np.take_along_axis(age, order, axis=1)
    for name in ("past_items", "past_completion"):
        people[name] = np.take_along_axis(people[name], order, axis=1)


def _draw_favourites(
    rng: np.random.Generator, topics: NDArray[np.float64], items: np.ndarray, taste: NDArray[np.float64]
) -> NDArray[np.float32]:
    centroids = topics.T @ items["taste"][1:].astype(np.float64)
    norms = np.linalg.norm(centroids, axis=1, keepdims=True)
    affinity = taste @ (centroids / np.where(norms > 0, norms, 1.0)).T
    affinity = np.where(topics.sum(axis=0) > 0, affinity, -1e6)  # a topic that no item has is nobody's favourite
    score = 6.0 * affinity + rng.gumbel(size=affinity.shape)
    named = np.argsort(score, axis=1)[:, ::-1][:, :FAVOURITES]
    profile = np.zeros(affinity.shape, np.float32)
    np.put_along_axis(profile, named, 1.0, axis=1)
    return profile
