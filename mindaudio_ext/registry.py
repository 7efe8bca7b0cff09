"""Classes and functions by name: separators, encoders, losses, metrics and others. Listing names imports nothing.

A module in the folder of one kind registers what bears the module's name, so adding a file is all there is to do:

    # mindaudio_ext/separators/mine.py
    @register("mine")
    class Mine(nn.Cell): ...

Other packages add theirs by an entry point in the group that is called as the folder is imported, such as
`mindaudio_ext.separators` (`name = "package.module:Class"`), or by the decorator in a module that the caller imports.
The options that a conf may give are the arguments of the constructor; their types say which values they may have.
"""

import difflib
import importlib
import importlib.util
import inspect
import operator
import pkgutil
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from mindaudio_ext.errors import InputError

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Option:
    """An argument of a constructor that a conf may give.

    Attributes:
        annotation: the argument's type, with its limits; `typing.Any` when there is none.
        default: its default, `REQUIRED` when it has none.
    """

    annotation: Any
    default: Any


def near(word: str, known: Iterable[str]) -> str:
    """Returns `" (did you mean 'x'?)"` for the known word nearest to `word`, or an empty string.

    >>> near("dprn", ["dprnn", "tcn"])
    " (did you mean 'dprnn'?)"
    """
    matches = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{matches[0]}'?)" if matches else ""


class Registry:
    """What a conf can name of one kind.

    Args:
        kind: how messages call one, such as "separator".
        package: a module of this package, or a folder of them: each module there registers what bears its name. Those
            that begin with an underscore do not.
        modules: names and their modules, when they are not a folder's.
        n_given: how many arguments of a constructor come first and are no options; None: all that are not keyword-only.
        reads_keys: whether an argument that is called as a config key gets the key's value, and is no option.
    """

    def __init__(
        self,
        kind: str,
        package: str,
        modules: Mapping[str, str] | None = None,
        *,
        n_given: int | None = None,
        reads_keys: bool = False,
    ) -> None:
        self.kind, self.package, self.n_given, self.reads_keys = kind, package, n_given, reads_keys
        self._given_modules = modules
        self._registered: dict[str, Callable] = {}

    @cached_property
    def _modules(self) -> Mapping[str, str]:
        if self._given_modules is not None:
            return self._given_modules
        spec = importlib.util.find_spec(self.package)
        folders = spec.submodule_search_locations if spec else None
        names = [module.name for module in pkgutil.iter_modules(folders or []) if not module.name.startswith("_")]
        return {name: f"{self.package}.{name}" for name in names}

    def register(self, name: str) -> Callable:
        """Makes the decorated class or function the one of this name.

        Raises:
            InputError: the name belongs to another.
        """

        def decorate(registered: Callable) -> Callable:
            target = f"{registered.__module__}:{registered.__qualname__}"
            other = self._targets().get(name, target)
            if other not in (target, registered.__module__):
                raise InputError(f"{self.kind} '{name}' is already {other}; {target} needs another name")
            self._registered[name] = registered
            return registered

        return decorate

    def names(self) -> list[str]:
        """Returns all names, sorted: built in, registered, and those of other packages' entry points."""
        return sorted(self._targets())

    def built_in(self) -> list[str]:
        """Returns the names of this package's own, sorted."""
        return sorted(self._modules)

    def find(self, name: str) -> str:
        """Returns a name as it is registered, whatever the case of its letters.

        Raises:
            InputError: there is none of this name.
        """
        names = self.names()
        if name in names:
            return name
        for known in names:
            if known.lower() == name.lower():
                return known
        raise InputError(f"no {self.kind} '{name}'{near(name, names)}; known: {', '.join(names)}")

    def get(self, name: str) -> Any:
        """Returns the class or function of a name, importing its module.

        Raises:
            InputError: there is none of this name, or its module cannot be imported.
        """
        name = self.find(name)
        if name not in self._registered:
            self._import(name, self._targets()[name])
        return self._registered[name]

    def name_of(self, registered: Callable) -> str:
        """Returns the name that a class or function is registered by."""
        return next(name for name, known in self._registered.items() if known is registered)

    def options(self, name: str) -> dict[str, Option] | None:
        """Returns the options by name, in the constructor's order; None when it takes any (`**kwargs`)."""
        return options_of(self.get(name), self.n_given)

    def _import(self, name: str, target: str) -> None:
        module_name, _, attribute = target.partition(":")
        try:
            module = importlib.import_module(module_name)
            if attribute:
                self._registered.setdefault(name, operator.attrgetter(attribute)(module))
        except (ImportError, AttributeError) as error:
            raise InputError(f"{self.kind} '{name}' ({target}) cannot be imported: {error}") from error
        if name not in self._registered:
            raise InputError(f"{self.kind} '{name}': {module_name} does not register it")

    def _targets(self) -> dict[str, str]:
        """Returns `module`, or `module:attribute`, by name."""
        targets = dict(self._modules)
        for name, registered in self._registered.items():
            targets[name] = f"{registered.__module__}:{registered.__qualname__}"
        for entry in _entry_points(self.package):
            known = targets.setdefault(entry.name, entry.value)
            if known not in (entry.value, entry.module):
                raise InputError(f"{self.kind} '{entry.name}' is {known} and {entry.value}; rename or remove one")
        return targets


@lru_cache
def _entry_points(group: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


def options_of(registered: Callable, n_given: int | None = None) -> dict[str, Option] | None:
    """Returns the options that a class or function takes; None when it takes any.

    Args:
        registered: its constructor is what has the arguments.
        n_given: as for `Registry`.
    """
    constructor = registered.__init__ if inspect.isclass(registered) else registered
    if constructor is object.__init__:
        return {}
    parameters = list(inspect.signature(constructor).parameters.values())[inspect.isclass(registered) :]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    hints = _hints(constructor)
    if n_given is None:
        parameters = [parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    else:
        parameters = [p for p in parameters[n_given:] if p.kind is not p.VAR_POSITIONAL]
    return {parameter.name: Option(hints.get(parameter.name, Any), parameter.default) for parameter in parameters}


def _hints(constructor: Callable) -> dict[str, Any]:
    try:
        return typing.get_type_hints(constructor, include_extras=True)
    except (NameError, TypeError):  # of another package, for type checkers only
        return {}


def problems_of(registered: Any, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields an option and what is wrong with it, for each rule of `check_options` that options do not keep.

    A class may have `check_options(**options)`, a static method, for rules of several options together.
    """
    check = getattr(registered, "check_options", None)
    if check is not None:
        yield from check(**options)


def require_options(registered: Any, mapping: str, options: Mapping[str, Any]) -> None:
    """Raises InputError, naming it as one of `mapping`, for the first option that breaks a rule of its class."""
    for option, problem in problems_of(registered, options):
        raise InputError(f"{mapping}.{option}: {problem}")


SEPARATORS = Registry("separator", "mindaudio_ext.separators", n_given=2)
SCHEDULERS = Registry("scheduler", "mindaudio_ext.train.schedulers")
LOSSES = Registry("loss", "mindaudio_ext.losses", reads_keys=True)
AUGMENTATIONS = Registry("augmentation", "mindaudio_ext.augmentations")
ENCODERS = Registry("encoder", "mindaudio_ext.encoders", n_given=0, reads_keys=True)
METRICS = Registry("metric", "mindaudio_ext.metrics")
OPTIMIZERS = Registry("optimizer", "mindaudio_ext.train.optimizers", reads_keys=True)
MODELS = Registry(
    "model",
    "mindaudio_ext.models",
    {
        "tasnet": "mindaudio_ext.models.tasnet",
        "mindaudio.conv_tasnet": "mindaudio_ext.models.mindaudio",
        "mindaudio.tasnet": "mindaudio_ext.models.mindaudio",
    },
    reads_keys=True,
)

register = SEPARATORS.register
get_separator = SEPARATORS.get
list_separators = SEPARATORS.names
