"""RESULTS.md: intervals and means of values known beforehand, and where they come from."""

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from mindaudio_ext.config import load_config
from mindaudio_ext.errors import InputError
from mindaudio_ext.score.results import git_hash, score_table, set_section, write_results
from mindaudio_ext.score.score import SetScores, UtteranceScores
from mindaudio_ext.score.summary import summarise
from mindaudio_ext.score.windows import WindowCounts

BASE = Path(__file__).parents[2] / "conf" / "base.yaml"


def utterance(key, estimates, mixtures, **more):
    return UtteranceScores(key, 5.0, 1.0, "f m", {"si_snr": estimates, **more}, {"si_snr": mixtures, **more})


# Utterance means of SI-SNRi: 3, -1, 7, 3. Mixtures: 0 each but the last, -3.
UTTERANCES = (
    utterance("a", (2.0, 4.0), (0.0, 0.0)),
    utterance("b", (-3.0, 1.0), (0.0, 0.0)),
    utterance("c", (7.0, 7.0), (0.0, 0.0)),
    utterance("d", (0.0, 0.0), (-3.0, -3.0)),
)
SCORES = SetScores("test", 4, UTTERANCES, "mini, min mode", "best.ckpt, sha256 0123")


def test_section_has_the_mixture_and_the_model():
    lines = set_section(SCORES)
    low, high = summarise(SCORES).improvements["si_snr"].interval
    assert lines[0] == "## Test set `test`: 4 scored of 4"
    assert lines[6] == "| unprocessed mixture | 4 of 4 | -0.75 | 0.00 | - | - | - |"
    assert lines[7] == f"| model | 4 of 4 | 2.25 | 3.00 | {low:.2f} to {high:.2f} | 3.00 | 25.0 % |"
    assert f"| sexes | f + m | 4 | 3.00 | {low:.2f} to {high:.2f} | 3.00 | 25.0 % |" in lines


def test_table_with_all_metrics():
    names = ("sdr", "sir", "sar", "stoi", "pesq")
    estimates = {name: (value, value + 1) for name, value in zip(names, (5.0, 6.0, 7.0, 0.5, 2.0))}
    mixtures = {name: (value, value + 1) for name, value in zip(names, (1.0, 1.0, 60.0, 0.2, 1.0))}
    one = UtteranceScores("a", 5.0, 1.0, None, {"si_snr": (2.0, 2.0), **estimates}, {"si_snr": (0.0, 0.0), **mixtures})
    scores = SetScores("x", 1, (one,))
    heads, _, mixture, model = score_table(summarise(scores))
    assert heads.endswith("| SI-SNRi below 0 | SDR | SDRi | SIR | SAR | STOI | PESQ |")
    assert mixture.endswith("| - | 1.50 | 0.00 | 1.50 | 60.50 | 0.700 | 1.50 |")
    assert model.endswith("| 0.0 % | 5.50 | 4.00 | 6.50 | 7.50 | 1.000 | 2.50 |")
    told = [line.split(" | ")[0][2:] for line in set_section(scores)[11:22]]
    # A mixture has no artifacts to do away with: there is no SARi.
    assert told == ["SI-SNR", "SI-SNRi", "SDR", "SDRi", "SIR", "SIRi", "SAR", "STOI", "STOIi", "PESQ", "PESQi"]


def test_section_of_the_reference_protocol_says_what_it_is_of():
    windows = tuple(dataclasses.replace(one, key=f"{one.key}_0000000") for one in UTTERANCES)
    scores = SetScores("test_reference", 5, windows, windows=WindowCounts(9, 4, 5, 1))
    lines = set_section(scores)
    assert lines[0] == "## Test set `test_reference`, reference protocol: 4 scored of 5"
    assert "of the mixtures of 4 to 12 s, 4 of 9;" in lines[2]
    assert "cannot be scored: 1." in lines[2]


def test_results_say_what_was_run(tmp_path):
    expdir = tmp_path / "mini"
    expdir.mkdir()
    (expdir / "model.json").write_text(json.dumps({"parameters": 1234567, "epoch": 9, "devices": 2}))
    config = load_config(BASE, None, ["seed=7 sample_rate=16000"])
    epochs = [{"audio_seconds_per_second": speed} for speed in (1.0, 6.5, None, 7.0)]
    (expdir / "history.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))
    noted = {"audio_seconds": 200, "seconds": 50, "peak_memory": 7e8, "device": "CPU (x)"}
    (expdir / "separated_test").mkdir()
    (expdir / "separated_test/decode.json").write_text(json.dumps({**noted, "multiply_adds_per_second": 41.25e9}))
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
        "- training speed: 3.25 s of audio a second and device, on 2, the median of the epochs",
        "- multiply-adds: 41.25 G per second of audio",
        "- separating `test`: RTF 0.250 (200 s of audio in 50 s) and peak memory 700 MB a process, on CPU (x)",
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


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("history.jsonl", '{"epoch": 1}\n', "not what training writes"),
        ("separated_test/decode.json", '{"audio_seconds": 0}', "not what stage 3 writes"),
    ],
)
def test_broken_notes_are_named(tmp_path, file, text, words):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=f"{file}: {words}"):
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
