"""The card of a published model: its licence, what it was trained on, and its text, kept beside what becomes of it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mindaudio_ext import __version__
from mindaudio_ext.convert.public_files import SINGLE_FILES, is_public
from mindaudio_ext.convert.torch_file import read_torch_file


@dataclass(frozen=True)
class Card:
    """What a published model says of itself.

    Attributes:
        licence: None when no file states it.
        training_data: names of data sets.
        text: its README.md, without the values at its top.
    """

    licence: str | None
    training_data: tuple[str, ...]
    text: str

    def facts(self) -> dict[str, Any]:
        """Returns licence and training data for model.json."""
        return {"licence": self.licence, "training_data": list(self.training_data)}

    def rewritten(self, source: str, separator: str) -> str:
        """Returns the card of the converted model, in Markdown.

        Args:
            source: the published model, with its revision.
            separator: ours that it is.
        """
        rows = {
            "converted from": source,
            "by": f"mindaudio_ext {__version__}",
            "separator": separator,
            "licence": self.licence or "not stated in its files",
            "training data": ", ".join(self.training_data) or "not stated in its files",
        }
        table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
        text = self.text.strip() or "It was published without one."
        return (
            f"# {source}\n\nThe parameters are its authors'; so is the licence, which holds for this folder too.\n\n"
            f"| | |\n|---|---|\n{table}\n\n## The card it was published with\n\n{text}\n"
        )


def read_card(folder: Path) -> Card:
    """Reads the card of a published model: README.md, and what Asteroid keeps in the file of the parameters."""
    file = folder / "README.md"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    values, text = _split(text)
    licences, data = _texts(values.get("license_name") or values.get("license")), _texts(values.get("datasets"))
    for single in SINGLE_FILES:
        if (folder / single).is_file() and not (licences and data):
            content = read_torch_file(folder / single)
            if is_public(content):
                licences = licences or _texts(content.get("licenses"))
                data = data or _texts(content.get("dataset"))
    return Card(", ".join(licences) or None, tuple(data), text)


def _split(text: str) -> tuple[dict[str, Any], str]:
    """Returns the values between the lines `---` at the top of a card, and the rest."""
    match = re.match(r"\A---\r?\n(.*?)\r?\n---\r?\n(.*)", text, flags=re.DOTALL)
    if match is None:
        return {}, text
    try:
        values = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}, text
    return (values, match[2]) if isinstance(values, dict) else ({}, text)


def _texts(value: Any) -> list[str]:
    """Returns the texts of one or several; of a licence as Asteroid keeps it, its name and whether it forbids sale."""
    items = value if isinstance(value, (list, tuple)) else [value]
    texts = []
    for item in items:
        if isinstance(item, dict):
            name = str(item.get("license") or item.get("title") or "")
            item = f"{name} (non-commercial)" if name and item.get("non_commercial") else name
        if item:
            texts.append(" ".join(str(item).split())[:200])
    return texts
