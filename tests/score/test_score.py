"""Scoring of sines: orthogonal over whole periods, so that every value is known."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scp_forms import to_archives, to_pipes

from mindaudio_ext.bin.score import main
from mindaudio_ext.config import load_config, save_config
from mindaudio_ext.errors import InputError
from mindaudio_ext.metrics._metric import Metric
from mindaudio_ext.registry import METRICS
from mindaudio_ext.score.score import score_set, write_scores

BASE = Path(__file__).parents[2] / "conf" / "base.yaml"
BSS_AND_STOI = ("si_snr", "sdr", "sir", "sar", "stoi")
RATE = T = 8000
TIME = np.arange(T) / RATE
SOURCES = np.stack([0.3 * np.sin(2 * np.pi * 50 * TIME), 0.15 * np.sin(2 * np.pi * 70 * TIME)])
ERROR = np.sin(2 * np.pi * 90 * TIME)
HALF = 20 * np.log10(2)  # the first source is twice the second: the mixture's SI-SNR is +6.02 and -6.02 dB


def _write(path, samples, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def _scp(path, entries):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{key} {value}\n" for key, value in entries))


def _data_dir(path, signals):
    """Writes a data directory: `signals` are by name (wav, spk1, ...) and key."""
    for name, samples in signals.items():
        _scp(
            path / f"{name}.scp", [(key, _write(path / name / f"{key}.wav", values)) for key, values in samples.items()]
        )
    _scp(path / "utt2num_samples", [(key, len(values)) for key, values in signals["wav"].items()])
    for name in ("utt2spk", "spk2utt"):
        _scp(path / name, [(key, key) for key in signals["wav"]])


@pytest.fixture
def made(tmp_path):
    """A test set of keys a, b and an experiment: a's estimates come in the wrong order, at 40 and 20 dB; b's at 0."""
    data, separated = tmp_path / "data" / "test", tmp_path / "exp" / "separated_test"
    good = np.stack([SOURCES[1] + 0.1 * 0.15 * ERROR, SOURCES[0] + 0.01 * 0.3 * ERROR])
    poor = SOURCES + np.array([[0.3], [0.15]]) * ERROR
    signals = {"wav": SOURCES.sum(0), "spk1": SOURCES[0], "spk2": SOURCES[1]}
    _data_dir(data, {name: {"a": samples, "b": samples} for name, samples in signals.items()})
    for source in (0, 1):
        folder = separated / "wav" / f"spk{source + 1}"
        lines = [(key, _write(folder / f"{key}.wav", est[source])) for key, est in (("a", good), ("b", poor))]
        _scp(separated / f"spk{source + 1}.scp", lines)
    save_config(load_config(BASE, None), tmp_path / "exp" / "config.yaml")
    return tmp_path


def _score(made, **options):
    arguments = {"separated_dir": made / "exp" / "separated_test", "data_dir": made / "data" / "test"}
    return score_set(**(arguments | {"num_spks": 2, "sample_rate": RATE} | options))


def test_scores_are_known_and_in_the_order_of_the_references(made):
    scores = _score(made)
    assert (scores.name, scores.n_utts) == ("test", 2)
    first, second = scores.utterances
    assert (first.key, second.key) == ("a", "b")
    np.testing.assert_allclose([first.estimates["si_snr"], second.estimates["si_snr"]], [[40, 20], [0, 0]], atol=1e-3)
    gains = [first.improvements("si_snr"), second.improvements("si_snr")]
    np.testing.assert_allclose(gains, [[40 - HALF, 20 + HALF], [-HALF, HALF]], atol=1e-3)
    assert scores.metrics == ("si_snr",)


def test_utterances_carry_what_they_are_broken_down_by(made):
    (made / "data/test/src2spk").write_text("a p q\nb q r\n")
    (made / "data/test/spk2gender").write_text("p m\nq f\n")
    first, second = _score(made).utterances
    assert (first.seconds, first.sexes, second.sexes) == (1.0, "f m", None)  # nothing is known of r
    assert first.level_difference == pytest.approx(HALF, abs=1e-3)


def test_pipes_and_archives_give_the_same_scores(made, capsys):
    folder = made / "data" / "test"
    for wav in folder.rglob("*.wav"):  # archives hold no floats
        samples = soundfile.read(wav)[0]
        soundfile.write(wav, samples, RATE, subtype="PCM_16")
    expected = _score(made)
    paths = {scp: scp.read_text() for scp in folder.glob("*.scp")}
    to_archives(folder)
    assert _score(made) == expected
    for scp, text in paths.items():
        scp.write_text(text)
    to_pipes(folder)
    arguments = ["--expdir", str(made / "exp"), "--data", str(folder)]
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "wav.scp: a: is a command" in capsys.readouterr().err
    assert _score(made, allow_pipes=True) == expected
    main([*arguments, "--allow_pipes", "true"])


def test_any_number_of_processes_gives_the_same_bytes(made, tmp_path):
    write_scores(_score(made), tmp_path / "one.csv")
    write_scores(_score(made, nj=2), tmp_path / "two.csv")
    text = (tmp_path / "one.csv").read_text()
    assert text == (tmp_path / "two.csv").read_text()
    header, *rows = text.splitlines()
    assert header == "key,source,si_snr,si_snri"
    assert len(rows) == 4
    assert all(re.fullmatch(r"[ab],[12],-?\d+\.\d{6},-?\d+\.\d{6}", row) for row in rows)


def test_three_speakers_in_a_cycle(tmp_path):
    sources = [np.sin(2 * np.pi * frequency * TIME) / 4 for frequency in (50, 70, 110)]
    signals = {"wav": sum(sources), "spk1": sources[0], "spk2": sources[1], "spk3": sources[2]}
    _data_dir(tmp_path / "data", {name: {"x": samples} for name, samples in signals.items()})
    for index in range(3):
        estimate = sources[(index + 1) % 3] + 10 ** -(index + 1) * ERROR / 4  # estimates 1, 2, 3: 20, 40, 60 dB
        _scp(tmp_path / "sep" / f"spk{index + 1}.scp", [("x", _write(tmp_path / f"e{index}.wav", estimate))])
    scores = score_set(separated_dir=tmp_path / "sep", data_dir=tmp_path / "data", num_spks=3, sample_rate=RATE)
    (utterance,) = scores.utterances
    np.testing.assert_allclose(utterance.estimates["si_snr"], [60, 20, 40], atol=0.01)
    np.testing.assert_allclose(utterance.mixtures["si_snr"], -10 * np.log10(2), atol=1e-3)


def test_silent_estimate_is_scored_and_not_dropped(made):
    _write(made / "exp/separated_test/wav/spk1/b.wav", np.zeros(T))
    scores = _score(made, metrics=BSS_AND_STOI)
    assert len(scores.utterances) == 2
    silent = int(np.argmin(scores.utterances[1].estimates["si_snr"]))
    values = [scores.utterances[1].estimates[metric][silent] for metric in BSS_AND_STOI]
    assert values == [-100.0, -100.0, -100.0, -100.0, 0.0]


def test_missing_estimate_is_an_error_and_not_a_smaller_mean(made):
    path = made / "exp/separated_test/spk2.scp"
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    with pytest.raises(InputError, match=r"separated_test/spk2\.scp: has no b, which .*test has; missing: 1"):
        _score(made)


def test_estimate_of_an_unknown_key_is_an_error(made):
    path = made / "exp/separated_test/spk1.scp"
    path.write_text(path.read_text() + "c /nowhere.wav\n")
    with pytest.raises(InputError, match=r"separated_test/spk1\.scp: has c, which .*test has not"):
        _score(made)


def test_reference_with_other_keys_is_an_error(made):
    path = made / "data/test/spk2.scp"
    path.write_text(path.read_text().replace("b ", "c "))
    with pytest.raises(InputError, match=r"test/spk2\.scp: has no line for b"):
        _score(made)


@pytest.mark.parametrize(
    ("file", "samples", "rate", "message"),
    [
        ("exp/separated_test/wav/spk1/b.wav", SOURCES[0][:-1], RATE, r"spk1\.scp: b.*7999 samples, its mixture 8000"),
        ("data/test/spk2/b.wav", SOURCES[0][:-1], RATE, r"test/spk2\.scp: b.*7999 samples"),
        ("exp/separated_test/wav/spk2/a.wav", SOURCES[0], 16000, r"spk2\.scp: a.*16000 Hz"),
        ("exp/separated_test/wav/spk2/a.wav", SOURCES[0] * np.nan, RATE, r"spk2\.scp: a.*NaN"),
        ("exp/separated_test/wav/spk1/b.wav", np.zeros(0), RATE, r"spk1\.scp: b"),
    ],
)
def test_bad_signal_is_refused_by_file_and_key(made, file, samples, rate, message):
    _write(made / file, samples, rate)
    with pytest.raises(InputError, match=message):
        _score(made)


def test_error_of_a_process_comes_out_as_it_is(made):
    _write(made / "data/test/spk1/a.wav", SOURCES[0], 16000)
    with pytest.raises(InputError, match=r"test/spk1\.scp: a.*16000 Hz"):
        _score(made, nj=2)


def test_a_silent_reference_is_counted_and_not_scored_by_any_metric(made, capsys):
    _write(made / "data/test/spk1/a.wav", np.zeros(T))  # the second source's estimate comes first, at 20 dB
    arguments = ["--expdir", str(made / "exp"), "--data", str(made / "data" / "test"), "--cal_sdr", "true"]
    main([*arguments, "--reference_protocol", "false"])
    with open(made / "exp" / "scores_test.csv", newline="") as file:
        rows = {(row["key"], row["source"]): row for row in csv.DictReader(file)}
    silent = list(rows["a", "1"].values())
    assert silent == ["a", "1"] + 10 * [""]
    assert float(rows["a", "2"]["si_snr"]) == pytest.approx(20, abs=1e-3)
    assert all(rows["a", "2"].values())
    assert "test: 2 scored of 2, SI-SNRi 13.01 dB; silent references, which cannot be scored: 1 of 4\n" in (
        capsys.readouterr().out
    )
    told = "silent references, which cannot be scored: 1 of 4."
    assert f"every utterance, whole; {told}" in (made / "exp" / "RESULTS.md").read_text()
    page = (made / "exp" / "report.html").read_text()
    assert told in page
    assert page.count("not scored: silent") == 1
    assert "nan" not in (made / "exp" / "RESULTS.md").read_text()


def test_an_utterance_that_is_silent_is_not_among_those_that_were_scored(made):
    for source in (1, 2):
        _write(made / f"data/test/spk{source}/a.wav", np.zeros(T))
    scores = _score(made)
    assert ([one.key for one in scores.utterances], scores.n_utts, scores.n_silent) == (["b"], 2, 2)
    assert [one.key for one in scores.signals] == ["b"]
    for source in (1, 2):
        _write(made / f"data/test/spk{source}/b.wav", np.zeros(T))
    with pytest.raises(InputError, match="data/test: every reference is silent; nothing can be scored"):
        _score(made)


def test_one_speaker_alone_is_told_and_not_scored(made):
    _write(made / "data/test/spk2/a.wav", np.zeros(T))
    _write(made / "data/test/wav/a.wav", SOURCES[0])
    scores = _score(made)
    assert ([one.key for one in scores.utterances], scores.n_silent, scores.n_alone) == (["b"], 1, 1)


def test_a_set_with_an_rttm_is_scored_as_conversations(made):
    for folder, track in ((made / "data/test", "x"), (made / "exp/separated_test", "s1")):
        lines = [f"SPEAKER {key} 1 0.000 1.000 <NA> <NA> {track} <NA> <NA>" for key in "ab"]
        (folder / "rttm").write_text("\n".join(lines) + "\n")
    main(["--expdir", str(made / "exp"), "--data", str(made / "data/test"), "--cal_sdr", "false"])
    rows = (made / "exp/conversations_test.csv").read_text().splitlines()
    assert [row.split(",")[:5] for row in rows[1:]] == [[key, "1.000000", "0.000000", "1", "1"] for key in "ab"]
    text = (made / "exp/RESULTS.md").read_text()
    assert "| none | 2 |" in text
    assert "| 1 | 2 |" in text  # two recordings of one speaker, in which one is heard
    (made / "data/test/rttm").write_text("SPEAKER a 1 x 1 <NA> <NA> x <NA> <NA>\n")
    with pytest.raises(InputError, match=r"test/rttm, line 1: start and seconds must be numbers"):
        _score(made)


def test_other_number_of_sources_is_refused(made):
    with pytest.raises(InputError, match=r"data/test: has 2 sources, the experiment's num_spks is 3"):
        _score(made, num_spks=3)
    _scp(made / "exp/separated_test/spk3.scp", [])
    with pytest.raises(InputError, match=r"separated_test/spk3\.scp: one too many, num_spks is 2"):
        _score(made)


def test_command_writes_scores_and_results(made, capsys):
    arguments = ["--expdir", str(made / "exp"), "--data", str(made / "data" / "test") + "/"]
    main(arguments)
    first = (made / "exp" / "scores_test.csv").read_bytes()
    main([*arguments, "--nj", "2"])
    assert (made / "exp" / "scores_test.csv").read_bytes() == first
    assert "test: 2 scored of 2, SI-SNRi 15.00 dB" in capsys.readouterr().out
    assert "| unprocessed mixture | 2 of 2 | 0.00 | 0.00 |" in (made / "exp" / "RESULTS.md").read_text()


def test_command_leaves_the_slow_metrics_out_when_asked(made):
    main(["--expdir", str(made / "exp"), "--data", str(made / "data" / "test")])
    with open(made / "exp" / "scores_test.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [column for metric in ("si_snr", "sdr", "sir", "sar", "stoi") for column in (metric, f"{metric}i")]
    assert list(rows[0]) == ["key", "source", *columns]
    assert all(float(row["sdr"]) > float(row["si_snr"]) - 0.1 for row in rows)  # its filters can only forgive more
    assert "| SDR | SDRi | SIR | SAR | STOI |" in (made / "exp" / "RESULTS.md").read_text()
    save_config(load_config(BASE, None, ["cal_sdr=false"]), made / "exp" / "config.yaml")
    main(["--expdir", str(made / "exp"), "--data", str(made / "data" / "test")])
    assert (made / "exp" / "scores_test.csv").read_text().startswith("key,source,si_snr,si_snri\n")


def test_a_metric_of_the_config_comes_last_with_its_unit_and_decimals(made, monkeypatch):
    """A file that registers a class is all it takes; here the class is registered by hand, for this test alone."""
    monkeypatch.setattr(METRICS, "_registered", {**METRICS._registered})

    @METRICS.register("power")
    class Power(Metric):
        title, unit, decimals, has_gain = "Power", "of full scale", 3, False

        @staticmethod
        def compute(*, estimates, references, sample_rate):
            return (estimates**2).mean(axis=1)

    save_config(load_config(BASE, None, ["cal_sdr=false metrics=[stoi,Power,si_snr]"]), made / "exp" / "config.yaml")
    main(["--expdir", str(made / "exp"), "--data", str(made / "data" / "test")])
    head = "key,source,si_snr,si_snri,stoi,stoii,power,poweri"
    lines = (made / "exp" / "scores_test.csv").read_text().splitlines()
    assert lines[0] == head
    powers = [float(line.split(",")[-2]) for line in lines[1:3]]
    np.testing.assert_allclose(powers, [(0.3**2 + 0.003**2) / 2, (0.15**2 + 0.015**2) / 2], atol=1e-6)
    results = (made / "exp" / "RESULTS.md").read_text()
    assert "| STOI | Power |" in results
    assert "| Power | 0.042 | 0.042 | 0.028 to 0.056 |" in results
    assert "dB, but STOI (0 to 1) and Power (of full scale); means" in results


def test_an_unknown_metric_is_refused_by_key():
    with pytest.raises(InputError, match=r"metrics: no metric 'stio' \(did you mean 'stoi'\?\); known: pesq, "):
        load_config(BASE, None, ["metrics=[stio]"])


@pytest.mark.parametrize(
    ("installed", "rate", "words"), [(False, 8000, "the package pesq is not installed"), (True, 44100, "not 44100 Hz")]
)
def test_pesq_that_cannot_be_had_is_refused_before_the_work(made, monkeypatch, installed, rate, words):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
    with pytest.raises(InputError, match=f"cal_pesq: .*{words}"):
        _score(made, metrics=("pesq",), sample_rate=rate)


def test_signals_of_one_sample_are_refused_by_key(made):
    for path in [*(made / "data/test").glob("*/b.wav"), *(made / "exp/separated_test").glob("wav/*/b.wav")]:
        _write(path, SOURCES[0][:1] + 0.1)
    with pytest.raises(InputError, match=r"test/wav\.scp: b: has one sample"):
        _score(made)


def test_windows_are_scored_by_the_reference_protocol(made):
    """The windows of a set that is scored whole: one for each key, with other estimates."""
    data = made / "data"
    signals = {"wav": SOURCES.sum(0), "spk1": SOURCES[0], "spk2": SOURCES[1]}
    _data_dir(data / "test_reference", {name: {"a_0000000": samples} for name, samples in signals.items()})
    (data / "test_reference/windows.json").write_text(
        '{"num_utts": 2, "num_used": 1, "num_windows": 3, "num_silent": 2}'
    )
    for source in (0, 1):
        wav = _write(made / f"exp/separated_test_reference/s{source}.wav", SOURCES[source] + 0.1 * ERROR)
        _scp(made / f"exp/separated_test_reference/spk{source + 1}.scp", [("a_0000000", wav)])
    main(["--expdir", str(made / "exp"), "--data", str(data / "test")])
    rows = (made / "exp/scores_test_reference.csv").read_text().splitlines()
    assert rows[0] == "key,source,si_snr,si_snri"
    assert [float(row.split(",")[2]) for row in rows[1:]] == pytest.approx(
        [20 + 20 * np.log10(0.3), 20 + 20 * np.log10(0.15)], abs=1e-3
    )
    results = (made / "exp/RESULTS.md").read_text()
    assert "## Test set `test`: 2 scored of 2" in results
    assert "## Test set `test_reference`, reference protocol: 1 scored of 3" in results
    (made / "exp/scores_test_reference.csv").unlink()
    main(["--expdir", str(made / "exp"), "--data", str(data / "test"), "--reference_protocol", "false"])
    assert not (made / "exp/scores_test_reference.csv").exists()


def test_command_refuses_in_one_line_and_leaves_the_old_scores(made, capsys):
    (made / "exp" / "scores_test.csv").write_text("old\n")
    (made / "exp" / "separated_test" / "spk1.scp").unlink()
    with pytest.raises(SystemExit) as stop:
        main(["--expdir", str(made / "exp"), "--data", str(made / "data" / "test")])
    assert stop.value.code == 2
    assert "separated_test/spk1.scp: no such file; stage 3 makes it" in capsys.readouterr().err
    assert (made / "exp" / "scores_test.csv").read_text() == "old\n"


def test_scoring_does_not_need_mindspore():
    code = "import sys; sys.modules['mindspore'] = None; import mindaudio_ext.bin.score"
    subprocess.run([sys.executable, "-c", code], check=True)
