"""A Slurm for the tests of a module."""

import subprocess
from pathlib import Path

import pytest


def manage(action, folder, *more):
    subprocess.run([Path(__file__).parent / "start_slurm.sh", action, folder, *more], check=True, timeout=120)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The folder of a Slurm with two nodes; `slurm.conf` is in it."""
    folder = tmp_path_factory.mktemp("slurm")
    try:
        manage("start", folder, "2")
        yield folder
    finally:
        manage("stop", folder)
