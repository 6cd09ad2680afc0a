"""PPO of stable-baselines3 for batches of users: the same algorithm, options, networks and files, in less time.

What takes the time of stable-baselines3 in front of a thousand users at once is not arithmetic: a list of infos for
each slate, a tape of small operations for each gradient step, copies of what was collected. Here users are in two
halves. Each half is stepped, and each half of a minibatch is learnt from, by itself, with the gradients of its layers
written out; on two threads both halves at a time. There is nothing stale in that, and the number of threads changes no
bit.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import explained_variance
from torch import Tensor, nn

from .vec_env import SideBySide, SlateVecEnv

HALVES = 2
LOGGED = {  # of each minibatch, by stable-baselines3's names
    "policy_loss": "policy_gradient_loss",
    "value_loss": "value_loss",
    "kl": "approx_kl",
    "clipped": "clip_fraction",
}


class Pass(NamedTuple):
    """What a forward pass keeps: of each tower what each of its layers was given, and of both the first hidden layer.

    Attributes
    ----------
    mean
        (n, A) of the actions.
    values
        (n,)
    inputs
        (n, S).
    hidden
        (n, ·) activations of both towers' first layers, side by side.
    actor, critic
        Activations (n, ·) of the layers after the first.
    """

    mean: Tensor
    values: Tensor
    inputs: Tensor
    hidden: Tensor
    actor: list[Tensor]
    critic: list[Tensor]


class Towers:
    """The actor and the critic of an ``MlpPolicy`` with tanh layers, forward and backward.

    Parameters
    ----------
    policy
        Whose parameters are read: two towers on one vector, on the CPU, and a spread that is not a state's.
    """

    def __init__(self, policy: Any) -> None:
        self.actor = [*_list_linear(policy.mlp_extractor.policy_net), policy.action_net]
        self.critic = [*_list_linear(policy.mlp_extractor.value_net), policy.value_net]
        self.log_std: Tensor = policy.log_std
        self.width = self.actor[0].out_features
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Take up the first layers as they are now: both are one product."""
        first = (self.actor[0], self.critic[0])
        self.weight = torch.cat([layer.weight for layer in first])
        self.bias = torch.cat([layer.bias for layer in first])

    @torch.no_grad()
    def run(self, inputs: Tensor) -> Pass:
        """Means and values for states (n, S)."""
        hidden = torch.addmm(self.bias, inputs, self.weight.T).tanh_()
        actor, mean = _run(self.actor[1:], hidden[:, : self.width])
        critic, values = _run(self.critic[1:], hidden[:, self.width :])
        return Pass(mean, values[:, 0], inputs, hidden, actor, critic)

    @torch.no_grad()
    def differentiate(self, seen: Pass, to_mean: Tensor, to_values: Tensor) -> list[Tensor]:
        """Gradients, in the order of `parameters` but for the spread's, of a loss with gradients (n, A) and (n,)."""
        actor, to_actor = _differentiate(self.actor[1:], [seen.hidden[:, : self.width], *seen.actor], to_mean)
        critic, to_critic = _differentiate(self.critic[1:], [seen.hidden[:, self.width :], *seen.critic], to_values)
        to_hidden = torch.cat([to_actor, to_critic], dim=1)
        weight, bias = to_hidden.T @ seen.inputs, to_hidden.sum(dim=0)
        cut = self.width
        return [weight[:cut], bias[:cut], *actor, weight[cut:], bias[cut:], *critic]

    @property
    def parameters(self) -> list[Tensor]:
        """Weights and biases of the actor's layers, then of the critic's, then the spread."""
        layers = (*self.actor, *self.critic)
        return [*(part for layer in layers for part in (layer.weight, layer.bias)), self.log_std]


def _list_linear(tower: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in tower if isinstance(layer, nn.Linear)]


def _run(layers: Sequence[nn.Linear], x: Tensor) -> tuple[list[Tensor], Tensor]:
    """What each layer after the first is given, and what the last one gives: tanh between, nothing after."""
    given = []
    for layer in layers[:-1]:
        x = torch.addmm(layer.bias, x, layer.weight.T).tanh_()
        given.append(x)
    return given, torch.addmm(layers[-1].bias, x, layers[-1].weight.T)


def _differentiate(layers: Sequence[nn.Linear], given: Sequence[Tensor], to_out: Tensor) -> tuple[list[Tensor], Tensor]:
    """Gradients of weights and biases, and of what the first of the layers' tanh was given."""
    found: list[Tensor] = []
    if to_out.ndim == 1:
        to_out = to_out[:, None]
    for layer, x in zip(reversed(layers), reversed(given), strict=True):
        found = [to_out.T @ x, to_out.sum(dim=0), *found]
        to_out = (to_out @ layer.weight).mul_(1.0 - x * x)
    return found, to_out


class Part(NamedTuple):
    """What a part of a minibatch says: its share of the gradients, and of the means that are logged."""

    gradients: list[Tensor]
    policy_loss: float
    value_loss: float
    kl: float
    clipped: float


class BatchedPPO(PPO):
    """PPO whose rollouts and updates are written for batches of users; constructed as stable-baselines3's.

    For ``MlpPolicy`` and actions in a box, in front of a `SideBySide`. On the threads of torch, at most two. A callback
    hears of rollouts, once each, and not of single steps.
    """

    def _setup_model(self) -> None:
        with _one_thread():  # the first weights are orthogonal, by a factorisation whose last bits depend on threads
            super()._setup_model()
        for group in self.policy.optimizer.param_groups:
            group |= {"fused": True, "foreach": False}

    def collect_rollouts(self, env: Any, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Fill the buffer with slates of all users, each half by itself."""
        assert isinstance(env, SideBySide)
        self.policy.set_training_mode(False)
        callback.on_rollout_start()
        rollout_buffer.reset()
        towers = Towers(self.policy)
        noise = torch.randn(n_rollout_steps, env.num_envs, *self.action_space.shape or ())
        states = {slots.start: self._last_obs[slots] for slots in env.slots}  # type: ignore[index]
        starts = np.array(self._last_episode_starts, np.float32)
        episodes: dict[int, list[dict[str, Any]]] = {}

        def play(part: SlateVecEnv, slots: slice) -> None:
            episodes[slots.start] = []
            for t in range(n_rollout_steps):
                step = self._play_slate(towers, part, slots, t, states[slots.start], starts, noise[t, slots])
                states[slots.start] = step.states
                episodes[slots.start] += step.episodes

        with _two_hands() as work:
            work(play, [*zip(env.parts, env.slots, strict=True)])
        self._last_obs = np.concatenate([states[slots.start] for slots in env.slots])
        self._last_episode_starts = starts.astype(bool)
        rollout_buffer.pos, rollout_buffer.full = n_rollout_steps, True
        last = towers.run(torch.from_numpy(self._last_obs)).values
        rollout_buffer.compute_returns_and_advantage(last_values=last, dones=self._last_episode_starts)
        assert self.ep_info_buffer is not None
        for slots in env.slots:
            self.ep_info_buffer.extend(episodes[slots.start])
        self.num_timesteps += n_rollout_steps * env.num_envs
        callback.update_locals(locals())
        if not callback.on_step():
            return False
        callback.on_rollout_end()
        return True

    def _play_slate(
        self,
        towers: Towers,
        part: SlateVecEnv,
        slots: slice,
        t: int,
        states: np.ndarray,
        starts: np.ndarray,
        noise: Tensor,
    ) -> Any:
        """One slate for each user of a part, into row t of the buffer."""
        buffer: Any = self.rollout_buffer
        seen = towers.run(torch.from_numpy(states))
        log_std = towers.log_std.detach()
        actions = (seen.mean + log_std.exp() * noise).numpy()
        buffer.observations[t, slots], buffer.actions[t, slots] = states, actions
        buffer.values[t, slots] = seen.values.numpy()
        buffer.log_probs[t, slots] = _measure_log_density(noise, log_std).numpy()
        buffer.episode_starts[t, slots] = starts[slots]
        space: Any = self.action_space
        step = part.advance(np.clip(actions, space.low, space.high))
        rewards = step.rewards
        if step.truncated.any():  # what would have followed the horizon still counts
            beyond = towers.run(torch.from_numpy(step.last[step.truncated])).values.numpy()
            rewards[step.ended[step.truncated]] += self.gamma * beyond
        buffer.rewards[t, slots] = rewards
        starts[slots] = step.done
        return step

    def train(self) -> None:
        """Passes over what was collected, in minibatches, with the gradients of both halves of each."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        buffer: Any = self.rollout_buffer
        names = ("observations", "actions", "log_probs", "advantages", "returns")
        rows = {name: _flatten(getattr(buffer, name)) for name in names}
        count = len(rows["returns"])
        seen: list[Part] = []
        with _two_hands() as work:
            towers = Towers(self.policy)
            for _ in range(self.n_epochs):
                order = torch.from_numpy(np.random.permutation(count))  # noqa: NPY002  # what stable-baselines3 draws from
                whole = all(
                    self._learn(towers, rows, batch, work, seen) for batch in torch.split(order, self.batch_size)
                )
                self._n_updates += 1
                if not whole:
                    break
        for name, word in LOGGED.items():
            self.logger.record(f"train/{word}", float(np.mean([getattr(part, name) for part in seen])))
        explained = explained_variance(buffer.values.flatten(), buffer.returns.flatten())
        self.logger.record("train/explained_variance", explained)
        self.logger.record("train/std", float(towers.log_std.detach().exp().mean()))
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def _learn(
        self, towers: Towers, rows: dict[str, Tensor], batch: Tensor, work: Callable[..., list[Any]], seen: list[Part]
    ) -> bool:
        """One step of the optimiser; False where the policy has moved as far as it may."""
        advantages = rows["advantages"][batch]
        if self.normalize_advantage and len(batch) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        cuts = [*zip(batch.tensor_split(HALVES), advantages.tensor_split(HALVES), strict=True)]
        parts: list[Part] = work(lambda of, gains: self._differentiate(towers, rows, of, gains, len(batch)), cuts)
        joined = _add_parts(parts)
        seen.append(joined)
        if self.target_kl is not None and joined.kl > 1.5 * self.target_kl:
            return False
        joined.gradients[-1].sub_(self.ent_coef)  # of the entropy, which grows with the spread alone
        for parameter, gradient in zip(towers.parameters, joined.gradients, strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()
        towers.refresh()
        return True

    @torch.no_grad()
    def _differentiate(self, towers: Towers, rows: dict[str, Tensor], of: Tensor, gains: Tensor, count: int) -> Part:
        """Gradients of the rows `of` of a minibatch of `count`, by hand; see `PPO.train` for the losses."""
        clip: float = self.clip_range(self._current_progress_remaining)  # type: ignore[operator]
        seen = towers.run(rows["observations"][of])
        log_std = towers.log_std
        z = (rows["actions"][of] - seen.mean) / log_std.exp()
        log_ratio = _measure_log_density(z, log_std) - rows["log_probs"][of]
        ratio = log_ratio.exp()
        free, bound = gains * ratio, gains * ratio.clamp(1 - clip, 1 + clip)
        to_log_density = torch.where(free <= bound, -free, 0.0)[:, None] / count
        missed = seen.values - rows["returns"][of]
        found = towers.differentiate(seen, to_log_density * z / log_std.exp(), (2.0 * self.vf_coef / count) * missed)
        found.append((to_log_density * (z * z - 1.0)).sum(dim=0))
        sums = torch.stack(
            [
                -torch.minimum(free, bound).sum(),
                (missed * missed).sum(),
                (ratio - 1.0 - log_ratio).sum(),
                ((ratio - 1.0).abs() > clip).sum(),
            ]
        )
        return Part(found, *(sums / count).tolist())


def _add_parts(parts: Sequence[Part]) -> Part:
    gradients = [torch.stack(some).sum(dim=0) for some in zip(*(part.gradients for part in parts), strict=True)]
    return Part(gradients, *(sum(getattr(part, name) for part in parts) for name in LOGGED))


def _measure_log_density(z: Tensor, log_std: Tensor) -> Tensor:
    """Of a normal action, z standard deviations (n, A) from its mean."""
    return -0.5 * (z * z).sum(dim=1) - (log_std.sum() + 0.5 * math.log(2.0 * math.pi) * z.shape[1])


def _flatten(array: np.ndarray) -> Tensor:
    """(T, B, ·) as rows (T·B, ·), without a copy."""
    tensor = torch.from_numpy(array)
    return tensor.flatten(0, 1)


@contextmanager
def _one_thread() -> Iterator[int]:
    """One thread of torch; gives how many there were."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _two_hands() -> Iterator[Callable[..., list[Any]]]:
    """Calls a function on each of some arguments; on two threads, of one each inside, where torch has more than one."""
    with _one_thread() as threads:
        if threads == 1:
            yield lambda call, arguments: [call(*argument) for argument in arguments]
            return
        with ThreadPoolExecutor(HALVES, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield lambda call, arguments: list(pool.map(lambda argument: call(*argument), arguments))
