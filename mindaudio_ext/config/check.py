"""One value against its type: pydantic compares them, and here is what an InputError says of it."""

import math
import re
import types
import typing
import unicodedata
from collections.abc import Hashable, Iterator
from functools import cache
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval, Le, Lt
from pydantic import AfterValidator, BeforeValidator, ConfigDict, PydanticUndefinedAnnotation, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import ErrorDetails, ValidationError

from mindaudio_ext.config.types import in_words
from mindaudio_ext.errors import InputError, shown

_NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?")
LARGEST_INT = 2**31 - 1
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_KINDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    types.NoneType: "null",
    dict: "a mapping",
    list: "a list",
}
_BOUNDS = {"ge": "at least", "le": "at most", "gt": "above", "lt": "below"}
_BOUND_ERRORS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


def check_value(value: Any, annotation: Any, where: str) -> Any:
    """Returns a value as its type has it: 1 as 1.0 for a float, "gln" as "gLN" of a `Literal`.

    Args:
        value: as YAML reads it.
        annotation: the type, with its limits.
        where: begins the message.

    Raises:
        InputError: it is of another type, or out of its limits.
    """
    try:
        return _adapter(annotation).validate_python(value)
    except ValidationError as error:
        raise InputError(f"{where}: {describe(error.errors()[0], annotation)}") from error


def describe(error: ErrorDetails, annotation: Any) -> str:
    """Says what is wrong with a value, as pydantic found it."""
    value, kind = error["input"], error["type"]
    if kind in ("value_error", "assertion_error"):
        return str(error["ctx"]["error"])
    if kind == "finite_number":
        return f"must be finite and below {LARGEST_INT}, got {value}"
    if kind == "literal_error":
        return f"expected one of {', '.join(map(str, choices_of(annotation)))}, got {shown(value)}"
    if kind in _BOUND_ERRORS:
        number = float(value) if float in kinds_of(annotation) else value
        return f"must be {bounds_in_words(annotation)}, got {shown(number) if isinstance(number, int) else number}"
    return f"expected {' or '.join(_expected(annotation, inner=bool(error['loc'])))}, got {in_words(value)}"


def bounds_in_words(annotation: Any) -> str:
    """Returns the limits of numbers, such as "at least 0 and below 1"; empty without any."""
    bounds = dict(_bounds(annotation))
    return " and ".join(f"{words} {bounds[name]}" for name, words in _BOUNDS.items() if name in bounds)


def choices_of(annotation: Any) -> tuple[Any, ...]:
    """Returns the choices of a `Literal`, or of the one that an annotation holds; empty without any."""
    if typing.get_origin(annotation) is Literal:
        return typing.get_args(annotation)
    return next((found for part in _parts(annotation) if (found := choices_of(part))), ())


def has_bounds(annotation: Any) -> bool:
    """Whether an annotation says limits of numbers."""
    return any(True for _ in _bounds(annotation))


def _bounds(annotation: Any) -> Iterator[tuple[str, Any]]:
    for limit in typing.get_args(annotation)[1:] if typing.get_origin(annotation) is Annotated else ():
        if isinstance(limit, (Interval, Ge, Gt, Le, Lt)):
            yield from ((name, getattr(limit, name)) for name in _BOUNDS if getattr(limit, name, None) is not None)
    for part in _parts(annotation):
        yield from _bounds(part)


def _parts(annotation: Any) -> tuple[Any, ...]:
    """Returns the annotations within one."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return arguments[:1]
    return () if origin is Literal else tuple(each for each in arguments if each is not Ellipsis)


def kinds_of(annotation: Any) -> list[type]:
    """Returns the plain types of an annotation, outermost first."""
    origin = typing.get_origin(annotation)
    if origin in (dict, list, tuple):
        return [list if origin is tuple else origin, *(kind for part in _parts(annotation) for kind in kinds_of(part))]
    return [annotation] if annotation in _KINDS else [kind for part in _parts(annotation) for kind in kinds_of(part)]


def _expected(annotation: Any, *, inner: bool) -> Iterator[str]:
    kinds = kinds_of(annotation)
    if kinds and kinds[0] is list and len(kinds) > 1:
        yield _KINDS[kinds[1]] if inner else f"a list of {_KINDS[kinds[1]].removeprefix('a ')}s"
    else:
        yield from (_KINDS[kind] for kind in kinds[:1] if kind is dict) if dict in kinds else (_KINDS[k] for k in kinds)


@cache
def _cached_adapter(annotation: Hashable) -> TypeAdapter:
    try:
        return TypeAdapter(prepared(annotation), config=_STRICT)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation):  # of another package: a type it does not know
        return TypeAdapter(Any)


def _adapter(annotation: Any) -> TypeAdapter:
    try:
        return _cached_adapter(annotation)
    except TypeError:  # a Literal or limit that cannot be hashed
        return _cached_adapter.__wrapped__(annotation)


def prepared(annotation: Any) -> Any:
    """Returns an annotation whose floats take what YAML 1.1 reads as text, and whose choices any case of letters."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is int:
        return Annotated[int, AfterValidator(_not_huge)]
    if annotation is float:
        return Annotated[float, BeforeValidator(_number_of_text)]
    if annotation is str:
        return Annotated[str, AfterValidator(_printed)]
    if origin is Literal:
        return Annotated[annotation, BeforeValidator(_matched(arguments))]
    if origin is Annotated:
        inner = (prepared(arguments[0]), *arguments[1:])
        return Annotated[inner]
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(prepared(part) for part in arguments)]  # noqa: UP007  # of a tuple
    if origin in (tuple, list):
        return origin[tuple(part if part is Ellipsis else prepared(part) for part in arguments)]
    return annotation


def _not_huge(value: int) -> int:
    if abs(value) > LARGEST_INT:
        raise ValueError(f"must be at most {LARGEST_INT}, got {shown(value)}")
    return value


def _number_of_text(value: Any) -> Any:
    if type(value) is int and abs(value) > LARGEST_INT:
        return math.inf  # some are beyond what a float can be
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value  # 1e-3 is text in YAML 1.1


def _printed(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in value):
        raise ValueError(f"has a new line or another character that controls, got {shown(value)}")
    return value


def _matched(choices: tuple[Any, ...]) -> Any:
    def match(value: Any) -> Any:
        same = (c for c in choices if isinstance(c, str) and isinstance(value, str) and c.lower() == value.lower())
        return next(same, value)

    return match
