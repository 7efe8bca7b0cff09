"""A public model by its name becomes an experiment in our cache, once; a second call only finds it."""

import logging
from pathlib import Path

from mindaudio_ext.convert.public_files import MissingFile
from mindaudio_ext.errors import InputError
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.files import parse_json
from mindaudio_ext.hub.cache import converted_cache, find_snapshot, note_revision, public_caches, revisions
from mindaudio_ext.hub.fetch import fetch
from mindaudio_ext.hub.name import HubName

USUAL_RATE = 8000  # Hz, of Asteroid's models that do not say it
log = logging.getLogger(__name__)


def public_model(text: str, *, sample_rate: int | None = None, device_target: str | None = None) -> Path:
    """Returns the experiment of a public model, converted if that was not done before, and tells its licence.

    It is looked up in the caches of Hugging Face and Asteroid, then in ours; only when it is in none is it fetched.

    Args:
        text: `hf:ORG/NAME` or `hf:ORG/NAME@REVISION`.
        sample_rate: Hz, for a model that does not say it.
        device_target: what MindSpore is set up for when there is something to convert; None for the CPU.

    Raises:
        InputError: there is no such model, it cannot be fetched or read, or it has no equal here.
    """
    name = HubName.parse(text)
    expdir, problem = None, _not_cached(name)
    for cache in public_caches():
        snapshot = find_snapshot(cache, name)
        if snapshot is None or expdir is not None:
            continue
        try:
            expdir = _converted(name, snapshot, sample_rate, device_target)
        except MissingFile as error:  # a download that was broken off
            problem = str(error)
    expdir = expdir or find_snapshot(converted_cache(), name)
    if expdir is None:
        expdir = _converted(name, fetch(name, problem), sample_rate, device_target)
    note_revision(converted_cache(), name, expdir.name)
    if sample_rate and Experiment(expdir).read_config().sample_rate != sample_rate:
        raise InputError(f"{expdir}: was converted with another --sample_rate; remove it to convert it anew")
    log.info("%s: %s", name, _terms(expdir))
    return expdir


def _not_cached(name: HubName) -> str:
    """Returns why a model is not found on this machine."""
    for cache in public_caches():
        there = revisions(cache, name)
        if there:
            return f"{cache} has no revision {name.revision or 'main'} of it, but {', '.join(there[:8])}"
    return f"is not in {' or '.join(map(str, public_caches()))}"


def _converted(name: HubName, snapshot: Path, sample_rate: int | None, device_target: str | None) -> Path:
    """Returns the experiment of a model that lies in a folder of a cache; makes it if it is not there."""
    expdir = converted_cache() / name.folder / "snapshots" / snapshot.name
    if Experiment(expdir).has_config:
        return expdir
    from mindaudio_ext.device import set_up_device

    set_up_device(device_target or "CPU")
    from mindaudio_ext.convert.card import read_card
    from mindaudio_ext.convert.public import convert_public
    from mindaudio_ext.convert.transfer import write_experiment

    log.info("%s: is converted, once, into %s", name, expdir)
    values, parameters = convert_public(snapshot, sample_rate=sample_rate, usual_rate=USUAL_RATE)
    card = read_card(snapshot)
    source = f"hf:{name.repository}@{snapshot.name}"
    write_experiment(
        expdir, values, parameters, source=source, facts=card.facts(), card=card.rewritten(source, values["separator"])
    )
    return expdir


def _terms(expdir: Path) -> str:
    """Returns licence and training data of a converted model, in a line."""
    facts = parse_json(Experiment(expdir).facts.read_text(encoding="utf-8"))
    licence, data = facts.get("licence"), facts.get("training_data")
    terms = f"licence {licence}" if licence else "its files state no licence"
    trained = f"trained on {', '.join(data)}" if data else "its files do not say on what it was trained"
    return f"{terms}, {trained}; its card is {Experiment(expdir).card}"
