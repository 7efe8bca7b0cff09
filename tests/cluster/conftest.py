"""A Slurm for the tests of a module, and a limit for each of them: nothing here waits for ever."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

TEST_SECONDS = 600  # many times what a test takes, also on a machine that does much else


def run_manager(action, folder, *more):
    subprocess.run([Path(__file__).parent / "start_slurm.sh", action, folder, *more], check=True, timeout=200)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The folder of a Slurm with two nodes; `slurm.conf` is in it."""
    folder = tmp_path_factory.mktemp("slurm")
    try:
        run_manager("start", folder, "2")
        yield folder
    finally:
        run_manager("stop", folder)


@pytest.fixture
def manage():
    """Calls start_slurm.sh: `manage("node", folder, "1")`."""
    return run_manager


@pytest.fixture(autouse=True)
def limit(request):
    """Fails a test that waits for a job that does not start or does not end."""

    def stop(*_):
        pytest.fail(f"{request.node.name}: not done within {TEST_SECONDS} s", pytrace=True)

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def wait_for():
    """Waits until a condition holds; after five minutes the test fails and says for what it waited."""

    def wait(condition, what, seconds=300):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"{what}: not within {seconds} s")
            time.sleep(0.1)

    return wait
