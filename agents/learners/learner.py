"""What our own learners share: an agent around a slate network, and a training that resumes to the bit."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from ...envs.engine import Observation
from ...envs.shared.files import replacing, write_whole
from ..base import Trainer
from ..playing.training_users import TrainingUsers
from ..slates.inputs import Inputs, SlateInputs

WEIGHTS_FILE, ABOUT_FILE = "policy.safetensors", "policy.json"


class SlateAgent(ABC):
    """A slate network as an agent: `choose` says how scores become slates.

    Parameters
    ----------
    network
        Any module whose state is all that is learned.
    inputs
        Observations to what the network reads.
    slots
        K.
    """

    privileged = False

    def __init__(self, network: nn.Module, inputs: SlateInputs, slots: int, name: str) -> None:
        self.network, self.inputs, self.slots, self.name = network, inputs, slots, name

    @abstractmethod
    def choose(self, inputs: Inputs) -> NDArray[np.int64]:
        """Columns (B, K) of the candidates to show, best position first, −1 for an empty slot; no chance in it."""

    @torch.no_grad()
    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Slates (B, K) of item numbers."""
        inputs = self.inputs(observation)
        return self.read_numbers(inputs, self.choose(inputs))

    @staticmethod
    def read_numbers(inputs: Inputs, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Item numbers (B, K) at columns of the candidates, 0 for an empty slot."""
        return np.where(columns >= 0, np.take_along_axis(inputs.ids, np.maximum(columns, 0), axis=1), 0)

    def save(self, folder: Path, about: Mapping[str, Any]) -> None:
        """Write the weights (safetensors) and what they belong to (JSON), each whole or not at all."""
        weights = {key: value.detach().clone().contiguous() for key, value in self.network.state_dict().items()}
        with replacing(folder / WEIGHTS_FILE) as temporary:
            save_file(weights, temporary)
        write_whole(folder / ABOUT_FILE, json.dumps({**about, "inputs": self.inputs.identity}, indent=1))

    def load(self, folder: Path) -> None:
        """Read the weights of `save`.

        Raises
        ------
        ValueError
            If they cannot be read, or belong to other inputs or another network.
        """
        path = folder / WEIGHTS_FILE
        try:
            weights = load_file(path)
            about = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))
        except Exception as error:
            raise ValueError(
                f"{path} cannot be read as policy weights: {error}; train again or give another folder"
            ) from error
        if about.get("inputs") != self.inputs.identity:
            raise ValueError(
                f"{path} was trained on other inputs ({about.get('inputs')!r}) than these ({self.inputs.identity!r}); "
                "train again"
            )
        try:
            self.network.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"{path} does not fit the network of {self.name!r}: {error}; train again") from error
        self.network.eval()


class Learner(Trainer):
    """An algorithm: collects slates from its players and learns from them.

    A subclass says with `make_agent` how its agent is built, takes the scale of its inputs from ``players.now``, draws
    chance from `self.rng` (NumPy) and `self.torch_rng` alone, lists in `tensors` everything else that moves, and learns
    in `iterate`.

    Parameters
    ----------
    players
        Training users.
    options
        The algorithm's options, a frozen dataclass.
    gamma
        Discount; 0 learns what pays now.
    seed
        Seed of the network's first weights and of exploration.
    vectors
        (N + 1, E) text vectors of the items by number, row 0 for none.
    slots
        K.
    name
        Name of the agent.
    """

    agent: SlateAgent
    optimisers: Mapping[str, torch.optim.Optimizer]
    steps: int = 0
    tensors: ClassVar[tuple[str, ...]] = ()  # names of further attributes that move: tensors, or dictionaries of them
    make_agent: ClassVar[Callable[..., SlateAgent]]  # of inputs, vectors, slots, options, gamma, name

    def __init__(
        self,
        players: TrainingUsers,
        options: Any,
        gamma: float,
        seed: int,
        *,
        vectors: NDArray[np.float32],
        slots: int,
        name: str = "",
    ) -> None:
        self.players, self.options, self.gamma = players, options, gamma
        self.rng = np.random.default_rng(seed)
        self.torch_rng = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # first weights
        self.agent = self.make_agent(players.inputs, vectors, slots, options, gamma, name or type(self).__name__)

    @classmethod
    def check_run(cls, config: Any) -> None:
        """Raise ValueError where a run of this learner could not run, beyond its single values."""

    def learn(self, steps: int, before_update: Callable[..., None]) -> dict[str, float]:
        """Iterate until so many slates are learnt from, and the last stage is over."""
        note: dict[str, float] = {}
        while self.steps < steps or self.unfinished:
            # Each round of a last stage counts: which of its policies to keep is to be seen.
            before_update(note, due=self.steps >= steps)
            note = {f"loss/{key}": value for key, value in self.iterate().items()}
        return note

    @property
    def finished_minutes(self) -> list[float]:
        """Of the players."""
        return self.players.finished

    def save_policy(self, folder: Path, about: Mapping[str, Any]) -> None:
        """Write the agent's weights and what they belong to."""
        self.agent.save(folder, about)

    def close(self) -> None:
        """Close the players' environment."""
        self.players.env.close()

    @property
    def unfinished(self) -> bool:
        """Whether it has a last stage that it goes through however many slates that takes."""
        return False

    @abstractmethod
    def iterate(self) -> dict[str, float]:
        """Collect some slates, learn from them, count them in `steps`; returns losses and the like for the log."""

    def modules(self) -> Mapping[str, nn.Module]:
        """Networks whose weights move; a subclass with targets adds them."""
        return {"network": self.agent.network}

    def capture(self) -> dict[str, Any]:
        """Everything that moves, as `torch.save` takes it and ``weights_only`` reads it."""
        return {
            "steps": self.steps,
            "inputs": self.agent.inputs.identity,
            "modules": {name: module.state_dict() for name, module in self.modules().items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "tensors": {name: getattr(self, name) for name in self.tensors},
            "players": {key: torch.from_numpy(value) for key, value in self.players.save_state().items()},
            "dice": self.torch_rng.get_state(),
            "chance": json.dumps(self.rng.bit_generator.state),
        }

    def restore(self, content: Mapping[str, Any]) -> None:
        """Put everything back as `capture` found it; KeyError, RuntimeError or ValueError where it does not fit."""
        if content["inputs"] != self.agent.inputs.identity:
            raise ValueError(f"it was learnt from other inputs ({content['inputs']!r})")
        if content["optimisers"].keys() != self.optimisers.keys():
            raise ValueError(f"it has the optimisers {sorted(content['optimisers'])}, not {sorted(self.optimisers)}")
        self.steps = content["steps"]
        for name, module in self.modules().items():
            module.load_state_dict(content["modules"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(content["optimisers"][name])
        for name in self.tensors:
            setattr(self, name, content["tensors"][name])
        self.players.load_state({key: value.numpy() for key, value in content["players"].items()})
        self.torch_rng.set_state(content["dice"])
        self.rng.bit_generator.state = json.loads(content["chance"])
