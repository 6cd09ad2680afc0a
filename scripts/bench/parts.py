"""Where the processor time of a slate in training goes: the functions that do its parts are timed, each by itself.

`Stopwatch` takes the place of functions of the package while it is open. What it costs itself, less than a microsecond
a call, falls on the part that calls.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from importlib import import_module
from typing import Any
from unittest.mock import patch

OTHER = "other"
# By part, what is timed: ``module:name`` or ``module:Class.method``, as the callers find it.
PARTS: Mapping[str, tuple[str, ...]] = {
    "engine": tuple(f"envs.engine:Engine.{name}" for name in ("read", "begin", "observe")),
    "candidates": ("envs.candidates.retriever:_find_candidates",),
    "similarity": ("envs.candidates.scoring:_write_similarity",),
    "features": ("envs.candidates.scoring:_write_features", "agents.slates.inputs:SlateInputs.__call__"),
    "slates of weights": ("envs.candidates.scoring:_fill_weighted_slates",),
    "state": ("agents.slates.inputs:UserStates.__call__",),
    "policy": (
        "agents.sb3.batched_ppo:Towers.run",
        "agents.learners.policy_gradient.candidates:CandidateNetwork.judge",
        "agents.learners.policy_gradient.catalog:CatalogNetwork.judge",
        "agents.learners.slateq.agent:SlateQAgent.judge",
    ),
    "sampling": (
        "agents.learners.policy_gradient.rollouts:draw_slates",
        "agents.learners.slateq.agent:SlateQAgent.find_best",
    ),
    "update": (
        "agents.sb3.batched_ppo:BatchedPPO.train",
        "agents.learners.policy_gradient.ppo:PLPPO._learn",
        "agents.learners.slateq.learner:SlateQ._learn",
        "agents.learners.slateq.learner:SlateQ._futures",
        "agents.learners.slateq.learner:SlateQ._fit_follow_up",
    ),
}


class Stopwatch:
    """Processor seconds by part, those of parts within a part not counted to it.

    Attributes
    ----------
    seconds
        By part.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys((*PARTS, OTHER), 0.0)
        self._running = [OTHER]
        self._since = time.process_time()

    def switch_to(self, part: str | None) -> None:
        """Begin a part within the one that runs, or end the one that runs."""
        now = time.process_time()
        self.seconds[self._running[-1]] += now - self._since
        self._since = now
        if part is None:
            self._running.pop()
        else:
            self._running.append(part)

    def time(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed; within an update all that it calls is part of it."""

        @wraps(function)
        def timed(*args: Any, **words: Any) -> Any:
            if self._running[-1] == "update":
                return function(*args, **words)
            self.switch_to(part)
            try:
                return function(*args, **words)
            finally:
                self.switch_to(None)

        return timed


@contextmanager
def time_parts() -> Iterator[Stopwatch]:
    """A stopwatch in the place of the functions of `PARTS`; in one thread alone.

    Raises
    ------
    AttributeError
        If there is no such function.
    """
    watch = Stopwatch()
    with ExitStack() as stack:
        for part, names in PARTS.items():
            for name in names:
                module, _, path = name.partition(":")
                *owners, last = path.split(".")
                owner: Any = import_module(f"longplay.{module}")
                for attribute in owners:
                    owner = getattr(owner, attribute)
                # Not vars(owner): a method of a base class is timed where it is called as this one's.
                stack.enter_context(patch.object(owner, last, watch.time(part, getattr(owner, last))))
        yield watch
        watch.switch_to(OTHER)
