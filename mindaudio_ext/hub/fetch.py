"""Fetches a public model by `huggingface_hub`, an optional package (the extra `hub`), into Hugging Face's cache."""

from pathlib import Path

from mindaudio_ext.errors import InputError
from mindaudio_ext.hub.name import HubName

# What the forms of `convert.public_files` are made of, and the card.
FILES = [
    "*.md", "*.yaml", "config.json", "encoder.ckpt", "masknet.ckpt", "decoder.ckpt", "pytorch_model.bin", "model.pth",
    "model.safetensors", "exp/*.pth",
]  # fmt: skip
# Errors of the package by their names, the narrower ones first: its modules change from version to version.
_PROBLEMS = {
    "GatedRepoError": "is only for those whom its authors let in; fetch it with huggingface-cli, logged in",
    "RevisionNotFoundError": "has no revision {revision}",
    "RepositoryNotFoundError": "no such model on the hub, or it is private",
    "OfflineModeIsEnabled": "HF_HUB_OFFLINE forbids to fetch it",
    "LocalEntryNotFoundError": "no connection to the hub",
}


def fetch(name: HubName, problem: str) -> Path:
    """Returns the folder of a model in Hugging Face's cache, which has been fetched.

    Args:
        name: of the model.
        problem: why what is in the caches does not do, for errors.

    Raises:
        InputError: it cannot be fetched.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise InputError(f'{name}: {problem}; to fetch it, pip install "mindaudio-ext[hub]"') from error
    try:
        return Path(snapshot_download(name.repository, revision=name.revision, allow_patterns=FILES))
    except Exception as error:  # of the package, of its HTTP library, or of the system
        raise InputError(f"{name}: {problem}; {_said(error, name)}") from error


def _said(error: Exception, name: HubName) -> str:
    kinds = [kind.__name__ for kind in type(error).__mro__]
    for kind, text in _PROBLEMS.items():
        if kind in kinds:
            return text.format(revision=name.revision)
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"it cannot be fetched: {first[:200]}"
