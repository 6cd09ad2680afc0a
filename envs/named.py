"""The environments by name: what each is, in full. `gymnasium.make("longplay/Video-v0")` makes a `Video`."""

from typing import Any, ClassVar

from gymnasium.vector import AutoresetMode

from .make import make_vector_env
from .single import SlateEnv


class NamedEnv(SlateEnv):
    """One user of the scenario that the class names."""

    scenario: ClassVar[str]

    def __init__(self, **options: Any) -> None:
        options.setdefault("base", self.scenario)
        super().__init__(make_vector_env(1, autoreset_mode=AutoresetMode.DISABLED, **options))


class Video(NamedEnv):
    """Films, ten previews to a slate."""

    scenario = "video"


class News(NamedEnv):
    """Short articles that age within hours."""

    scenario = "news"


class Shop(NamedEnv):
    """Products."""

    scenario = "shop"


class Social(NamedEnv):
    """Posts in a feed."""

    scenario = "social"


class VideoShifted(NamedEnv):
    """Video for users of another kind."""

    scenario = "video-shifted"


class NewsShifted(NamedEnv):
    """News for users of another kind."""

    scenario = "news-shifted"


class ShopShifted(NamedEnv):
    """Shop for users of another kind."""

    scenario = "shop-shifted"


class SocialShifted(NamedEnv):
    """Social for users of another kind."""

    scenario = "social-shifted"


class Control(NamedEnv):
    """Nothing shown now changes anything later."""

    scenario = "control"


class Tiny(NamedEnv):
    """Finite, with a known optimum."""

    scenario = "tiny"


ENVIRONMENTS: dict[str, type[NamedEnv]] = {
    f"longplay/{kind.__name__}-v0": kind
    for kind in (Video, News, Shop, Social, VideoShifted, NewsShifted, ShopShifted, SocialShifted, Control, Tiny)
}
