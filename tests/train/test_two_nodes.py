"""Two machines, each a network namespace with a cable between them: on one host both would start a scheduler."""

import json
import os
import subprocess
from collections.abc import Iterator

import pytest
from test_launch import ENVIRONMENT, processes_of, words

pytestmark = [pytest.mark.needs("network_namespaces"), pytest.mark.slow]


@pytest.fixture(scope="module")
def machines() -> Iterator[list[str]]:
    """Names of namespaces with the addresses 10.77.0.1 and 10.77.0.2."""
    names = [f"mx{os.getpid()}_{i}" for i in range(2)]
    cable = [f"mx{os.getpid() % 10**6}_{i}" for i in range(2)]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", cable[0], "type", "veth", "peer", "name", cable[1])
        for i, name in enumerate(names):
            ip("link", "set", cable[i], "netns", name)
            ip("-n", name, "address", "add", f"10.77.0.{i + 1}/24", "dev", cable[i])
            ip("-n", name, "link", "set", cable[i], "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def run_on(machines, tmp_path, *program):
    """Returns exit status and stderr of both machines' launchers."""
    options = ["--num_nodes", "2", "--master_addr", "10.77.0.1", "--master_port", "8118"]
    launchers = []
    for i, name in enumerate(machines):
        command = words(tmp_path / f"log_{i}", *program, ngpu=1 if program == ("part",) else 2)
        command[3:3] = [*options, "--node_rank", str(i)]
        launchers.append(
            subprocess.Popen(
                ["ip", "netns", "exec", name, *command], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
            )
        )
    lines = [launcher.communicate(timeout=600)[1] for launcher in launchers]
    assert processes_of(tmp_path) == []
    return [launcher.returncode for launcher in launchers], lines


def test_ranks_of_two_machines_agree_and_average(machines, tmp_path):
    """Factors 1 to 4 of one matrix; losses 3, 5, 7, 9."""
    statuses, lines = run_on(machines, tmp_path, "agree", tmp_path)
    assert statuses == [0, 0], lines
    for rank in range(4):
        result = json.loads((tmp_path / f"{rank}.json").read_text())
        assert (result["rank"], result["loss"]) == (rank, 6)
        assert result["means"][0] == [[2.5, 5, 7.5], [10, 12.5, 15]]
        assert result["gathered"] == [[0, 0.1], [1, 1.1], [2, 2.1], [3, 3.1]]


def test_a_rank_that_ends_on_one_machine_ends_the_other(machines, tmp_path):
    statuses, lines = run_on(machines, tmp_path, "part")
    assert statuses == [1, 1]
    assert f"rank 1 ended with exit status 3; its log: {tmp_path}/log_1/node_1/worker_1.log" in lines[1]
    assert "rank 1 has ended, and so does this one" in lines[0]
    assert f"rank 0 ended with exit status 1; its log: {tmp_path}/log_0/node_0/worker_0.log" in lines[0]
