"""Types of config keys and of options: what a value may be, by annotations that say it of any constructor's argument.

Limits are those of the package annotated_types, `Annotated[int, Interval(ge=2)]`; choices are a `Literal`.
"""

from typing import Annotated, Any

from annotated_types import Ge, Interval
from pydantic import AfterValidator, BeforeValidator

from mindaudio_ext.errors import InputError, shown
from mindaudio_ext.keys import require_name

LARGEST_SIZE = 65536  # of a layer, a filter, a batch: more is a slip of the finger

Size = Annotated[int, Interval(ge=1, le=LARGEST_SIZE)]
Count = Annotated[int, Ge(0)]
Positive = Annotated[int, Ge(1)]
Share = Annotated[float, Interval(ge=0, lt=1)]
Seconds = Annotated[float, Interval(gt=0, le=600)]


def _plain_name(value: str) -> str:
    try:
        require_name(value, "name")
    except InputError as error:
        raise ValueError(str(error).removeprefix("name: ")) from error
    return value


FolderName = Annotated[str, AfterValidator(_plain_name)]


def several(kind: Any, word: str, *, empty: bool = False) -> Any:
    """Returns the type of a list without repetitions of one `kind`, called `word`; one value alone will do.

    An empty list is refused unless `empty`.
    """

    def as_tuple(value: Any) -> tuple[Any, ...]:
        values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        is_text = word == "name" and not all(isinstance(each, str) for each in values)
        if (
            not (values or empty)
            or isinstance(value, (dict, type(None)))
            or (is_text and not isinstance(value, (list, tuple)))
        ):
            raise ValueError(f"expected a {word} or a list of {word}s, got {in_words(value)}")
        return values

    def without_repetition(values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"a {word} is given twice in {list(values)}")
        return values

    return Annotated[tuple[kind, ...], AfterValidator(without_repetition), BeforeValidator(as_tuple)]


def listed(kind: Any) -> Any:
    """Returns the type of a list of one `kind`, kept as a tuple."""
    return Annotated[tuple[kind, ...], BeforeValidator(_list_as_tuple)]


def _list_as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def refused(words: dict[str, str]) -> BeforeValidator:
    """Returns a check that says why a word, in whatever case, is no choice."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and value.upper() in words:
            raise ValueError(words[value.upper()])
        return value

    return BeforeValidator(check)


def in_words(value: Any) -> str:
    """Says what came: text in quotes, so that it is told from a number."""
    if isinstance(value, str):
        return f"text {shown(value)}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    kinds: dict[type, str] = {dict: "a mapping: ", list: "a list: ", tuple: "a list: "}
    kind = kinds.get(type(value), "")
    value = list(value) if isinstance(value, tuple) else value
    return f"{kind}{shown(value) if isinstance(value, (int, dict, list)) else value}"
