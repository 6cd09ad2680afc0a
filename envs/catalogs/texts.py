"""Texts of items: attributes told in sentences, and what an item is called of which there is a text alone."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .table import CatalogError

Names = str | Sequence[str] | None


@dataclass(frozen=True)
class AttributeWords:
    """What attributes are called that `attribute_to_text` tells: for items of a kind, in a language.

    Parameters
    ----------
    noun : str
        What the item is.
    maker, cast : str
        How who made it, and who or what is in it, are told, with ``{names}``.
    """

    noun: str
    maker: str
    cast: str


_ATTRIBUTE_WORDS = {
    "en": {
        "film": AttributeWords("film", "directed by {names}", "starring {names}"),
        "product": AttributeWords("product", "made by {names}", "with {names}"),
        "article": AttributeWords("article", "written by {names}", "about {names}"),
        "post": AttributeWords("post", "by {names}", "about {names}"),
    },
    "zh": {
        "film": AttributeWords("电影", "{names}执导", "{names}主演"),
        "product": AttributeWords("商品", "{names}制造", "带有{names}"),
        "article": AttributeWords("文章", "{names}撰写", "关于{names}"),
        "post": AttributeWords("帖子", "{names}发布", "关于{names}"),
    },
}


def attribute_to_text(
    title: str,
    *,
    year: float | None = None,
    genres: Names = (),
    director: Names = None,
    cast: Names = (),
    country: Names = None,
    spoken: Names = None,
    language: str = "en",
    kind: str = "film",
    words: AttributeWords | None = None,
) -> str:
    """Say an item's attributes in sentences, leaving out what is not known.

    Parameters
    ----------
    title : str
        Not blank.
    year : number, optional
        Shown as a whole number; NaN is unknown.
    genres, director, cast, country, spoken : str, sequence of str, or None
        A string is one name, whatever commas it holds. Blank names, ``None``, ``nan`` and ``N/A`` are unknown. Of what
        is no film: its topics, who made it, what it has or is about, where it is from, the language it is in.
    language : {"en", "zh"}
        Language of the sentences; names stay as they are.
    kind : {"film", "product", "article", "post"}
        What the item is.
    words : AttributeWords, optional
        Words of one's own, in place of those of `kind`.

    Returns
    -------
    str
        "Heat (1995), a crime drama film directed by Michael Mann, starring Al Pacino, Robert De Niro and Val Kilmer.
        From the United States, in English." White space is collapsed to single spaces. In Chinese, such as
        "《盗火线》（1995），犯罪、剧情电影，迈克尔·曼执导。美国，英语。"

    Raises
    ------
    CatalogError
        If the title is blank, or language or kind is unknown.
    """
    text = " ".join(title.split())
    if not text:
        raise CatalogError(f"title {title!r} is blank. Fix: give every item a title")
    for name, value, allowed in (("language", language, _ATTRIBUTE_WORDS), ("kind", kind, _ATTRIBUTE_WORDS["en"])):
        if value not in allowed:
            fix = (
                f"spoken={value!r} is the film's own language"
                if name == "language"
                else "take one of these, with words= of your own"
            )
            raise CatalogError(f"{name} = {value!r} is not allowed: {', '.join(map(repr, allowed))}. Fix: {fix}")
    names = [_drop_unknown(given) for given in (genres, director, cast, country, spoken)]
    when = int(year) if year is not None and math.isfinite(year) else None
    say = {"en": _say_in_english, "zh": _say_in_chinese}[language]
    return say(text, when, words or _ATTRIBUTE_WORDS[language][kind], *names)


def _say_in_english(
    title: str,
    year: int | None,
    words: AttributeWords,
    genres: list[str],
    makers: list[str],
    cast: list[str],
    countries: list[str],
    spoken: list[str],
) -> str:
    text = title if year is None else f"{title} ({year})"
    kinds = [kind if kind.isupper() else kind.lower() for kind in genres]
    # Two genres read as one compound ("crime drama"); more of them need a list to be read at all.
    kind = " ".join([" ".join(kinds) if len(kinds) <= 2 else _join_with_and(kinds), words.noun]).strip()
    text += f", {'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
    if makers:
        text += " " + words.maker.format(names=_join_with_and(makers))
    if cast:
        text += f"{',' if makers else ''} " + words.cast.format(names=_join_with_and(cast))
    countries = [f"the {name}" if _TAKES_THE.search(name) else name for name in countries]
    origin = ", ".join(
        f"{word} {_join_with_and(names)}" for word, names in (("from", countries), ("in", spoken)) if names
    )
    sentences = [text, origin[0].upper() + origin[1:]] if origin else [text]
    return " ".join(sentence.removesuffix(".") + "." for sentence in sentences)  # a name may end with "Jr."


def _say_in_chinese(
    title: str,
    year: int | None,
    words: AttributeWords,
    genres: list[str],
    makers: list[str],
    cast: list[str],
    countries: list[str],
    spoken: list[str],
) -> str:
    text = (title if title.startswith("《") else f"《{title}》") + ("" if year is None else f"（{year}）")
    parts = [text, "、".join(genres) + words.noun]
    parts += [
        told.format(names="、".join(names)) for told, names in ((words.maker, makers), (words.cast, cast)) if names
    ]
    origin = "，".join("、".join(names) for names in (countries, spoken) if names)
    return "".join(f"{sentence}。" for sentence in ("，".join(parts), origin) if sentence)


_UNKNOWN = frozenset({"", "none", "nan", "n/a"})
_TAKES_THE = re.compile(
    r"^(?:USA?|UK|UAE|USSR|United|Kingdom of|Netherlands|Philippines|Bahamas|Maldives|Gambia|Occupied)\b"
    r"|\b(?:Republic|Union|Islands|Emirates|States)\b"
)


def _drop_unknown(names: Names) -> list[str]:
    """Names without stray white space, and without those that only say that the name is not known."""
    tidy = [" ".join(str(name).split()) for name in ([names] if isinstance(names, str) else names or ())]
    return [name for name in tidy if name.casefold() not in _UNKNOWN]


def _join_with_and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def split_title(text: str, width: int = 120) -> tuple[str, str]:
    """A text on one line as its title with the year, or its first clause, and what follows.

    A Chinese title stands first within 《》; a clause ends at 。，：；！？ with no space after, but not within 《》.

    Parameters
    ----------
    text : str
    width : int
        Letters before the year at most; a clause has two thirds of them. Without either the title is ``""``.

    Examples
    --------
    >>> split_title("Alien (1979), a horror and science fiction film. From the United States.")
    ('Alien (1979)', ', a horror and science fiction film. From the United States.')
    >>> split_title("A headline without an end")
    ('', 'A headline without an end')
    >>> split_title("《你好，李焕英》（2021年），喜剧片。")
    ('《你好，李焕英》（2021年）', '，喜剧片。')
    """
    tidy = " ".join(text.split())
    quoted = re.match(rf"《[^》]{{1,{width}}}》(?: ?[(（]\d{{4}}年?[)）])?", tidy)
    year = rf"[^。！？]{{1,{width}}}?[(（]\d{{4}}年?[)）]"
    clause = rf"(?:《[^》]*》|(?!《[^》]*》).){{1,{2 * width // 3}}}?(?=[,:;.!?] |[，：；。！？])"
    head = quoted or re.match(f"{year}|{clause}", tidy)
    end = head.end() if head else 0
    return tidy[:end], tidy[end:]


def extract_title(text: str, width: int = 120) -> str:
    """The title of a text as `split_title` finds it, or all of the text.

    >>> extract_title("Alien (1979), a horror and science fiction film. From the United States.")
    'Alien (1979)'
    >>> extract_title("台风登陆：三省停课")
    '台风登陆'
    """
    title, rest = split_title(text, width)
    return title or rest
