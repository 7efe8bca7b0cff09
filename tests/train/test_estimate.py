"""What training is expected to take in memory, against what was measured."""

from pathlib import Path

import psutil
import pytest

from mindaudio_ext.config import load_config
from mindaudio_ext.train.estimate import describe_expected, expected_memory, free_memory

ROOT = Path(__file__).parents[2]
BASE = ROOT / "conf/base.yaml"


def measured():
    """Returns the rows of the table in docs/benchmarks.md: what was varied, GiB kept, GiB with recompute."""
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


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("epochs=3", "about"),
        ("optimizer=muon", "at least"),
        ("dynamic_mixing=true", "at least"),
        ("ema_decay=0.9", "at least"),
        ("conversations=true loss=pit_thresholded_snr", "at least"),
    ],
)
def test_what_takes_more_than_was_measured_is_said_to(option, words):
    assert describe_expected(2.24, load_config(BASE, None, [option])) == f"{words} 2.2 GiB"


def test_free_memory(tmp_path, monkeypatch):
    amounts = {"MemTotal": 4194304, "MemFree": 1048576, "MemAvailable": 3145728, "Buffers": 0, "Cached": 2097152}
    lines = [f"{name}: {kilobytes} kB" for name, kilobytes in amounts.items()]
    (tmp_path / "meminfo").write_text("\n".join(lines) + "\n", encoding="ascii")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    with pytest.warns(RuntimeWarning, match="memory stats"):
        assert free_memory() == 3.0
