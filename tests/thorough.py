"""Parameters of tests that are tried under `tools/test.sh --all` alone."""

from collections.abc import Iterable
from typing import Any

import pytest

UNDER_ALL = pytest.mark.needs("--all")


def few(values: Iterable[Any], *shown: Any) -> list[Any]:
    """Returns all of `values`; those not among `shown` are tried under --all alone, as what they show, these show.

    >>> [isinstance(value, str) for value in few(["a", "b"], "a")]
    [True, False]
    """
    values = list(values)
    assert all(value in values for value in shown), "a parameter that is shown is none"
    return [value if value in shown else _under_all(value) for value in values]


def _under_all(value: Any) -> Any:
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=UNDER_ALL)
