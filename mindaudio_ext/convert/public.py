"""A published model becomes config keys and parameters of ours; which separator it is, their files say."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from mindaudio_ext.convert import asteroid
from mindaudio_ext.convert.names import matches, to_ours
from mindaudio_ext.convert.public_files import read_public
from mindaudio_ext.convert.public_model import Arguments, PublicCheckpoint, PublicModel
from mindaudio_ext.errors import InputError
from mindaudio_ext.registry import SEPARATORS, near


def public_models() -> list[tuple[str, PublicModel]]:
    """Returns separators and the models that they say they are, in files of other forms than Asteroid's own."""
    found = []
    for name in SEPARATORS.names():
        with contextlib.suppress(InputError):  # another package's that cannot be imported
            found += [(name, model) for model in getattr(SEPARATORS.get(name), "public", ())]
    return found


def convert_public(
    path: Path, *, sample_rate: int | None = None, usual_rate: int | None = None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns config keys and parameters, by our names, of a published model.

    Args:
        path: its folder, or its one file.
        sample_rate: Hz, for a model that does not say it.
        usual_rate: Hz, of Asteroid's models that do not say it and when nobody does.

    Raises:
        InputError: it cannot be read, or it, or one of its arguments or parameters, has no equal here.
    """
    found = read_public(path)
    if found.form == "asteroid" and not any(_is(model, found) for _, model in public_models()):
        content = {"model_name": found.name, "model_args": found.arguments, "state_dict": found.state}
        rate = sample_rate or (None if found.sample_rate else usual_rate)
        values = asteroid.config_values(content, found.source, sample_rate=rate)
        return values, asteroid.our_parameters(content, found.source)
    separator, model = _find(found)
    if sample_rate and found.sample_rate and sample_rate != found.sample_rate:
        raise InputError(f"{path}: its sample rate is {found.sample_rate} Hz, not --sample_rate {sample_rate}")
    values = _config(found, model, sample_rate or found.sample_rate)
    return {"separator": separator, **values}, _parameters(found, model, values.get("separator_conf", {}))


def _is(model: PublicModel, found: PublicCheckpoint) -> bool:
    if model.form != found.form:
        return False
    return {*model.marks} <= found.arguments.keys() if model.marks else model.name == found.name


def _find(found: PublicCheckpoint) -> tuple[str, PublicModel]:
    of_the_form = [(separator, model) for separator, model in public_models() if model.form == found.form]
    for separator, model in of_the_form:
        if _is(model, found):
            return separator, model
    known = [model.name for _, model in of_the_form]
    what = f"model '{found.name}'" if found.name else "model with these arguments"
    raise InputError(
        f"{found.source}: no {what} here{near(found.name, known)}; known of this form: {', '.join(known) or 'none'}"
    )


def _config(found: PublicCheckpoint, model: PublicModel, sample_rate: int | None) -> dict[str, Any]:
    shapes = {name: value.shape for name, value in found.state.items()}
    theirs = Arguments(found.arguments, shapes, found.source, sample_rate)
    try:
        values = model.config(theirs)
    except (TypeError, ValueError, KeyError, IndexError, ZeroDivisionError) as error:  # a size that is no number, say
        raise InputError(f"{found.source}: its arguments are not those of a {model.name}: {error}") from error
    theirs.refuse_rest()
    return values


def _parameters(found: PublicCheckpoint, model: PublicModel, options: dict[str, Any]) -> dict[str, np.ndarray]:
    rules = model.names(options)
    parameters: dict[str, np.ndarray] = {}
    for name, value in found.state.items():
        if any(matches(pattern, name) for pattern in model.ignore):
            continue
        ours = to_ours(name, rules)
        if ours is None:
            raise InputError(f"{found.source}: parameter {name} does not belong to a {model.name}")
        if ours in parameters:
            raise InputError(f"{found.source}: two parameters become {ours}; the second is {name}")
        parameters[ours] = value
    return parameters
