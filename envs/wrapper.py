"""What all wrappers of a vector environment have in common."""

from typing import Any

from gymnasium.vector import AutoresetMode, VectorWrapper


class SlateVectorWrapper(VectorWrapper):
    """A wrapper that knows, as the environment itself does, how and whether finished slots are reset."""

    @property
    def autoreset_mode(self) -> AutoresetMode:
        """The environment's."""
        mode: Any = self.env.metadata["autoreset_mode"]
        return AutoresetMode(mode)
