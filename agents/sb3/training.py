"""Training that can be interrupted and goes on to the same curve."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from ...envs.candidates.scoring import FEATURES
from ...envs.shared.files import write_whole
from ...envs.shared.progress import ProgressCallback
from ..learners.training import OWN, train_own
from ..playing.evaluate import Evaluator, held_out_users
from ..playing.luck import VALIDATION_LUCK, training_luck
from ..runs.config import RunConfig, states_of, training_env
from ..runs.progress import CHECKPOINT, Course
from .agents import SB3Agent, SlateVecEnv, agent_of, algorithm_named, check_encoder, policy_for, save_policy
from .ars import LivesARS
from .slate_policy import SlatePolicy, calibrate

# Numbers of a model that move; the last two are those of DQN and QR-DQN.
COUNTERS = ("num_timesteps", "_n_updates", "_episode_num", "_n_calls", "exploration_rate")
FIRST = 0.5  # weight of the first score at first: half-way to the largest, so that others can outweigh it
EXPLORATION = 0.2  # standard deviation of the noise on actions in [−1, 1]


def train(
    config: RunConfig, folder: Path, resume: bool, report: ProgressCallback, seconds: float = 20.0
) -> pd.DataFrame:
    """Train, evaluate on validation users on the way, and keep the best policy in `folder`.

    Parameters
    ----------
    config
        The run.
    folder
        Gets ``config.json``, ``policy.*``, ``curve.csv``, ``checkpoint.pt`` and, in the end, ``finished.json``.
    resume
        Continue from the checkpoint in `folder`.
    report
        Called with ``{"step": ..., "minutes": ..., ...}`` at each evaluation, and with ``{"step": ...}`` in between.
    seconds
        At least this long between two checkpoints.

    Returns
    -------
    pandas.DataFrame
        The learning curve: step, validation minutes, sessions, churned share, click rate, training minutes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if config.agent in OWN:
        return train_own(config, folder, resume, report, seconds)
    setting = config.setting
    states = states_of(config, setting)
    env = SlateVecEnv(training_env(config), states)
    algorithm: Any = algorithm_named(config.agent, config.action)
    noise = {}
    if config.agent in ("td3", "ddpg"):  # deterministic policies, which do not explore by themselves
        size = env.action_space.shape or (1,)
        noise["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, EXPLORATION))
    policy, settings = policy_for(config.agent, states, config.settings | noise)
    model = algorithm(policy, env, device="cpu", **settings)
    action_map = setting.action_map(config.action, config.scores)
    agent = agent_of(model, states, action_map, config.label)
    users = held_out_users(setting.world, "validation", config.eval_users, field="eval_users")
    evaluator = Evaluator(setting.world, setting.item_vectors, users, VALIDATION_LUCK)
    keeper = Keeper(config, folder, agent, evaluator, report, seconds)
    if resume:
        keeper.restore(env)
    else:
        keeper.course.begin()
        write_whole(folder / "config.json", config.to_json())
        set_out(model, env, config)
        env.seed(training_luck(config.seed))
    left = config.steps - model.num_timesteps
    if left > 0:
        # A run resumed at step 0 has begun: its users are met already.
        model.learn(left, callback=keeper, reset_num_timesteps=not resume)
        keeper.finish()
    env.close()
    return keeper.course.curve


def set_out(model: Any, env: SlateVecEnv, config: RunConfig) -> None:
    """What a policy shows at first, where that is not left to chance."""
    score = len(FEATURES)  # the first of the scores: there is no need to find out again what was fitted
    if isinstance(model.policy, SlatePolicy):
        calibrate(model.policy, env, config.seed)
    elif isinstance(model, LivesARS):
        first = torch.zeros(env.action_space.shape or ())
        first[score if config.scores else 0] = FIRST
        model.set_parameters({"policy": {"action_net.0.weight": first[:, None]}})
    elif config.scores and config.action == "weights" and isinstance(model, OnPolicyAlgorithm):
        with torch.no_grad():
            cast(Any, model.policy).action_net.bias[score] = FIRST


class Keeper(BaseCallback):
    """Lets the course act between two rollouts, where the state of a model of stable-baselines3 is whole."""

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        agent: SB3Agent,
        evaluator: Evaluator,
        report: ProgressCallback,
        seconds: float,
    ) -> None:
        super().__init__()
        self.config, self.agent = config, agent
        every = config.steps / config.evals
        self.course = Course(folder, agent, evaluator, every, report, seconds, self.keep, self.capture)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self.course.between(self.agent.model.num_timesteps, self.finished)

    @property
    def finished(self) -> list[float]:
        """Minutes of the latest training lives that ended."""
        return [episode["r"] for episode in self.agent.model.ep_info_buffer or ()]

    def finish(self) -> None:
        """After the last rollout."""
        self.course.finish(self.agent.model.num_timesteps, self.finished)

    def keep(self, row: Mapping[str, float]) -> None:
        """Write the policy."""
        about = {"label": self.config.label, "encoder": self.agent.encoder.identity, **row}
        save_policy(self.agent.model, self.course.folder, about)

    def capture(self) -> dict[str, Any]:
        """Everything that moves in the model, its environment and the generators that they draw from."""
        model: Any = self.agent.model
        drawn: Any = np.random.get_state()  # noqa: NPY002  # what SB3 draws from
        content: dict[str, Any] = {
            "parameters": model.get_parameters(),
            "variables": {name: tensor.detach().clone() for name, tensor in _variables(model).items()},
            "counters": {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)},
            "episodes": [dict(episode) for episode in model.ep_info_buffer or ()],
            "env": {
                key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in model.env.save_state().items()
            },
            "last_obs": _tensors(model._last_obs),
            "last_starts": torch.from_numpy(np.asarray(model._last_episode_starts, bool)),
            "torch": torch.get_rng_state(),
            "numpy": {"keys": torch.from_numpy(drawn[1].astype(np.int64)), "rest": [*drawn[2:4], float(drawn[4])]},
            "actions": json.dumps(_generators(model.action_space)),
            "encoder": self.agent.encoder.identity,
        }
        if isinstance(model, RecurrentPPO):
            content["lstm"] = _lstm_state(model)
        if isinstance(model, OffPolicyAlgorithm):
            content["buffer"] = _buffer_state(model.replay_buffer)
        return content

    def restore(self, env: SlateVecEnv) -> None:
        """Put everything back as it was when the checkpoint was written."""
        content, path = self.course.read(), self.course.folder / CHECKPOINT
        check_encoder(path, content.get("encoder"), self.agent.encoder, self.config.state)
        model: Any = self.agent.model
        try:
            model.set_parameters(content["parameters"], exact_match=True)
            with torch.no_grad():
                for name, tensor in _variables(model).items():
                    tensor.copy_(content["variables"][name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"{path} does not fit {self.config.label} as configured: {error}; train again: give --overwrite in "
                "place of --resume"
            ) from error
        for name, value in content["counters"].items():
            setattr(model, name, value)
        model._setup_learn(0, reset_num_timesteps=False)
        model.ep_info_buffer.extend(content["episodes"])
        env.load_state({key: value.numpy() for key, value in content["env"].items()})
        model._last_obs = _arrays(content["last_obs"])
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
        self.course.go_on(content)


def _variables(model: Any) -> dict[str, torch.Tensor]:
    """What SB3 learns outside its modules and leaves out of its parameters: SAC's entropy coefficient."""
    return {name: getattr(model, name) for name in model._get_torch_save_params()[1]}


def _lstm_state(model: Any) -> list[torch.Tensor]:
    """Hidden and cell state of a recurrent policy's actor and critic, for the users of the training environment."""
    return [part.clone() for pair in model._last_lstm_states for part in pair]


def _set_lstm_state(model: Any, parts: list[torch.Tensor]) -> None:
    model._last_lstm_states = RNNStates((parts[0], parts[1]), (parts[2], parts[3]))


BUFFER = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def _buffer_state(buffer: Any) -> dict[str, Any]:
    end = buffer.buffer_size if buffer.full else buffer.pos
    arrays = {name: _tensors(getattr(buffer, name), end) for name in BUFFER}
    return {"arrays": arrays, "pos": int(buffer.pos), "full": bool(buffer.full)}


def _load_buffer(buffer: Any, state: dict[str, Any]) -> None:
    for name, value in state["arrays"].items():
        _fill(getattr(buffer, name), _arrays(value))
    buffer.pos, buffer.full = state["pos"], state["full"]


def _tensors(value: Any, end: int | None = None) -> Any:
    """Arrays, or dictionaries of them, as tensors that `torch.save` takes; their first `end` rows."""
    if isinstance(value, dict):
        return {name: _tensors(part, end) for name, part in value.items()}
    return torch.from_numpy(value[:end].copy())


def _arrays(value: Any) -> Any:
    return {name: _arrays(part) for name, part in value.items()} if isinstance(value, dict) else value.numpy()


def _fill(target: Any, value: Any) -> None:
    """Write over the first rows of arrays, or of dictionaries of them."""
    if isinstance(value, dict):
        for name, part in value.items():
            _fill(target[name], part)
    else:
        target[: len(value)] = value


def _generators(space: Any) -> Any:
    return space.np_random.bit_generator.state


def _set_generators(space: Any, state: Any) -> None:
    space.np_random.bit_generator.state = state
