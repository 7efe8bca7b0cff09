"""SparseLibriMix's test sets: parts at their place, level and channel, sums, RTTM; metadata that do not do."""

import json

import numpy as np
import pyloudnorm
import pytest
import soundfile
from tiny_experiment import files_of

from mindaudio_ext.bin.sparse_librimix_data import main
from mindaudio_ext.data.kaldi_dir import read_data_dir
from mindaudio_ext.data.validate_data_dir import validate_data_dir

RATE = 16000


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Two speakers' speech, a tone with an offset each, and a noise of two channels; 16 kHz."""
    monkeypatch.chdir(tmp_path)
    times = np.arange(4 * RATE) / RATE
    for speaker, frequency in (("10", 500), ("20", 800)):
        path = tmp_path / f"speech/test-clean/{speaker}/1/{speaker}-1-0000.flac"
        path.parent.mkdir(parents=True)
        soundfile.write(path, 0.1 + 0.2 * np.sin(2 * np.pi * frequency * times), RATE)
    (tmp_path / "tt").mkdir()
    noise = np.stack([np.sin(2 * np.pi * 2000 * times), np.sin(2 * np.pi * 3000 * times)], axis=1)
    soundfile.write(tmp_path / "tt/n.wav", 0.1 * noise, RATE)
    return tmp_path


def part(speaker, start, first, last, level):
    """A part as the published metadata have it."""
    file = f"{speaker}/1/{speaker}-1-0000.flac"
    more = {"words": ["a"], "chapter_id": "1", "utt_id": f"{speaker}-1-0000", "sub_utt_num": 0, "source": "s1"}
    return {"file": file, "spk_id": speaker, "start": start, "stop": start + last - first, **more} | {
        "orig_start": first,
        "orig_stop": last,
        "lvl": level,
    }


def mixture(**changes):
    noise = {"file": "n.wav", "start": 0, "orig_start": 0.5, "orig_stop": 3.5, "lvl": -35.0, "channel": 1}
    return {
        "mixture_name": "mix_0000001",
        "s1": [part("10", 0.25, 0.5, 1.5, -30.0), part("10", 2.0, 2.0, 2.5, -25.0)],
        "s2": [part("20", 1.0, 0.0, 1.5, -28.0)],
        "noise": [noise],
    } | changes


def make(corpus, *options, metadata=None):
    (corpus / "metadata.json").write_text(json.dumps([mixture()] if metadata is None else metadata))
    main(
        ["--metadata", "metadata.json", "--librispeech", "speech", "--data", "data", "--set", "sparse_2_0.2", *options]
    )
    return corpus / "data/sparse_2_0.2"


def strongest(samples):
    return np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples)


def test_parts_are_where_and_as_loud_as_the_metadata_say(corpus):
    folder = make(corpus, "--wham", "tt", "--sample_rate", "16000")
    validate_data_dir(folder)
    data, key = read_data_dir(folder), "mix_0000001"
    assert data.src2spk[key] == ("10", "20")
    first, second, noise = (soundfile.read(scp[key])[0] for scp in (*data.sources, data.noise))
    assert len(noise) == 3 * RATE  # the longest part is the noise
    assert np.flatnonzero(first)[[0, -1]] // 8 * 8 == pytest.approx([0.25 * RATE, 2.5 * RATE], abs=8)
    assert not first[round(1.25 * RATE) : 2 * RATE].any()
    heard = {
        (0.25, 1.25): (first, -30.0),
        (2.0, 2.5): (first, -25.0),
        (1.0, 2.5): (second, -28.0),
        (0, 3): (noise, -35),
    }
    for (start, stop), (signal, level) in heard.items():
        samples = signal[round(start * RATE) : round(stop * RATE)]
        assert pyloudnorm.Meter(RATE, block_size=0.1).integrated_loudness(samples) == pytest.approx(level, abs=0.05)
        assert samples.mean() == pytest.approx(0, abs=1e-3)  # the offset is gone
    assert [strongest(signal) for signal in (first, second, noise)] == pytest.approx([500, 800, 3000], abs=3)
    assert (folder / "rttm").read_text().splitlines() == [
        "SPEAKER mix_0000001 1 0.250 1.000 <NA> <NA> 10 <NA> <NA>",
        "SPEAKER mix_0000001 1 1.000 1.500 <NA> <NA> 20 <NA> <NA>",
        "SPEAKER mix_0000001 1 2.000 0.500 <NA> <NA> 10 <NA> <NA>",
    ]


def test_clean_at_8_khz_and_the_same_bytes_again(corpus):
    folder = make(corpus)
    data = read_data_dir(folder)
    assert data.noise is None
    assert data.num_samples == {"mix_0000001": 20000}  # to the end of the speech at 2.5 s
    before = files_of(corpus / "data")
    times = {path: path.stat().st_mtime_ns for path in (corpus / "data").rglob("*.wav")}
    make(corpus)
    assert {path: path.stat().st_mtime_ns for path in (corpus / "data").rglob("*.wav")} == times
    next(iter(times)).unlink()
    make(corpus, "--nj", "2")
    assert files_of(corpus / "data") == before


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({}, "metadata.json: a list of mixtures is expected"),
        ([{"s1": []}], "metadata.json: mixture 1: has no mixture_name"),
        ([mixture(s3=[], s2=[])], "mixture 1: s2: a list of parts is expected"),
        ([mixture(s4=[])], "mixture 1: s1, s2, ... are expected, got s1, s2, s4"),
        ([mixture(s2=[part("20", 0, 2.0, 1.0, -30)])], "mixture 1: s2: start, orig_start and orig_stop: times"),
        ([mixture(s2=[part("20", 0, 0.0, 1.0, "loud")])], "mixture 1: s2: lvl: a number is expected, got 'loud'"),
        ([mixture(s2=[part("30", 0, 0.0, 1.0, -30)])], "speech/test-clean/30/1/30-1-0000.flac: no such file; metadata"),
        ([mixture(s2=[part("10", 0, 0.0, 1.0, -30)])], "mixture 1: spk_id: another one is expected in each source"),
        ([mixture(), mixture()], "all mixtures need as many sources as the first, and a mixture_name of their own"),
        ([mixture(s2=[part("20", 0, 3.99, 9.0, -30)])], "20-1-0000.flac: has 80 samples from 3.99 s on, too few"),
    ],
)
def test_what_does_not_do_is_said_in_one_line(corpus, capsys, metadata, words):
    with pytest.raises(SystemExit) as ended:
        make(corpus, metadata=metadata)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not (corpus / "data/sparse_2_0.2").exists()
