"""Caches of public models as huggingface_hub and Asteroid lay them out, made of files that are at hand."""

import hashlib
import shutil
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CARD = """---
license: cc-by-sa-4.0
datasets:
- Libri2Mix
- WHAM!
---
# A model

Trained by somebody; non-commercial.
"""


def add_model(cache, repository, files, *, commit=COMMIT, ref="main", card=CARD):
    """Puts a model into a cache: blobs, links to them in a snapshot, and a ref.

    Args:
        cache: the folder of the cache.
        repository: "ORG/NAME".
        files: a folder, or a file, which becomes pytorch_model.bin.
        commit: the snapshot's name.
        ref: what the commit is called; None for no ref.
        card: text of README.md; None for none.

    Returns:
        The snapshot's folder.
    """
    folder = Path(cache) / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    files = Path(files)
    paths = (
        {path.relative_to(files): path for path in files.rglob("*") if path.is_file()}
        if files.is_dir()
        else {Path("pytorch_model.bin"): files}
    )
    for name, path in paths.items():
        _link(folder, snapshot / name, path.read_bytes())
    if card is not None:
        _link(folder, snapshot / "README.md", card.encode())
    if ref:
        (folder / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (folder / "refs" / ref).write_text(commit)
    return snapshot


def _link(folder, path, content):
    blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(Path(*[".."] * len(path.parent.relative_to(folder).parts)) / "blobs" / blob.name)


def replace(snapshot, name, content):
    """Puts other content in a file's place; None takes away what its link leads to, as a broken-off download does."""
    path = Path(snapshot) / name
    if content is None:
        path.resolve().unlink()
        return
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def copy_tree(source, target):
    """Copies files that may be read only."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for path in [target, *target.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target
