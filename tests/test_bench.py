"""The benchmarks run; what they measure is no test."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "tools" / "bench"


@pytest.mark.slow
@pytest.mark.needs("asteroid")
def test_against_asteroid(tmp_path):
    """Both toolkits begin with the same loss, or the benchmark would have ended."""
    out = tmp_path / "table.md"
    options = ["--models", "tiny", "--rounds", "1", "--lengths", "2", "--out", out]
    subprocess.run([sys.executable, BENCH / "against_asteroid.py", *options], check=True)
    rows = [line for line in out.read_text().splitlines() if re.fullmatch(r"\| \w.*\| [\d.]+ \|", line)]
    assert len(rows) == 2 * 3 + 4


def test_against_asteroid_without_asteroid(tmp_path):
    copy = tmp_path / "tools" / "bench"
    copy.mkdir(parents=True)
    (copy / "against_asteroid.py").write_bytes((BENCH / "against_asteroid.py").read_bytes())
    result = subprocess.run([sys.executable, copy / "against_asteroid.py"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.endswith("is missing; tools/bench/setup_asteroid.sh makes it\n")
    assert result.stderr.count("\n") == 1


def test_on_ascend():
    """The reference's network has 6096 RNN steps in a row, forward, and 58 G multiply-adds a second of audio."""
    conf = BENCH.parents[1] / "egs/librimix/dprnn/conf/dprnn.yaml"
    result = subprocess.run(
        [sys.executable, BENCH / "on_ascend.py", conf, "--batch", "1"], check=True, capture_output=True, text=True
    )
    name, batch, operations, steps, *_ = result.stdout.splitlines()[-1].strip("| ").split(" | ")
    assert (name, batch, int(steps)) == ("dprnn", "1", 2 * 6096)
    assert float(operations) == pytest.approx(6 * 4 * 58e-3, rel=0.01)


@pytest.mark.slow
def test_data():
    options = ["--hours", "0.02", "--steps", "1"]
    result = subprocess.run([sys.executable, BENCH / "data.py", *options], check=True, capture_output=True, text=True)
    assert re.findall(r"^(dump, nj 1|loader|loader, dynamic mixing|training step)\b", result.stdout, re.MULTILINE) == [
        "dump, nj 1",
        *["loader"] * 2,
        "training step",
        *["loader"] * 2,
    ]


@pytest.mark.slow
def test_decode():
    options = ["--minutes", "0.2", "--nj", "1"]
    result = subprocess.run([sys.executable, BENCH / "decode.py", *options], check=True, capture_output=True, text=True)
    assert re.findall(r"^(decode|score): \d+ s of audio in", result.stdout, re.MULTILINE) == ["decode", "score"]


@pytest.mark.slow
def test_start():
    options = ["--seconds", "0.5", "--rounds", "1"]
    result = subprocess.run([sys.executable, BENCH / "start.py", *options], check=True, capture_output=True, text=True)
    rows = {line.split(" | ")[0]: re.findall(r"[0-9.]+ \(", line) for line in result.stdout.splitlines()[3:]}
    assert [len(cells) for cells in rows.values()] == [2] * 6
