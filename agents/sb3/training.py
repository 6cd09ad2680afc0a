"""A model of stable-baselines3 in training: what is captured in a checkpoint, and how it goes on to the same curve."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from ..base import Trainer
from ..playing.luck import training_luck
from ..runs.progress import CHECKPOINT
from .agents import SB3Agent, check_encoder, save_policy
from .vec_env import SideBySide, SlateVecEnv

# Numbers of a model that move; the last two are those of DQN and QR-DQN.
COUNTERS = ("num_timesteps", "_n_updates", "_episode_num", "_n_calls", "exploration_rate")


class SB3Trainer(Trainer):
    """A model of stable-baselines3 in training, with everything that has to be put back when it goes on.

    Parameters
    ----------
    agent
        Around the model.
    env
        The training users.
    seed
        Seed of their luck.
    state
        Name or folder of the encoder, for the errors.
    set_first_slates
        Sets what the policy shows at first, in a new training.
    """

    def __init__(
        self,
        agent: SB3Agent,
        env: SlateVecEnv | SideBySide,
        seed: int,
        state: str,
        set_first_slates: Callable[[], None],
    ) -> None:
        self.agent: SB3Agent = agent
        self.model: Any = agent.model
        self.env, self.seed, self.state, self.set_first_slates = env, seed, state, set_first_slates
        self.resumed = False

    @property
    def steps(self) -> int:
        """Slates learnt from."""
        return int(self.model.num_timesteps)

    @property
    def finished_minutes(self) -> list[float]:
        """Minutes of the latest training lives that ended."""
        return [episode["r"] for episode in self.model.ep_info_buffer or ()]

    def start(self) -> None:
        """Set what is shown at first, and the luck of the training users."""
        self.set_first_slates()
        self.env.seed(training_luck(self.seed))

    def learn(self, steps: int, before_update: Callable[..., None]) -> dict[str, float]:
        """Let the model learn what is left."""
        left = steps - self.steps
        if left > 0:
            # A run resumed at step 0 has begun: its users are met already.
            self.model.learn(left, callback=CheckpointCallback(before_update), reset_num_timesteps=not self.resumed)
        return {}

    def save_policy(self, folder: Path, about: Mapping[str, Any]) -> None:
        """Write the policy."""
        about = dict(about)
        save_policy(self.model, folder, {"label": about.pop("label"), "encoder": self.agent.encoder.identity, **about})

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def capture(self) -> dict[str, Any]:
        """Everything that moves in the model, its environment and the generators that they draw from."""
        model = self.model
        drawn: Any = np.random.get_state()  # noqa: NPY002  # what SB3 draws from
        content: dict[str, Any] = {
            "parameters": model.get_parameters(),
            "variables": {name: tensor.detach().clone() for name, tensor in _list_variables(model).items()},
            "counters": {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)},
            "episodes": [dict(episode) for episode in model.ep_info_buffer or ()],
            "env": {
                key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in model.env.save_state().items()
            },
            "last_obs": _to_tensors(model._last_obs),
            "last_starts": torch.from_numpy(np.asarray(model._last_episode_starts, bool)),
            "torch": torch.get_rng_state(),
            "numpy": {"keys": torch.from_numpy(drawn[1].astype(np.int64)), "rest": [*drawn[2:4], float(drawn[4])]},
            "actions": json.dumps(_read_generators(model.action_space)),
            "encoder": self.agent.encoder.identity,
        }
        if isinstance(model, RecurrentPPO):
            content["lstm"] = _copy_lstm_state(model)
        if isinstance(model, OffPolicyAlgorithm):
            content["buffer"] = _copy_buffer(model.replay_buffer)
        return content

    def restore(self, content: Mapping[str, Any]) -> None:
        """Put everything back as it was when the checkpoint was written."""
        check_encoder(CHECKPOINT, content.get("encoder"), self.agent.encoder, self.state)
        model = self.model
        model.set_parameters(content["parameters"], exact_match=True)
        with torch.no_grad():
            for name, tensor in _list_variables(model).items():
                tensor.copy_(content["variables"][name])
        for name, value in content["counters"].items():
            setattr(model, name, value)
        model._setup_learn(0, reset_num_timesteps=False)
        model.ep_info_buffer.extend(content["episodes"])
        self.env.load_state({key: value.numpy() for key, value in content["env"].items()})
        model._last_obs = _to_arrays(content["last_obs"])
        model._last_episode_starts = content["last_starts"].numpy()
        if isinstance(model, RecurrentPPO):
            _set_lstm_state(model, content["lstm"])
        if isinstance(model, OffPolicyAlgorithm):
            _load_buffer(model.replay_buffer, content["buffer"])
        _set_generators(model.action_space, json.loads(content["actions"]))
        torch.set_rng_state(content["torch"])
        position, has_gauss, gauss = content["numpy"]["rest"]
        keys = content["numpy"]["keys"].numpy().astype(np.uint32)
        np.random.set_state(("MT19937", keys, position, has_gauss, gauss))  # noqa: NPY002  # what SB3 draws from
        self.resumed = True


class CheckpointCallback(BaseCallback):
    """Calls back between two rollouts, where the state of a model of stable-baselines3 is whole."""

    def __init__(self, before_update: Callable[..., None]) -> None:
        super().__init__()
        self.before_update = before_update

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self.before_update()


def _list_variables(model: Any) -> dict[str, torch.Tensor]:
    """What SB3 learns outside its modules and leaves out of its parameters: SAC's entropy coefficient."""
    return {name: getattr(model, name) for name in model._get_torch_save_params()[1]}


def _copy_lstm_state(model: Any) -> list[torch.Tensor]:
    """Hidden and cell state of a recurrent policy's actor and critic, for the users of the training environment."""
    return [part.clone() for pair in model._last_lstm_states for part in pair]


def _set_lstm_state(model: Any, parts: list[torch.Tensor]) -> None:
    parts = [part.to(model.device) for part in parts]
    model._last_lstm_states = RNNStates((parts[0], parts[1]), (parts[2], parts[3]))


BUFFER = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def _copy_buffer(buffer: Any) -> dict[str, Any]:
    end = buffer.buffer_size if buffer.full else buffer.pos
    arrays = {name: _to_tensors(getattr(buffer, name), end) for name in BUFFER}
    return {"arrays": arrays, "pos": int(buffer.pos), "full": bool(buffer.full)}


def _load_buffer(buffer: Any, state: dict[str, Any]) -> None:
    for name, value in state["arrays"].items():
        _fill_rows(getattr(buffer, name), _to_arrays(value))
    buffer.pos, buffer.full = state["pos"], state["full"]


def _to_tensors(value: Any, end: int | None = None) -> Any:
    """Arrays, or dictionaries of them, as tensors that `torch.save` takes; their first `end` rows."""
    if isinstance(value, dict):
        return {name: _to_tensors(part, end) for name, part in value.items()}
    return torch.from_numpy(value[:end].copy())


def _to_arrays(value: Any) -> Any:
    return {name: _to_arrays(part) for name, part in value.items()} if isinstance(value, dict) else value.numpy()


def _fill_rows(target: Any, value: Any) -> None:
    """Write over the first rows of arrays, or of dictionaries of them."""
    if isinstance(value, dict):
        for name, part in value.items():
            _fill_rows(target[name], part)
    else:
        target[: len(value)] = value


def _read_generators(space: Any) -> Any:
    return space.np_random.bit_generator.state


def _set_generators(space: Any, state: Any) -> None:
    space.np_random.bit_generator.state = state
