"""Measure PPO in JAX, on a gymnax environment; `peers.py` runs this inside an environment with both.

    python -I scripts/bench/workers/jax_ppo.py JAX 161 3    (name, width of an observation, rounds)

All of PPO is one compiled program, environments and updates together, as Lu and others do it ("Discovered policy
optimisation", NeurIPS 2022: PureJaxRL). The settings are those of PPO on weights here: as many environments, steps,
epochs and rows of a minibatch, two layers of 64 for actor and critic each. Observations of CartPole are filled with
zeros to the width of a state here, so that the networks are as large. Prints a JSON line; a step is one of one
environment. Modules are imported by name, since type checkers do not see what is installed elsewhere.
"""

import json
import sys
import time
from importlib import import_module
from importlib.metadata import version
from typing import Any

ENVIRONMENTS, STEPS, EPOCHS, ROWS, HIDDEN = 1024, 32, 4, 2048, 64
GAMMA, LAMBDA, CLIP, VALUE, RATE, NORM = 0.95, 0.8, 0.2, 0.5, 1e-3, 0.5


class Program:
    """PPO as functions that JAX compiles: `start`, and `iterate` for one rollout with its updates."""

    def __init__(self, width: int) -> None:
        self.jax, self.np = import_module("jax"), import_module("jax.numpy")
        optax = import_module("optax")
        self.env, self.settings = import_module("gymnax").make("CartPole-v1")
        self.width, self.actions = width, self.env.action_space(self.settings).n
        self.optimiser = optax.chain(optax.clip_by_global_norm(NORM), optax.adam(RATE, eps=1e-5))
        self.reset = self.jax.vmap(self.env.reset, in_axes=(0, None))
        self.step = self.jax.vmap(self.env.step, in_axes=(0, 0, 0, None))
        self.iterate = self.jax.jit(self._iterate)

    def start(self) -> Any:
        """Weights, the optimiser's state, environments, observations and a key."""
        random = self.jax.random
        key, first, *keys = random.split(random.PRNGKey(0), 8)
        widths = ((self.width, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, self.actions))
        shapes = (*widths, *widths[:2], (HIDDEN, 1))
        draw = self.jax.nn.initializers.orthogonal()
        weights = [(draw(k, shape), self.np.zeros(shape[1])) for k, shape in zip(keys, shapes, strict=True)]
        seen, state = self.reset(random.split(first, ENVIRONMENTS), self.settings)
        return weights, self.optimiser.init(weights), state, self._widen(seen), key

    def _widen(self, seen: Any) -> Any:
        return self.np.pad(seen, ((0, 0), (0, self.width - seen.shape[1])))

    def _judge(self, weights: Any, seen: Any) -> tuple[Any, Any]:
        """Logits and values."""
        found = []
        for tower in (weights[:3], weights[3:]):
            x = seen
            for matrix, bias in tower[:-1]:
                x = self.np.tanh(x @ matrix + bias)
            found.append(x @ tower[-1][0] + tower[-1][1])
        return self.jax.nn.log_softmax(found[0]), found[1][:, 0]

    def _play(self, carry: Any, _: Any) -> tuple[Any, Any]:
        weights, state, seen, key = carry
        key, draw, move = self.jax.random.split(key, 3)
        logits, values = self._judge(weights, seen)
        action = self.jax.random.categorical(draw, logits)
        density = self.np.take_along_axis(logits, action[:, None], axis=1)[:, 0]
        keys = self.jax.random.split(move, ENVIRONMENTS)
        after, state, reward, terminated, truncated, _ = self.step(keys, state, action, self.settings)
        done = self.np.logical_or(terminated, truncated)
        return (weights, state, self._widen(after), key), (seen, action, density, values, reward, done)

    def _credit(self, carry: Any, moment: Any) -> tuple[Any, Any]:
        """Generalised advantages, from the last moment back."""
        advantage, following = carry
        values, reward, done = moment
        error = reward + GAMMA * following * (1.0 - done) - values
        advantage = error + GAMMA * LAMBDA * (1.0 - done) * advantage
        return (advantage, values), advantage

    def _loss(self, weights: Any, part: Any) -> Any:
        seen, action, density, advantage, returns = part
        logits, values = self._judge(weights, seen)
        ratio = self.np.exp(self.np.take_along_axis(logits, action[:, None], axis=1)[:, 0] - density)
        gain = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        surrogate = self.np.minimum(gain * ratio, gain * self.np.clip(ratio, 1.0 - CLIP, 1.0 + CLIP))
        return VALUE * ((values - returns) ** 2).mean() - surrogate.mean()

    def _learn(self, carry: Any, part: Any) -> Any:
        weights, momentum = carry
        gradients = self.jax.grad(self._loss)(weights, part)
        changes, momentum = self.optimiser.update(gradients, momentum)
        return (self.jax.tree.map(self.np.add, weights, changes), momentum), None

    def _iterate(self, whole: Any) -> Any:
        weights, momentum, state, seen, key = whole
        scan, np = self.jax.lax.scan, self.np
        played, moments = scan(self._play, (weights, state, seen, key), None, STEPS)
        weights, state, seen, key = played
        observations, actions, densities, values, rewards, dones = moments
        last = self._judge(weights, seen)[1]
        _, advantages = scan(self._credit, (np.zeros_like(last), last), (values, rewards, dones), reverse=True)
        rows = (observations, actions, densities, advantages, advantages + values)
        rows = self.jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:]), rows)

        def run_epoch(carry: Any, draw: Any) -> Any:
            order = self.jax.random.permutation(draw, STEPS * ENVIRONMENTS)
            parts = self.jax.tree.map(lambda part: part[order].reshape(-1, ROWS, *part.shape[1:]), rows)
            return scan(self._learn, carry, parts)

        key, *draws = self.jax.random.split(key, EPOCHS + 1)
        (weights, momentum), _ = scan(run_epoch, (weights, momentum), np.stack(draws))
        return weights, momentum, state, seen, key


def main(name: str, width: int, rounds: int) -> None:
    """Time iterations, the first, which compiles, apart."""
    program = Program(width)
    whole = program.jax.block_until_ready(program.iterate(program.start()))
    best = 0.0
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(5):
            whole = program.iterate(whole)
        program.jax.block_until_ready(whole)
        best = max(best, 5 * STEPS * ENVIRONMENTS / (time.process_time() - began))
    row = {
        "peer": name,
        "version": f"{version('jax')}, gymnax {version('gymnax')}",
        "way": "PPO on CartPole-v1, all compiled",
        "users": ENVIRONMENTS,
        "slate": 0,
        "items": 0,
        "steps_per_second": best,
        "note": f"observations filled to {width} numbers",
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
