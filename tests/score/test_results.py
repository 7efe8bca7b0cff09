"""RESULTS.md: intervals and means of values known beforehand, and where they come from."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mindaudio_ext.config import load_config
from mindaudio_ext.errors import InputError
from mindaudio_ext.score.results import bootstrap_interval, git_hash, set_table, summarise, write_results
from mindaudio_ext.score.score import SetScores, SourceScore

BASE = Path(__file__).parents[2] / "conf" / "base.yaml"
# Utterance means of SI-SNRi: 3, -1, 7, 3. Mixtures: 0 each but the last, -3.
ROWS = (
    SourceScore("a", 1, 2.0, 2.0),
    SourceScore("a", 2, 4.0, 4.0),
    SourceScore("b", 1, -3.0, -3.0),
    SourceScore("b", 2, 1.0, 1.0),
    SourceScore("c", 1, 7.0, 7.0),
    SourceScore("c", 2, 7.0, 7.0),
    SourceScore("d", 1, 0.0, 3.0),
    SourceScore("d", 2, 0.0, 3.0),
)
SCORES = SetScores("test", 4, ROWS, "mini, min mode", "best.ckpt, sha256 0123")


def test_interval_of_a_large_sample_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(5, 2, size=1000)
    low, high = bootstrap_interval(values)
    half = 1.959964 * values.std() / np.sqrt(1000)
    assert low == pytest.approx(values.mean() - half, abs=0.01)
    assert high == pytest.approx(values.mean() + half, abs=0.01)


def test_interval_of_two_values_is_their_range():
    # A resample of two is (low, low), mixed or (high, high) with 1/4, 1/2, 1/4: the 2.5 % quantile is the lower value.
    assert bootstrap_interval(np.array([1.0, 3.0])) == (1.0, 3.0)
    assert bootstrap_interval(np.array([1.0, 3.0]), level=0.4) == (2.0, 2.0)


def test_interval_is_the_same_each_time():
    values = np.arange(30.0)
    assert bootstrap_interval(values) == bootstrap_interval(values)


def test_interval_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        bootstrap_interval(np.array([]))


def test_summary_weighs_utterances():
    summary = summarise(SCORES)
    assert (summary.n_scored, summary.n_utts) == (4, 4)
    assert summary.si_snr == pytest.approx((3 - 1 + 7 + 0) / 4)
    assert summary.si_snri == pytest.approx((3 - 1 + 7 + 3) / 4)
    assert summary.median == 3.0
    assert summary.share_worse == 0.25
    assert summary.interval[0] < 3.0 < summary.interval[1]
    assert summary.sdr is None


def test_table_has_the_mixture_and_the_model():
    lines = set_table(SCORES, summarise(SCORES))
    low, high = bootstrap_interval(np.array([3.0, -1.0, 7.0, 3.0]))
    assert lines[0] == "## Test set `test`: 4 scored of 4"
    assert lines[6] == "| unprocessed mixture | 4 of 4 | -0.75 | 0.00 | - | - | - |"
    assert lines[7] == f"| model | 4 of 4 | 2.25 | 3.00 | {low:.2f} to {high:.2f} | 3.00 | 25.0 % |"


def test_table_with_sdr():
    rows = (SourceScore("a", 1, 2.0, 2.0, 5.0, 4.0), SourceScore("a", 2, 2.0, 2.0, 6.0, 4.0))
    scores = SetScores("x", 1, rows)
    lines = set_table(scores, summarise(scores))
    assert lines[4].endswith("| SDR | SDRi |")
    assert lines[6].endswith("| 1.50 | 0.00 |")
    assert lines[7].endswith("| 5.50 | 4.00 |")


def test_results_say_what_was_run(tmp_path):
    expdir = tmp_path / "mini"
    expdir.mkdir()
    (expdir / "model.json").write_text(json.dumps({"parameters": 1234567, "epoch": 9}))
    config = load_config(BASE, None, ["seed=7 sample_rate=16000"])
    write_results(expdir, config, [SCORES], command_line="./run.sh")
    text = (expdir / "RESULTS.md").read_text()
    assert text.startswith("# Results: mini\n")
    for fact in (
        "- command: `./run.sh`",
        "- seed: 7",
        "- signals: 16000 Hz, 2 sources",
        "- parameters: 1 234 567",
        "- best epoch: 9",
        "- device: CPU",
        "chunk_size 250",
        "mindaudio-ext 0.1.0",
        "## Test set `test`: 4 scored of 4",
        "Corpus: mini, min mode. Checkpoint: best.ckpt, sha256 0123.",
    ):
        assert fact in text


def test_broken_model_facts_are_named(tmp_path):
    (tmp_path / "model.json").write_text('{"parameters": ')
    with pytest.raises(InputError, match=r"model\.json: not what training writes"):
        write_results(tmp_path, load_config(BASE, None), [SCORES], command_line="x")


def test_git_hash_of_a_clean_a_changed_and_no_work_tree(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "file.py").write_text("1\n")
    assert git_hash(folder) == "unknown"
    git("init", "-q")
    assert git_hash(folder) == "unknown"  # not tracked
    git("add", ".")
    git("commit", "-q", "-m", "first")
    assert git_hash(folder) == git("rev-parse", "--short", "HEAD")
    (folder / "file.py").write_text("2\n")
    assert git_hash(folder) == git("rev-parse", "--short", "HEAD") + "+changes"
