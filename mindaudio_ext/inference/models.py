"""The models that come with the package: where they are, and what their cards say of them. MindSpore is not imported.

A model is a folder like an experiment's. Its card, README.md, begins with YAML between two lines of `---`,
as on Hugging Face: `license`, `datasets`, and `si_snri`, of whole utterances in dB.
"""

import dataclasses
from pathlib import Path

import yaml

from mindaudio_ext.experiment import Experiment

PRETRAINED = Path(__file__).parents[1] / "pretrained"  # experiments that come with the package, by name


@dataclasses.dataclass(frozen=True)
class Model:
    """A model that can be chosen.

    Attributes:
        name: what users call it.
        num_spks: voices it gives.
        sample_rate: Hz.
        si_snri: dB, on the test set of its card; None where no card says it.
        licence: of its weights; None where no card says it.
    """

    name: str
    num_spks: int
    sample_rate: int
    si_snri: float | None
    licence: str | None


def built_in() -> dict[str, Path]:
    """Returns the folders of the models in the package, by name."""
    return {path.name: path for path in sorted(PRETRAINED.glob("*")) if Experiment(path).has_config}


def describe(expdir: Path) -> Model:
    """Returns what an experiment's config and card say of its model; raises InputError when it is none."""
    experiment = Experiment(expdir)
    config, card = experiment.read_config(), read_card(expdir)
    return Model(experiment.name, config.num_spks, config.sample_rate, card.get("si_snri"), card.get("license"))


def read_card(expdir: Path) -> dict:
    """Returns the YAML at the beginning of a model's card; an empty one when there is none."""
    file = expdir / "README.md"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if not text.startswith("---\n"):
        return {}
    values = yaml.safe_load(text.split("---\n")[1])
    return values if isinstance(values, dict) else {}


def table() -> str:
    """Returns the models in the package as a table for a terminal."""
    rows = [("name", "speakers", "kHz", "SI-SNRi, dB", "licence")]
    for expdir in built_in().values():
        model = describe(expdir)
        gain = "-" if model.si_snri is None else f"{model.si_snri:.2f}"
        rate = f"{model.sample_rate / 1000:g}"
        rows.append((model.name, str(model.num_spks), rate, gain, model.licence or "-"))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
