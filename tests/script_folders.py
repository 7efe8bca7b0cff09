"""Copies of the folders of scripts, for tests that run them elsewhere."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]


def copy_scripts(name: str, target: Path) -> None:
    """Copies the files of a folder of the root, without its folders: in tools/ some are environments of gigabytes."""
    (target / name).mkdir(parents=True)
    for path in (ROOT / name).iterdir():
        if path.is_file():
            shutil.copy(path, target / name)
