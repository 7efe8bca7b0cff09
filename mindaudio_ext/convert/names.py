"""Names of parameters in two toolkits, by rules that are read in both directions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mindaudio_ext.errors import InputError

WILDCARDS = {"#": r"(\d+)", "*": r"(.+)"}


@dataclass(frozen=True)
class Rule:
    """One name, or a family of names, in both toolkits. `#` stands for a number, `*` for anything.

    >>> Rule("net.#.rnn.*", "blocks.#.rnn.*").to_ours("net.3.rnn.bias_ih_l0")
    'blocks.3.rnn.bias_ih_l0'

    Attributes:
        theirs: the other toolkit's name.
        ours: our name, with the same wildcards in the same order.
        axes: where their shape has a one that ours has not, as axes of theirs.

    Raises:
        InputError: the two have different wildcards.
    """

    theirs: str
    ours: str
    axes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if _wildcards(self.theirs) != _wildcards(self.ours):
            raise InputError(f"'{self.theirs}' and '{self.ours}' must have the same # and * in the same order")

    @cached_property
    def _patterns(self) -> tuple[re.Pattern, re.Pattern]:
        return _pattern(self.theirs), _pattern(self.ours)

    def to_ours(self, name: str) -> str | None:
        """Returns our name for theirs, None when this rule is not about it."""
        return _rename(self._patterns[0], name, self.ours)

    def to_theirs(self, name: str) -> str | None:
        """Returns their name for ours, None when this rule is not about it."""
        return _rename(self._patterns[1], name, self.theirs)


def matches(pattern: str, name: str) -> bool:
    """Whether a name is of the family that a pattern with `#` and `*` describes, also without its `module.`."""
    return any(_pattern(pattern).fullmatch(each) for each in _spellings(name))


def to_ours(name: str, rules: Sequence[Rule]) -> str | None:
    """Returns our name by the first rule that is about theirs, None when there is none.

    A rule that is about the name without the `module.` of PyTorch's DataParallel is about the name.

    >>> to_ours("module.net.3.bias", [Rule("net.#.bias", "blocks.#.bias")])
    'blocks.3.bias'
    """
    found = (rule.to_ours(each) for each in _spellings(name) for rule in rules)
    return next((ours for ours in found if ours is not None), None)


def _spellings(name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((name, re.sub(r"(^|\.)module\.", r"\1", name, count=1))))


def _wildcards(text: str) -> list[str]:
    return [letter for letter in text if letter in WILDCARDS]


def _pattern(text: str) -> re.Pattern:
    return re.compile("".join(WILDCARDS.get(letter, re.escape(letter)) for letter in text))


def _rename(pattern: re.Pattern, name: str, template: str) -> str | None:
    match = pattern.fullmatch(name)
    if match is None:
        return None
    parts = iter(match.groups())
    return "".join(next(parts) if letter in WILDCARDS else letter for letter in template)
