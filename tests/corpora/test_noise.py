"""Noise under conversations: its colour, whose speech it is, its level, and that it adds up."""

import dataclasses

import numpy as np
import pytest
import soundfile
from tiny_experiment import files_of, write_wav

from mindaudio_ext.bin.make_conversations import main
from mindaudio_ext.corpora.conversations import Parameters, make_conversations
from mindaudio_ext.corpora.librispeech import find_utterances
from mindaudio_ext.corpora.noise import Piece, recorded
from mindaudio_ext.data.conversation_statistics import Statistics
from mindaudio_ext.data.kaldi_dir import read_data_dir
from mindaudio_ext.data.noise import at_snr, coloured
from mindaudio_ext.data.validate_data_dir import validate_data_dir

RATE = 8000
TONES = dict(zip(("11", "12", "13", "14", "15"), (500, 900, 1300, 1700, 2100)))  # Hz
PARAMETERS = Parameters("dev", 2, 2, (2,), (4.0, 5.0), RATE, 3, Statistics(), snr=(6.0, 6.0))


def tone(frequency, seconds):
    return (8000 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)).astype(np.int16)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Five speakers of a tone each, in bursts of 0.8 s; and a folder of two noises, one of two channels."""
    folder = tmp_path_factory.mktemp("corpus")
    for speaker, frequency in TONES.items():
        bursts = np.tile(np.concatenate([tone(frequency, 0.8), np.zeros(3200, np.int16)]), 2)
        write_wav(folder / "speech/set" / speaker / "0" / f"{speaker}-0-0.wav", bursts)
    (folder / "noise/below").mkdir(parents=True)
    soundfile.write(folder / "noise/a.wav", tone(3000, 1.0), RATE)
    soundfile.write(folder / "noise/below/b.flac", np.stack([tone(3400, 2.0), 0 * tone(200, 2.0)], axis=1), RATE)
    return folder


def make(corpus, data, noise, nj=1, **changes):
    utterances = find_utterances(corpus / "speech", ["set"])
    return make_conversations(utterances, data, dataclasses.replace(PARAMETERS, noise=noise, **changes), nj=nj)


@pytest.mark.parametrize(("colour", "slope"), [("white", 0), ("pink", -3.01), ("brown", -6.02)])
def test_the_power_falls_by_so_many_db_an_octave(colour, slope):
    noise = coloured(np.random.default_rng(0), colour, 2**18, RATE)
    power = np.square(np.abs(np.fft.rfft(noise)))
    low, high = (power[(f := 2**18 // RATE * hertz) : 11 * f // 10].mean() for hertz in (400, 3200))
    assert 10 * np.log10(high / low) / 3 == pytest.approx(slope, abs=0.1)


def test_the_snr_is_over_the_time_in_which_somebody_speaks():
    sources = np.zeros((2, 1000), np.float32)
    sources[0, :300] = sources[1, 200:500] = 0.1  # a power of 0.01 for 0.4 of 0.5, of 0.04 for the rest
    noise = at_snr(np.random.default_rng(0).standard_normal(1000), sources, 10)
    assert np.square(noise, dtype=np.float64).mean() == pytest.approx((0.8 * 0.01 + 0.2 * 0.04) / 10, rel=1e-5)


def test_voices_have_the_same_power_and_begin_anew(tmp_path):
    write_wav(tmp_path / "loud.wav", tone(1000, 0.5))
    write_wav(tmp_path / "quiet.wav", tone(2000, 0.5) // 100)
    voices = ((Piece(str(tmp_path / "loud.wav")),), (Piece(str(tmp_path / "quiet.wav"), 400, 2400),))
    power = np.square(np.abs(np.fft.rfft(recorded(voices, 16000, RATE))))
    shares = [power[2 * hertz - 40 : 2 * hertz + 40].sum() / power.sum() for hertz in (1000, 2000)]
    assert shares == pytest.approx([0.5, 0.5], abs=0.02)


def strongest(samples):
    """Frequencies within 20 dB of the strongest, in steps of 100 Hz, as a set."""
    power = np.square(np.abs(np.fft.rfft(samples.astype(float))))
    frequencies = np.fft.rfftfreq(len(samples), 1 / RATE)
    return {round(f / 100) * 100 for f in frequencies[power > power.max() / 100]}


@pytest.mark.parametrize("noise", ["pink", "babble", "folder"])
def test_noise_adds_up_and_is_of_others(corpus, tmp_path, noise):
    kind = str(corpus / "noise") if noise == "folder" else noise
    folder = make(corpus, tmp_path / "a", kind)
    validate_data_dir(folder)  # sources and noise add up to the mixture
    data = read_data_dir(folder)
    for key in data.keys:
        heard = [soundfile.read(scp[key], dtype="int16")[0].astype(float) for scp in (*data.sources, data.noise)]
        speech = sum(heard[:2])[np.any(heard[:2], axis=0)]
        snr = 10 * np.log10(np.square(speech).mean() / np.square(heard[2]).mean())
        assert snr == pytest.approx(6, abs=0.05)
        others = {TONES[speaker] for speaker in TONES if speaker not in data.src2spk[key]}
        if noise != "pink":
            assert strongest(heard[2]) == (others if noise == "babble" else {3000, 3400})
    again = make(corpus, tmp_path / "b", kind, nj=2).parent
    same = [{name: text.replace(str(top).encode(), b"") for name, text in files_of(top).items()}
            for top in (folder.parent, again)]  # fmt: skip
    assert same[0] == same[1]
    assert sum("wav/dev/noise/" in name and name.endswith(".wav") for name in same[0]) == 2


def test_turns_are_the_same_with_and_without_noise(corpus, tmp_path):
    turns = [(make(corpus, tmp_path / (kind or "none"), kind) / "rttm").read_text() for kind in ("", "white")]
    assert turns[0] == turns[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--noise", "green"], "noise: green: no such folder; one of recordings is expected, or white, pink, brown, b"),
        (["--noise", "empty"], "noise: empty: has no recordings (.wav, .flac, .ogg, .opus, .mp3)"),
        (["--noise", "pink", "--snr", "9 3"], "snr: from -20 to 60 dB, the lower first, are expected; got 9 3"),
        (["--noise", "babble", "--speakers", "3", "--num_spks", "3"], "babble is of 3 speakers or more who are not in"),
        (["--noise", "silent"], "silent/zero.wav: the noise is silent"),
        (["--snr", "five"], "argument --snr: dB are expected, or the least and the most of them"),
    ],
)
def test_what_does_not_do_is_said_in_one_line(corpus, tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_wav(tmp_path / "silent/zero.wav", np.zeros(8000, np.int16))
    right = ["--librispeech", str(corpus / "speech"), "--data", "data", "--set", "dev", "--n_conversations", "1"]
    with pytest.raises(SystemExit) as ended:
        main([*right, "--seconds", "2", *options])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "data/dev").exists()
