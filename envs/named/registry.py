"""The environments by name: ``gymnasium.make("longplay/Video-v0")`` makes a `Video`.

The docstring of each class is its specification; what all have in common is in that of `NamedEnv`.
"""

from .base import NamedEnv
from .controls import Control, Tiny
from .domains import News, Shop, Social, Video
from .shifted import NewsShifted, ShopShifted, SocialShifted, VideoShifted

__all__ = [
    "ENVIRONMENTS",
    "Control",
    "NamedEnv",
    "News",
    "NewsShifted",
    "Shop",
    "ShopShifted",
    "Social",
    "SocialShifted",
    "Tiny",
    "Video",
    "VideoShifted",
]

ENVIRONMENTS: dict[str, type[NamedEnv]] = {
    f"longplay/{kind.__name__}-v0": kind
    for kind in (Video, News, Shop, Social, VideoShifted, NewsShifted, ShopShifted, SocialShifted, Control, Tiny)
}
