"""Modules by the names they had: environment specifications and data sets on disk hold such names for good."""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Of the entry points that `gymnasium.envs.registration.EnvSpec.to_json` has ever written.
MOVED = {
    "longplay.envs.checks": "longplay.envs.named.controls",
    "longplay.envs.domains": "longplay.envs.named.domains",
    "longplay.envs.shifted": "longplay.envs.named.shifted",
}


class MovedModules(MetaPathFinder, Loader):
    """Finds a module by the name it had; what is imported is the module as it is now."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Only for the names of `MOVED`."""
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module as it is now."""
        module = importlib.import_module(MOVED[spec.name])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run; what the import machinery wrote over is put back."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def keep_old_names() -> None:
    """Let the names of `MOVED` be imported; once is enough."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())
