"""Where public models lie on this machine: Hugging Face's cache, Asteroid's, and ours of those that were converted.

All have one layout: `models--ORG--NAME/snapshots/<commit>/` holds a model, `refs/<revision>` the commit of a branch.
"""

import os
import re
from pathlib import Path

from mindaudio_ext.files import listed, write_text
from mindaudio_ext.hub.name import DEFAULT_REVISION, HubName


def _variable(name: str, default: Path) -> Path:
    return Path(os.environ.get(name) or default).expanduser()


def cache_home() -> Path:
    """Returns the user's folder for caches, `XDG_CACHE_HOME`."""
    return _variable("XDG_CACHE_HOME", Path("~/.cache"))


def public_caches() -> list[Path]:
    """Returns the folders in which public models may be as they were published."""
    hub = _variable("HF_HOME", cache_home() / "huggingface") / "hub"
    hub = _variable("HF_HUB_CACHE", _variable("HUGGINGFACE_HUB_CACHE", hub))
    return [hub, _variable("ASTEROID_CACHE", Path("~/.cache/torch/asteroid"))]


def converted_cache() -> Path:
    """Returns our folder, of experiments."""
    return cache_home() / "mindaudio_ext" / "hub"


def find_snapshot(cache: Path, name: HubName) -> Path | None:
    """Returns the folder of a model's revision in a cache; None when it is not there."""
    folder = cache / name.folder
    ref = folder / "refs" / (name.revision or DEFAULT_REVISION)
    commit = name.revision
    if ref.is_file():
        commit = ref.read_text(encoding="utf-8", errors="replace").strip()
    elif commit is None:  # a cache that was copied in part
        found = _commits(folder)
        commit = found[0] if len(found) == 1 else None
    if not commit or not re.fullmatch(r"\w[\w.-]*", commit):
        return None
    snapshot = folder / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def revisions(cache: Path, name: HubName) -> list[str]:
    """Returns what a cache has of a model: branches and tags, then commits."""
    refs = cache / name.folder / "refs"
    named = sorted(path.relative_to(refs).as_posix() for path in refs.rglob("*") if path.is_file())
    return [*named, *_commits(cache / name.folder)]


def _commits(folder: Path) -> list[str]:
    return [path.name for path in listed(folder / "snapshots", "[!.]*") if path.is_dir()]


def note_revision(cache: Path, name: HubName, commit: str) -> None:
    """Notes in a cache which commit a revision is."""
    revision = name.revision or DEFAULT_REVISION
    ref = cache / name.folder / "refs" / revision
    if revision != commit and not (ref.is_file() and ref.read_text(encoding="utf-8").strip() == commit):
        write_text(ref, commit)
