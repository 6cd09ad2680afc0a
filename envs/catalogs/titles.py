"""What an item is called of which there is a text alone."""

import re


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
