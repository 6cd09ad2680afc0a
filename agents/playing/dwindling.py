"""Lives of a batch that dwindles: who has finished is left behind, and the last to go cost no more than they are."""

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from ...envs.candidates.retriever import Retriever
from ...envs.env import SlateVectorEnv
from ...envs.users.world import World
from ..base import select_users

FEWEST = 32  # users for whom a smaller environment is not worth the way
BY_USER = ("users", "finished", "candidates")  # parts of a saved state that have a row a user


class LifeEnvs:
    """Environments of one world and split for any number of users, each made once.

    Parameters
    ----------
    world
        Items and people.
    item_vectors
        (N, E) vectors that candidates are found by.
    sealed
        Whether sealed test users may be played.
    """

    def __init__(self, world: World, item_vectors: NDArray[np.float32], sealed: bool) -> None:
        self.world, self.item_vectors, self.sealed = world, item_vectors, sealed
        self._made: dict[int, Retriever] = {}

    def open(self, users: int, privileged: bool) -> Retriever:
        """The environment of so many users, and whether it is to tell the hidden state."""
        if users not in self._made:
            bare = SlateVectorEnv(
                self.world,
                users,
                split="test" if self.sealed else "train",
                sealed=self.sealed,
                autoreset_mode=AutoresetMode.DISABLED,
                reward="minutes",
            )
            env = self._made[users] = Retriever(bare, self.item_vectors)
            env.vectors = next(iter(self._made.values())).vectors  # the same ones, and held once
        bare = self._made[users].unwrapped  # type: ignore[assignment]
        bare.privileged = privileged
        return self._made[users]


class DwindlingLives:
    """Named users who live side by side under given luck, from the first slate to the end of the last life.

    Parameters
    ----------
    envs
        Environments to live in.
    users, luck
        Ids (U,), and the luck that all have.
    privileged
        Whether the hidden state is to be told.

    Attributes
    ----------
    rows
        (B,) which of the users have not finished.
    ended
        (U,) records of those who have, as they were at the end.
    """

    def __init__(self, envs: LifeEnvs, users: NDArray[np.int64], luck: int, privileged: bool) -> None:
        self._envs, self._env = envs, envs.open(len(users), privileged)
        self._privileged = privileged
        self._observation, self._info = self._env.reset(seed=luck, options={"users": users})
        self._slots = self.rows = np.arange(len(users))
        self._slates = np.zeros((len(users), envs.world.scenario.shape.slate), np.int64)
        self.ended = np.zeros(len(users), self._engine.users.dtype)

    @property
    def _engine(self) -> Any:
        return self._env.unwrapped.engine  # type: ignore[attr-defined]

    def read(self, field: str) -> NDArray[Any]:
        """(B, ·) a field of the records of those who have not finished."""
        values: NDArray[Any] = self._engine.users[field][self._slots]
        return values

    def observe(self) -> dict[str, Any]:
        """What is seen of them, with the hidden state as ``"latent"`` where it is told."""
        seen = select_users(self._observation, self._slots)
        return {**seen, "latent": select_users(self._info["latent"], self._slots)} if self._privileged else seen

    def step(self, slates: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Show slates (B, K); returns what is known of the step, each (B,).

        That is the ``info`` of the environment, and ``minutes``, ``churned``, ``finished`` and ``first_minutes``, the
        last of which means something only where taste is turned. From here on `rows` are those who go on.
        """
        slots, rows, users = self._slots, self.rows, self._engine.users
        self._slates[slots] = slates
        self._observation, minutes, churned, horizon, self._info = self._env.step(self._slates)
        told = {key: value for key, value in self._info.items() if not isinstance(value, dict)}
        told |= {"minutes": minutes, "churned": churned, "finished": churned | horizon}
        told["first_minutes"] = users["first_minutes"]
        told = {key: value[slots] for key, value in told.items()}
        goes_on = ~told["finished"]
        if not goes_on.all():
            self.ended[rows[~goes_on]] = users[slots[~goes_on]]
            self._slots, self.rows = slots[goes_on], rows[goes_on]
            if len(self._slates) > FEWEST and 0 < len(self.rows) <= len(self._slates) // 2:
                self._move()
        return told

    def _move(self) -> None:
        """Go on in an environment of half the size, or less; what room is left is filled with who has finished."""
        size = len(self._slates)
        while size > FEWEST and len(self.rows) <= size // 2:
            size //= 2
        finished = np.setdiff1d(np.arange(len(self._slates)), self._slots)
        kept = np.concatenate([self._slots, finished[: size - len(self._slots)]])
        state = {key: value[kept] if key in BY_USER else value for key, value in self._env.save_state().items()}
        if self._privileged:
            self._info = {"latent": select_users(self._info["latent"], kept)}
        self._env = self._envs.open(size, self._privileged)
        self._observation = self._env.load_state(state)
        self._slots, self._slates = np.arange(len(self.rows)), np.zeros((size, self._slates.shape[1]), np.int64)
