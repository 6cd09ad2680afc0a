"""A scenario outside the package: impatient users of the film service, as the id toy/Impatient-v0."""

from pathlib import Path
from typing import ClassVar

from longplay.envs import ENVIRONMENTS, NamedEnv

CONSTANTS = Path(__file__).with_suffix(".toml")


class Impatient(NamedEnv):
    """Video with users who tire of a topic twice as fast; everything else as of `longplay.envs.Video`."""

    scenario: ClassVar[str] = str(CONSTANTS)


ENVIRONMENTS.register("toy/Impatient-v0", Impatient, scenario=str(CONSTANTS))
