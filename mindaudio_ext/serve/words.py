"""The words of the page and of its server in both languages; words.yaml has them."""

import functools
import re
from pathlib import Path

import yaml

LANGUAGES = ("en", "zh")


def page_words() -> dict[str, dict[str, str]]:
    """Returns what the page shows: by language, then by what the page calls it."""
    words = _words()["page"]
    return {language: {key: both[language] for key, both in words.items()} for language in LANGUAGES}


def in_both(message: str) -> dict[str, str]:
    """Returns a message of the server by language. One that nobody foresaw stays English after a word in Chinese.

    >>> in_both("mix.wav: is empty")
    {'en': 'mix.wav: is empty', 'zh': 'mix.wav：是空文件'}
    """
    for pattern, chinese in _messages():
        if found := pattern.fullmatch(message):
            return {"en": message, "zh": chinese.format(**found.groupdict())}
    raise AssertionError("the last pattern takes all")


@functools.cache
def _words() -> dict:
    return yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))


@functools.cache
def _messages() -> list[tuple[re.Pattern[str], str]]:
    """Returns a pattern for each English message, and the Chinese one."""
    found = []
    for both in _words()["server"]:
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.*)", re.escape(both["en"]))
        found.append((re.compile(pattern, re.DOTALL), both["zh"]))
    return found
