"""Measure one peer simulator; `peers.py` runs this inside the peer's own virtual environment.

    python -I scripts/bench/workers/simulators.py T-RECS 0.3 5    (peer, seconds of a round, rounds)

Imports nothing of longplay. Prints a JSON line for each way of running the peer and number of items: the batch size
that was fastest and its user-steps a second of processor time. A user-step is one user seeing one slate; slates have
ten items, prepared before the clock starts unless the peer draws them itself. Modules are imported by name, since type
checkers do not see what is installed elsewhere.
"""

import itertools
import json
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np

SLATE = 10
STREAM = 16  # slates prepared for each user, shown in turn
ITEMS, USERS = (100, 1000), (64, 1024, 8192)  # of the batched peers
DIMENSIONS = 20  # topics or attributes: RecSim's own number


@dataclass
class Case:
    """One way of running a peer at one size."""

    way: str
    users: int
    items: int
    step: Callable[[], object]
    note: str
    steps: int = 1  # slates that each user sees in one call


def make_slates(users: int, items: int) -> Iterator[Any]:
    """Prepared slates without repetition, (users, 10) each, for ever."""
    rng = np.random.default_rng(0)
    start = rng.integers(0, items, (STREAM, users, 1))
    stride = rng.integers(1, items // SLATE + 1, (STREAM, users, 1))
    return itertools.cycle(list((start + stride * np.arange(SLATE)) % items))


def make_episodic(step: Callable[[Any], Any], reset: Callable[[], object], ended: int, actions: Iterator[Any]) -> Any:
    """A step that begins the next episode where one has ended: element `ended` of what `step` returns says so."""

    def work() -> None:
        if step(next(actions))[ended]:
            reset()

    return work


def make_sardine() -> Iterator[Case]:
    """Its slate task with boredom, as registered: one user, and Gymnasium's loop over 64."""
    import_module("sardine")
    gym = import_module("gymnasium")
    name = "sardine/SlateTopK-Bored-v0"
    env = gym.make(name).unwrapped
    env.reset(seed=0)
    single = (slate[0] for slate in make_slates(1, env.num_items))
    yield Case("one user", 1, env.num_items, make_episodic(env.step, env.reset, 2, single), f"{name}, unwrapped")
    batch = gym.make_vec(name, num_envs=64, vectorization_mode="sync")
    batch.reset(seed=0)
    many = make_slates(64, env.num_items)
    yield Case("SyncVectorEnv", 64, env.num_items, lambda: batch.step(next(many)), f"{name}, make_vec")


def make_t_recs() -> Iterator[Case]:
    """The whole simulation with its popularity recommender or random slates, and its users alone."""
    # Only its matrix factorisation, which is not measured, needs LensKit, of a version that no longer installs.
    for name in ("lenskit", "lenskit.algorithms", "lenskit.algorithms.als"):
        sys.modules[name] = types.ModuleType(name)
    vars(sys.modules["lenskit.algorithms"])["als"] = sys.modules["lenskit.algorithms.als"]
    models, components = import_module("trecs.models"), import_module("trecs.components")
    for items, users in itertools.product(ITEMS, USERS):
        yield from make_t_recs_cases(models, components, items, users)


def make_t_recs_cases(models: Any, components: Any, items: int, users: int) -> Iterator[Case]:
    """The cases of one size."""
    rng = np.random.default_rng(0)
    tastes, attributes = rng.normal(size=(users, DIMENSIONS)), rng.normal(size=(DIMENSIONS, items))
    attributes /= np.linalg.norm(attributes, axis=0)
    stream = make_slates(users, items)
    world = {"actual_user_representation": tastes, "actual_item_representation": attributes, "seed": 0}
    model = models.PopularityRecommender(users, items, num_items_per_iter=SLATE, **world)

    def run(startup: bool) -> None:
        model.run(1, startup=startup, train_between_steps=not startup, disable_tqdm=True)

    yield Case(
        "whole run", users, items, lambda: run(False), "PopularityRecommender, which ranks all items for everyone"
    )
    yield Case("random slates", users, items, lambda: run(True), "run(startup=True), which draws the slates itself")
    people = components.Users(actual_user_profiles=tastes, num_users=users, drift=0.05, seed=0)
    people.compute_user_scores(attributes)

    def drift() -> None:
        people.update_profiles(attributes.T[people.get_user_feedback(next(stream))])
        people.compute_user_scores(attributes)
        people.actual_user_scores.state_history.clear()  # it keeps a copy of all scores at every step

    yield Case(
        "users that drift",
        users,
        items,
        drift,
        "users alone, drift = 0.05: they choose and move, and all their scores are computed anew",
    )
    choice = Case("choice alone", users, items, lambda: people.get_user_feedback(next(stream)), "")
    choice.note = "users alone, no drift: the largest of ten entries of a table; no chance, and nothing changes"
    yield choice


def make_recsim() -> Iterator[Case]:
    """Interest evolution, one user (its loop over several is slower): documents that stay, or new ones each step."""
    evolution = import_module("recsim.environments.interest_evolution")
    for items, anew in itertools.product((SLATE, *ITEMS[:1]), (False, True)):
        config = {"slate_size": SLATE, "num_candidates": items, "resample_documents": anew, "seed": 0}
        env = evolution.create_environment(config)
        env.reset()
        single = (slate[0] for slate in make_slates(1, items))
        way, note = (
            ("new documents", "drawn at every step, as by default") if anew else ("fixed documents", "drawn once")
        )
        yield Case(way, 1, items, make_episodic(env.step, env.reset, 2, single), note)


def make_recsim_ng() -> Iterator[Case]:
    """Interest evolution in TensorFlow graphs: the published story with its recommender, and its users alone."""
    vars(np)["Inf"] = np.inf  # a name that NumPy 2 took away
    box = import_module("gym.spaces").Box
    build = box.__init__

    def whole(self: Any, low: Any, high: Any, shape: Any = None, **rest: Any) -> None:
        build(self, low, high, None if shape is None else tuple(map(int, shape)), **rest)

    box.__init__ = whole  # it came to refuse sizes that are tensors
    for items, users in itertools.product(ITEMS, USERS):
        yield from make_recsim_ng_cases(import_module("tensorflow"), items, users)


def make_recsim_ng_cases(tf: Any, items: int, users: int, steps: int = 20) -> Iterator[Case]:
    """The cases of one size."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    base = "recsim_ng.applications.recsys_partially_observable_rl."
    corpus, metrics, recommender, user = (
        import_module(base + name) for name in ("corpus", "metrics", "recommender", "user")
    )
    story = import_module("recsim_ng.stories.recommendation_simulation")
    network, runtime = import_module("recsim_ng.core.network"), import_module("recsim_ng.lib.tensorflow.runtime")
    config = {"num_users": users, "num_docs": items, "num_topics": DIMENSIONS, "slate_size": SLATE}
    config["history_length"] = 15
    documents = corpus.CorpusWithTopicAndQuality(config).initial_state()
    ranker = recommender.CollabFilteringRecommender
    spec = ranker(config).specs().get("slate")

    class RandomSlates:
        """Entity that draws slates at random, so that its users are measured alone."""

        def __init__(self, _: object) -> None:
            pass

        def specs(self) -> Any:
            return spec.prefixed_with("slate")

        def slate_docs(self) -> Any:
            ranks = tf.random.uniform((users, SLATE), maxval=items, dtype=tf.int32)
            slate = documents.map(lambda field: tf.gather(field, ranks))
            return slate.union(type(slate)(doc_ranks=ranks))

    def static(_: object) -> Any:
        return corpus.StaticCorpus(config, documents)

    whole = story.recs_story(config, user.InterestEvolutionUser, static, ranker, metrics.ConsumedTimeAsRewardMetrics)
    alone = story.simplified_recs_story(config, user.InterestEvolutionUser, RandomSlates)
    for way, variables, note in (
        ("whole story", whole, "recs_story with its CollabFilteringRecommender"),
        ("users alone", alone, "simplified_recs_story, slates drawn at random in the graph"),
    ):
        runs = runtime.TFRuntime(network=network.Network(variables=list(variables)))
        yield Case(way, users, items, partial(runs.execute, tf.constant(steps)), note, steps)


PEERS: dict[str, tuple[str, Callable[[], Iterator[Case]]]] = {
    "SARDINE": ("sardine-rec", make_sardine),
    "T-RECS": ("trecs", make_t_recs),
    "RecSim": ("recsim-no-tf", make_recsim),
    "RecSim NG": ("recsim-ng", make_recsim_ng),
}


def measure_rate(case: Case, seconds: float, rounds: int) -> float:
    """User-steps a second of processor time, the best of some rounds."""
    case.step()  # compiles where there is something to compile
    best = 0.0
    for _ in range(rounds):
        count, start = 0, time.process_time()
        while time.process_time() - start < seconds:
            case.step()
            count += 1
        best = max(best, count * case.steps * case.users / (time.process_time() - start))
    return best


def main(peer: str, seconds: float, rounds: int) -> None:
    """Measure all cases; of those that differ only in the number of users print the fastest."""
    warnings.simplefilter("ignore")
    package, cases = PEERS[peer]
    best: dict[tuple[str, int], dict[str, Any]] = {}
    for case in cases():
        row = {"peer": peer, "version": version(package), "way": case.way, "users": case.users, "slate": SLATE}
        row |= {"items": case.items, "steps_per_second": measure_rate(case, seconds, rounds), "note": case.note}
        key = case.way, case.items
        if key not in best or row["steps_per_second"] > best[key]["steps_per_second"]:
            best[key] = row
    for row in best.values():
        print(json.dumps(row))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
