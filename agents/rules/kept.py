"""Tuned rules that are kept between comparisons: a folder of the cache for each world, budget and state of the code."""

import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ...envs.shared.ownership import find_cache
from ..playing.evaluate import Evaluator
from ..registry import RULES
from .context import RuleModels
from .tuning import describe_search, identify_setting

PACKAGE = Path(__file__).parents[2]
FOLDERS = ("envs", "encoders", "agents")  # of the package, whose code can move what a search finds
LIBRARIES = ("numpy", "numba", "scipy", "scikit-learn", "torch", "optuna", "implicit")


def find_kept_rules(models: RuleModels, evaluator: Evaluator, trials: int, names: Sequence[str]) -> Path:
    """The folder that `longplay.agents.rules.tuning.tune_or_load` keeps rules in, when none is named.

    It is ``rules/DIGEST`` below ``$LONGPLAY_CACHE``, by default ``~/.cache/longplay``. The digest is of all that a
    search depends on: items, their vectors, user model and people; validation users, trials and what models are fitted
    on; the sources of the package, and those of rules of other packages; the versions of libraries. So what another
    world, budget or code has found is never taken.

    Parameters
    ----------
    models
        What the rules share, with the budget of their fits.
    evaluator
        The validation users.
    trials
        Options tried of each rule.
    names
        Names of the rules.
    """
    vectors = hashlib.sha256(models.setting.item_vectors.tobytes()).hexdigest()
    world = [identify_setting(models.setting), vectors]
    budget = describe_search(models, evaluator, trials, 0)
    about = json.dumps([world, budget, digest_code(), _digest_others(names)], sort_keys=True)
    return find_cache() / "rules" / hashlib.sha256(about.encode()).hexdigest()[:32]


@cache
def digest_code() -> str:
    """SHA-256 (hex) of the package's sources and constants, and of the versions of what they compute with."""
    total = hashlib.sha256()
    for folder in FOLDERS:
        for path in sorted((PACKAGE / folder).rglob("*")):
            if path.suffix in (".py", ".toml"):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                total.update(f"{path.relative_to(PACKAGE).as_posix()} {content}\n".encode())
    for library in LIBRARIES:
        total.update(f"{library} {_find_version(library)}\n".encode())
    return total.hexdigest()


def _find_version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _digest_others(names: Sequence[str]) -> list[str]:
    """Digests of the files of rules that other packages registered."""
    modules = sorted({RULES.card(name, "names").module for name in names} - {""})
    specs = [importlib.util.find_spec(module) for module in modules if not module.startswith("longplay.")]
    files = [Path(spec.origin) for spec in specs if spec is not None and spec.origin is not None]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
