"""The benchmarks run; what they measure is no test."""

import importlib.util
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


def test_the_last_run_is_read_and_a_worse_one_is_told(monkeypatch):
    spec = importlib.util.spec_from_file_location("against_asteroid", BENCH / "against_asteroid.py")
    bench = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "against_asteroid", bench)  # where dataclasses look
    spec.loader.exec_module(bench)
    step = bench.Row("training step", "s", ((0.8, 1.0), (0.9, 1.0), (1.2, 1.0)))
    memory = bench.Row("peak memory, training", "MB", ((300.0, 200.0),))
    head = "| | ours | Asteroid | ratio |\n|---|---|---|---|"
    text = f"### dprnn-k2\n\n{memory}\n\n### dprnn-k16\n\n{head}\n{step}\n\n## More\n"
    assert bench.last_ratios(text, "dprnn-k16") == {"training step": "0.90 (0.80 to 1.20)"}
    assert bench.last_ratios(text, "dprnn-k2") == {"peak memory, training": "1.50"}
    assert bench.last_ratios(text, "convtasnet") == {}
    assert not step.is_worse("0.60 (0.50 to 0.75)")  # 0.8 is not more than a tenth above 0.75
    assert step.is_worse("0.60 (0.50 to 0.72)")
    assert memory.is_worse("1.30")
    assert not memory.is_worse("1.45")


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


@pytest.mark.slow
def test_two_models():
    """One block of DPRNN beside two."""
    conf, key = BENCH.parents[1] / "conf/mini.yaml", "separator_conf.n_blocks"
    options = ["--first", f"{key}=1", "--second", f"{key}=2", "--seconds", "0.5", "--segment", "0.5", "--rounds", "2"]
    command = [sys.executable, BENCH / "two_models.py", conf, conf, *options]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = re.findall(r"^\| (.*?) \| [\d.]+ s \| [\d.]+ s \| [\d.]+ \(", result.stdout, re.MULTILINE)
    assert rows == ["separating 0.5 s", "a step of 2 x 0.5 s"]
