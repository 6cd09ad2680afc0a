"""A scenario outside the package: impatient users of the film service, as the id toy/Impatient-v0."""

from pathlib import Path
from typing import ClassVar

import gymnasium

from longplay.envs import NamedEnv

CONSTANTS = Path(__file__).with_suffix(".toml")


class Impatient(NamedEnv):
    """Video with users who tire of a topic twice as fast; everything else as of `longplay.envs.Video`."""

    scenario: ClassVar[str] = str(CONSTANTS)


gymnasium.register(
    id="toy/Impatient-v0",
    entry_point=f"{__name__}:Impatient",
    vector_entry_point="longplay.envs:make_vector_env",
    kwargs={"base": str(CONSTANTS)},
)
