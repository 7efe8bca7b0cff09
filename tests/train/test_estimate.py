"""What training is expected to take in memory, against what was measured."""

import math
from pathlib import Path

import pytest

from mindaudio_ext.config import load_config
from mindaudio_ext.train import estimate
from mindaudio_ext.train.estimate import expected_memory, free_memory

ROOT = Path(__file__).parents[2]
BASE = ROOT / "conf/base.yaml"


def measured():
    """Gives the rows of the table in docs/benchmarks.md: what was varied, GiB kept, GiB with recompute."""
    text = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    table = text[text.index("| blocks |") :].split("\n\n")[0].splitlines()
    names = [cell.strip() for cell in table[0].strip("|").split("|")]
    for line in table[2:]:
        yield dict(zip(names, (float(cell.replace("GiB", "")) for cell in line.strip("|").split("|"))))


@pytest.mark.parametrize("recompute", ["false", "true"])
@pytest.mark.parametrize("row", list(measured()), ids=lambda row: "-".join(f"{v:g}" for v in list(row.values())[:7]))
def test_memory_is_as_measured(row, recompute):
    options = (
        f"n_filters=64 kernel_size={row['kernel']:.0f} segment={row['segment']} recompute={recompute} "
        f"separator_conf.bottleneck_size={row['width']:.0f} separator_conf.hidden_size={row['hidden']:.0f} "
        f"separator_conf.chunk_size={row['chunk']:.0f} separator_conf.n_blocks={row['blocks']:.0f}"
    )
    config = load_config(BASE, None, [options])
    expected = expected_memory(config, round(row["batch"]))
    assert expected == pytest.approx(row["recompute" if recompute == "true" else "kept"], rel=0.15)


def test_memory_of_what_was_not_measured():
    assert expected_memory(load_config(BASE, None, ["separator=tcn"]), 2) is None
    assert expected_memory(load_config(BASE, None, ["device_target=Ascend"]), 2) is None
    assert expected_memory(load_config(BASE, None, ["separator_conf.rnn_type=GRU"]), 2) is None
    assert expected_memory(load_config(BASE, None, ["mixed_precision=true"]), 2) is None


def test_free_memory(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal:  4194304 kB\nMemAvailable:  3145728 kB\n", encoding="ascii")
    monkeypatch.setattr(estimate, "MEMINFO", tmp_path / "meminfo")
    assert free_memory() == 3.0
    monkeypatch.setattr(estimate, "MEMINFO", tmp_path / "none")
    assert free_memory() == math.inf
