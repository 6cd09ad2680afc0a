"""Film one user's life under a policy: the slates, what was chosen, satiation, trust, sessions on a calendar.

    python scripts/watch.py --name mine/life --policy static-cap --user 9123
    python scripts/watch.py --name mine/ppo --policy demo/ppo-0 --days 10 --format mp4

A policy is a rule, a reference that reads hidden state, or a run of scripts/train.py; a run brings its own setting.
With the same user and luck two policies meet the same person. Writes runs/NAME.gif (or .mp4). A frame is one slate;
of a life with more slates than --frames, evenly spaced ones are kept, always the first and the last.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import tyro
from gymnasium.vector import AutoresetMode
from PIL import Image

from longplay.agents.base import Agent, AgentSession
from longplay.agents.playing.luck import TEST_LUCK
from longplay.agents.registry import REFERENCES, RULES
from longplay.agents.rules.context import RuleModels
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.reading import load_agent
from longplay.agents.setting import Setting
from longplay.envs.candidates.retriever import Retriever
from longplay.envs.drawing.pictures import SIZE, draw_life
from longplay.envs.drawing.viewer import LifeRecorder, format_clock
from longplay.envs.env import SlateVectorEnv
from longplay.envs.shared.names import one_of
from longplay.envs.users.records import CHURNED, HORIZON
from longplay.scripts.shared.animation import find_ffmpeg, write_gif, write_mp4
from longplay.scripts.shared.console import console, load_world, make_progress, run_command
from longplay.scripts.shared.folders import RUNS, check_free_files, run_folder

FORMATS = ("gif", "mp4")
FITTED = ("linear", "constant")  # whose weights would have to be searched first
NAMES = (*RULES, *(name for name in REFERENCES if name not in FITTED))


@dataclass
class Arguments:
    """Film one user's life."""

    name: str
    """File below runs/, without its ending."""
    policy: str = "static-cap"
    """Policy to film: a rule (scripts/play.py lists them), with its options as shipped; a reference, myopic or taste;
    or the name of a training run."""
    user: int | None = None
    """User whose life is filmed; by default the first test user."""
    days: float | None = None
    """Days that are filmed, from the first; by default until the user leaves for good or the horizon."""
    format: str = "gif"
    """Format of the film: gif, or mp4, which needs ffmpeg."""
    frames: int = 150
    """Largest number of frames."""
    fps: float = 2.0
    """Frames a second."""
    width: int = SIZE[0]
    """Width of the film in pixels."""
    luck: int = TEST_LUCK
    """Seed of the user's luck; by default the luck of scripts/compare.py."""
    overwrite: bool = False
    """Replace an earlier result of the same name."""
    setting: tyro.conf.OmitArgPrefixes[Setting] = field(default_factory=Setting)


class Moment(NamedTuple):
    """A user's record after a slate, and the life until then."""

    user: Any
    life: LifeRecorder


def main(args: Arguments) -> None:
    """Play, draw, write."""
    path = run_folder(args.name)
    path = path.with_name(f"{path.name}.{one_of('format', args.format, FORMATS)}")
    _check_arguments(args)
    check_free_files([path], args.overwrite)
    program = find_ffmpeg() if args.format == "mp4" else ""
    run = _read_run(args)
    if run:
        args = replace(args, setting=_choose_setting(args.setting, run))
    world = args.setting.world
    size = (args.width // 2 * 2, round(args.width * SIZE[1] / SIZE[0] / 2) * 2)  # even, as H.264 wants it
    user = world.split("test").start if args.user is None else args.user
    horizon = world.scenario.params.horizon_days
    _check_range("user", user, 0, len(world.people) - 1)
    _check_range("days", horizon if args.days is None else args.days, 0.01, horizon)
    load_world(args.setting)
    agent = (
        load_agent(run_folder(args.policy), run, args.setting) if run else _make_untrained(args.policy, args.setting)
    )
    with make_progress(count=True) as progress:
        task = progress.add_task("slates", total=None)
        moments = play_life(args.setting, agent, user, args.luck, args.days, lambda: progress.advance(task))
        progress.update(task, total=len(moments) - 1)
        frames = np.unique(np.linspace(0, len(moments) - 1, args.frames).round().astype(int))
        task = progress.add_task("frames", total=len(frames))

        def draw(i: int) -> Image.Image:
            progress.update(task, completed=i + 1)
            image = draw_life(world, moments[frames[i]].user, moments[frames[i]].life, agent.name)
            return image if size == SIZE else image.resize(size, Image.Resampling.LANCZOS)

        path.parent.mkdir(parents=True, exist_ok=True)
        if program:
            write_mp4(path, len(frames), draw, args.fps, program)
        else:
            write_gif(path, len(frames), draw, args.fps)
    console.print(f"{_tell_story(moments[-1])}, served by {agent.name}", soft_wrap=True)
    console.print(f"{path}: {len(frames)} frames, {path.stat().st_size / 1e6:.1f} MB", soft_wrap=True)


def play_life(
    setting: Setting, agent: Agent, user: int, luck: int, days: float | None, progress: Callable[[], None]
) -> list[Moment]:
    """Every moment of a life, from before the first slate; `progress` is called at each."""
    bare = SlateVectorEnv(setting.world, 1, autoreset_mode=AutoresetMode.DISABLED, privileged=True)
    env = Retriever(bare, setting.item_vectors)
    users, life = bare.engine.users, LifeRecorder()
    observation, info = env.reset(seed=luck, options={"users": [user]})
    life.begin(users[0])
    moments = [Moment(users[0].copy(), copy.deepcopy(life))]
    over, following = False, AgentSession(agent, 1, setting.world)
    while not over:
        visible = {**observation, "latent": info["latent"]} if agent.privileged else observation
        slates = following.act(visible, np.ones(1, bool))
        observation, _, terminated, truncated, info = env.step(slates)
        life.read(users[0])
        moments.append(Moment(users[0].copy(), copy.deepcopy(life)))
        over = bool(terminated[0] or truncated[0]) or (days is not None and users[0]["clock"] >= days)
        progress()
    return moments


def _check_arguments(args: Arguments) -> None:
    for name, low, high in (("frames", 2, 2000), ("fps", 0.1, 60), ("width", 320, 3840)):
        _check_range(name, getattr(args, name), low, high)
    _check_range("luck", args.luck, 0, 2**62)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} = {value:.15g} is out of range; allowed: {low:.15g} to {high:.15g}")


def _make_untrained(policy: str, setting: Setting) -> Agent:
    """A rule, or a reference."""
    if policy in REFERENCES:
        return REFERENCES[policy].build(setting.world)
    rule = RULES[policy]
    with console.status(f"preparing {rule.title}") as status:
        return rule.make(RuleModels(setting, status.update), rule.choose_options(setting.world)())


def _read_run(args: Arguments) -> RunConfig | None:
    """The configuration of the training run that the policy names, or None for a rule."""
    if args.policy in NAMES:
        return None
    config = run_folder(args.policy) / "config.json"
    if not config.is_file():
        runs = sorted(str(file.parent.relative_to(RUNS)) for file in RUNS.rglob("policy.json"))
        hint = f"runs: {', '.join(runs[:20])}" if runs else "there are no runs below runs/ yet"
        one_of("policy", args.policy, [*NAMES, *runs])
        raise ValueError(f"policy = {args.policy!r} is unknown; {hint}")
    return RunConfig.from_json(config)


def _choose_setting(wanted: Setting, run: RunConfig) -> Setting:
    """A run's own setting, unless another was asked for."""
    if wanted not in (Setting(), run.setting):
        raise ValueError(
            f"the run was trained on {run.setting}, not on {wanted}; leave the setting out, or give its own"
        )
    return run.setting


def _tell_story(moment: Moment) -> str:
    user, life = moment
    count = len(life.sessions)
    story = f"user {user['id']}: {life.total:.0f} minutes in {count} session{'s' * (count != 1)}"
    if user["status"] == CHURNED:
        return f"{story}, left for good on {format_clock(life.now)}"
    return f"{story}, " + ("stayed to the horizon" if user["status"] == HORIZON else f"up to {format_clock(life.now)}")


if __name__ == "__main__":
    run_command(main, Arguments)
