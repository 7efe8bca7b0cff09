"""Names of public models: `hf:ORG/NAME`, or `hf:ORG/NAME@REVISION` for a commit, tag or branch."""

import re
from dataclasses import dataclass

from mindaudio_ext.errors import InputError, shown

PREFIX = "hf:"
DEFAULT_REVISION = "main"
_WORD = r"(?!.*(?:\.\.|--))[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REVISION = r"(?!.*\.\.)[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,198}[A-Za-z0-9_])?"


@dataclass(frozen=True)
class HubName:
    """A public model's name.

    Attributes:
        organisation: whose it is.
        name: among theirs.
        revision: a commit, tag or branch; None for the default branch.
    """

    organisation: str
    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> "HubName":
        """Reads a name; raises InputError when it is none."""
        organisation, slash, rest = text.removeprefix(PREFIX).partition("/")
        name, at, revision = rest.partition("@")
        words = re.fullmatch(_WORD, organisation) and slash and re.fullmatch(_WORD, name)
        if not words or (at and not re.fullmatch(_REVISION, revision)):
            raise InputError(f"{shown(text)}: is no name of a public model; write hf:ORG/NAME or hf:ORG/NAME@REVISION")
        return cls(organisation, name, revision or None)

    @property
    def repository(self) -> str:
        """How the hub calls it."""
        return f"{self.organisation}/{self.name}"

    @property
    def folder(self) -> str:
        """The name of its folder in a cache."""
        return f"models--{self.organisation}--{self.name}"

    def __str__(self) -> str:
        return f"{PREFIX}{self.repository}{f'@{self.revision}' if self.revision else ''}"


def is_hub_name(model: object) -> bool:
    """Tells whether a user's model is a public one's name."""
    return isinstance(model, str) and model.startswith(PREFIX)
