"""The mini recipe, cut down: killed in every stage and run again, it ends with the files of an uninterrupted run."""

import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from mindaudio_ext.output_folder import MARK

ROOT = Path(__file__).parents[1]
SMALL = ["--n_train", "12", "--n_dev", "3", "--n_test", "3", "--utts_per_speaker", "2", "--stop_stage", "4"]
TINY = "epochs=2 segment=0.5 separator_conf.bottleneck_size=8 separator_conf.hidden_size=8 separator_conf.n_blocks=1"


def start(recipe: Path) -> subprocess.Popen:
    command = [ROOT / "run.sh", "--recipe", recipe, "--config", ROOT / "conf/mini.yaml", "--train_args", TINY, *SMALL]
    log = open(recipe / "log", "ab")  # noqa: SIM115
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def kill_at(recipe: Path, seen: str) -> bool:
    """Starts the recipe and kills the whole of it soon after a line of its log; False when it ended before."""
    before = len((recipe / "log").read_text()) if (recipe / "log").exists() else 0
    process = start(recipe)
    while process.poll() is None:
        if seen in (recipe / "log").read_text()[before:]:
            time.sleep(0.4)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.02)
    return False


def digests(recipe: Path) -> dict[str, str]:
    """What data, dump and score files hold; the recipe's own path, which scp files name, left out.

    Of a mark the names that it lists: the digests beside them are of scp files with that path.
    """
    files = [path for name in ("data", "dump") for path in (recipe / name).rglob("*") if path.is_file()]
    files += (recipe / "exp/mini").glob("scores_*.csv")
    files += (recipe / "exp/mini/separated_test").rglob("*.wav")
    return {str(path.relative_to(recipe)): hashlib.sha256(content_of(path, recipe)).hexdigest() for path in files}


def content_of(path: Path, recipe: Path) -> bytes:
    if path.name == MARK:
        return json.dumps(sorted(json.loads(path.read_bytes())["files"])).encode()
    return path.read_bytes().replace(str(recipe).encode(), b"")


@pytest.mark.slow
def test_killed_in_every_stage(tmp_path, request):
    """Under --all at seven moments, otherwise at three of them."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    assert start(whole).wait() == 0, (whole / "log").read_text()[-2000:]
    moments = ["stage 0: data prep", "mixtures of dev", "stage 1: MindRecord dump", "stage 2: train", "epoch 1 of 2"]
    moments += ["stage 3: decode", "stage 4: score"]
    for seen in moments if request.config.getoption("--all-required") else moments[2::2]:
        assert kill_at(killed, seen), f"it ended before '{seen}'"
    assert start(killed).wait() == 0, (killed / "log").read_text()[-2000:]
    assert digests(killed) == digests(whole)


@pytest.mark.slow
def test_two_processes_train_are_told_to_stop_and_go_on(tmp_path):
    command = [
        *(ROOT / "run.sh", "--recipe", tmp_path, "--config", ROOT / "conf/mini.yaml", *SMALL[:-2]),
        *("--stop_stage", "2", "--ngpu", "2", "--train_args", f"{TINY} batch_size=4 log_interval=1"),
    ]
    with open(tmp_path / "log", "ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while "epoch 1, step 2 of 3" not in (tmp_path / "log").read_text():
            assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
            time.sleep(0.1)
        process.terminate()
        assert process.wait() == 128 + signal.SIGTERM
        left = subprocess.run(["pgrep", "-f", f"mindaudio_ext.*{tmp_path}"], check=False, capture_output=True)
        assert left.stdout == b""
        again = [*command, "--stage", "2"]
        assert subprocess.run(again, stdout=log, stderr=log, check=False).returncode == 0
    experiment = tmp_path / "exp/mini"
    assert "going on after epoch" in (experiment / "train.log").read_text()
    assert [json.loads(line)["epoch"] for line in (experiment / "history.jsonl").open()] == [1, 2]
    assert "epoch 2 of 2" in (experiment / "log/worker_1.log").read_text()
