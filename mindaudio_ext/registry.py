"""Separators by name. Reading the registry imports nothing; a separator's module is imported when it is used.

A separator of another package is added by its entry point in the group `mindaudio_ext.separators`
(`name = "package.module:Class"`), or by `@register("name")` in a module that the caller imports.
"""

import ast
import difflib
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from mindaudio_ext.errors import InputError

ENTRY_POINT_GROUP = "mindaudio_ext.separators"
REQUIRED = inspect.Parameter.empty

_targets: dict[str, str] = {
    "dprnn": "mindaudio_ext.separators.dprnn:DPRNN",
    "dptnet": "mindaudio_ext.separators.dptnet:DPTNet",
    "rnn": "mindaudio_ext.separators.rnn:StackedLSTM",
    "tcn": "mindaudio_ext.separators.tcn:TCN",
}
_classes: dict[str, type] = {}


@dataclass(frozen=True)
class Option:
    """One key of `separator_conf`: an argument of the separator's constructor.

    Attributes:
        annotation: the argument's type as written, `""` when there is none.
        default: its default, `REQUIRED` when it has none.
    """

    annotation: str
    default: Any


def near(word: str, known: Iterable[str]) -> str:
    """Gives `" (did you mean 'x'?)"` for the known word nearest to `word`, or an empty string.

    >>> near("dprn", ["dprnn", "tcn"])
    " (did you mean 'dprnn'?)"
    """
    matches = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{matches[0]}'?)" if matches else ""


def register(name: str) -> Callable[[type], type]:
    """Makes the decorated class the separator `name`.

    Raises:
        InputError: the name belongs to another class.
    """

    def decorate(cls: type) -> type:
        target = f"{cls.__module__}:{cls.__qualname__}"
        other = _all_targets().get(name, target)
        if other != target:
            raise InputError(f"separator '{name}' is already {other}; {target} needs another name")
        _targets[name] = target
        _classes[name] = cls
        return cls

    return decorate


def list_separators() -> list[str]:
    """Gives the names of all separators, sorted: built in, registered, and those of other packages' entry points."""
    return sorted(_all_targets())


def get_separator(name: str) -> type:
    """Gives the class of the separator `name`, importing its module.

    Raises:
        InputError: nobody knows the name, or its module cannot be imported.
    """
    target = _target(name)
    if name not in _classes:
        _classes[name] = _import(name, target)
    return _classes[name]


def separator_options(name: str) -> dict[str, Option] | None:
    """Gives the options a separator takes as `separator_conf`: its constructor's arguments after the first two.

    The constructor is read from the module's source, so that a config is checked without importing MindSpore. A class
    whose constructor cannot be read like this (inherited, decorated, defaults that are not literals) is imported.

    Returns:
        Options by name, in the constructor's order; None when the constructor takes any (`**kwargs`).

    Raises:
        InputError: nobody knows the name, or its module cannot be imported.
    """
    target = _target(name)
    signature = None if name in _classes else _signature_from_source(target)
    parameters = list((signature or inspect.signature(get_separator(name))).parameters.values())
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {p.name: Option(_annotation(p), p.default) for p in parameters[2:] if p.kind is not p.VAR_POSITIONAL}


def _annotation(parameter: inspect.Parameter) -> str:
    if parameter.annotation is parameter.empty:
        return ""
    is_text = isinstance(parameter.annotation, str)
    return parameter.annotation if is_text else inspect.formatannotation(parameter.annotation)


def _target(name: str) -> str:
    targets = _all_targets()
    if name not in targets:
        raise InputError(f"no separator '{name}'{near(name, targets)}; known: {', '.join(sorted(targets))}")
    return targets[name]


def _all_targets() -> dict[str, str]:
    targets = dict(_targets)
    for entry in _entry_points():
        if targets.setdefault(entry.name, entry.value) != entry.value:
            raise InputError(
                f"separator '{entry.name}' is {targets[entry.name]} and {entry.value}; rename or remove one"
            )
    return targets


@lru_cache(maxsize=1)
def _entry_points() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=ENTRY_POINT_GROUP))


def _import(name: str, target: str) -> type:
    module_name, _, class_name = target.partition(":")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"separator '{name}' ({target}) cannot be imported: {error}") from error


def _signature_from_source(target: str) -> inspect.Signature | None:
    """Gives the signature (without `self`) of `module:Class` from the source, None when it does not stand there."""
    module_name, _, class_name = target.partition(":")
    try:
        spec = importlib.util.find_spec(module_name)
    except ImportError:
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    tree = ast.parse(Path(spec.origin).read_bytes())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name]
    methods = [node for cls in classes for node in cls.body if isinstance(node, ast.FunctionDef)]
    constructors = [node for node in methods if node.name == "__init__" and not node.decorator_list]
    try:
        return _signature(constructors[0].args) if len(constructors) == 1 else None
    except ValueError:  # a default that is not a literal
        return None


def _signature(args: ast.arguments) -> inspect.Signature:
    positional = [*args.posonlyargs, *args.args][1:]
    defaults = [None] * (len(positional) - len(args.defaults)) + args.defaults
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [_parameter(arg, default, kind) for arg, default in zip(positional, defaults)]
    if args.vararg:
        parameters.append(_parameter(args.vararg, None, inspect.Parameter.VAR_POSITIONAL))
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters += [_parameter(arg, default, kind) for arg, default in zip(args.kwonlyargs, args.kw_defaults)]
    if args.kwarg:
        parameters.append(_parameter(args.kwarg, None, inspect.Parameter.VAR_KEYWORD))
    return inspect.Signature(parameters)


def _parameter(arg: ast.arg, default: ast.expr | None, kind: Any) -> inspect.Parameter:
    return inspect.Parameter(
        arg.arg,
        kind,
        default=REQUIRED if default is None else ast.literal_eval(default),
        annotation=ast.unparse(arg.annotation) if arg.annotation else REQUIRED,
    )
