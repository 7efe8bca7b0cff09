"""Long files: of the same length out, in memory that does not grow with them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_experiment import RATE, make_experiment

from mindaudio_ext.errors import InputError
from mindaudio_ext.inference.chunking import Chunking
from mindaudio_ext.inference.recording import Recording
from mindaudio_ext.inference.separate_file import separate_file
from mindaudio_ext.inference.separator import Separator, require_length

ROOT = Path(__file__).parents[2]
SCRIPT = (
    "import resource, sys\nfrom mindaudio_ext.bin.separate import main\nmain(sys.argv[1:])\n"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
)


CHUNKING = Chunking(longest_whole=1, chunk=0.8, overlap=0.2, batch=3)


class FakeSeparator(Separator):
    """A model at 8 kHz for two that gives three quarters of the mixture and one, times a gain."""

    class config:
        num_spks, sample_rate, kernel_size, conversations = 2, RATE, 2, False

    def __init__(self, gain=1.0):
        self.gain = gain

    def separate_batch(self, mixtures, *, name):
        require_length(mixtures.shape[1], self.config, name=name)
        return self.gain * np.stack((0.75 * mixtures, 0.25 * mixtures), axis=1)


def split(tmp_path, *, gain=1.0, channel=None):
    """Separates tmp_path/mix.wav with the fake; gives the estimates [C, T], as integers, and what was done."""
    outputs = [tmp_path / "out" / f"s{source}.wav" for source in (1, 2)]
    done = separate_file(FakeSeparator(gain), Recording(tmp_path / "mix.wav", channel), outputs, chunking=CHUNKING)
    return np.stack([soundfile.read(path, dtype="int16")[0] for path in outputs]), done


@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.01, 3.33])
def test_what_a_file_holds_comes_back_through_chunks_and_a_disk(tmp_path, seconds):
    samples = np.random.default_rng(0).integers(-3000, 3000, round(seconds * RATE)).astype(np.int16)
    soundfile.write(tmp_path / "mix.wav", samples, RATE)
    estimates, done = split(tmp_path)
    np.testing.assert_allclose(estimates, [0.75 * samples, 0.25 * samples], atol=1)
    assert len(done.joins) == max(0, -(-(len(samples) - 6400) // 4800)) * (seconds > 1)
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == ["s1.wav", "s2.wav"]


@pytest.mark.parametrize(("rate", "channels"), [(192000, 8), (44100, 2), (11025, 1), (7999, 3)])
def test_any_rate_comes_back_at_its_rate_and_length(tmp_path, rate, channels):
    time = np.arange(round(2.1 * rate) + 1) / rate
    sine = 0.3 * np.sin(2 * np.pi * 300 * time)
    soundfile.write(tmp_path / "mix.wav", np.stack([sine] * channels, axis=1), rate, subtype="FLOAT")
    estimates, done = split(tmp_path)
    assert estimates.shape == (2, len(sine))
    middle = slice(rate // 10, -rate // 10)
    np.testing.assert_allclose(estimates[0, middle] / 32768, 0.75 * sine[middle], atol=1e-3)
    assert f"{rate} Hz separated at 8000 Hz" in done.summary
    assert ("the mean of" in done.summary) == (channels > 1)


def test_one_channel_is_chosen(tmp_path):
    soundfile.write(tmp_path / "mix.wav", np.tile(np.int16([1000, 3000]), (99, 1)), RATE)
    estimates, done = split(tmp_path, channel=2)
    assert estimates.tolist() == [[2250] * 99, [750] * 99]
    assert done.summary.startswith("channel 2 of 2 channels, ")


def test_a_peak_over_full_scale_scales_all_by_one_factor(tmp_path):
    soundfile.write(tmp_path / "mix.wav", np.int16([0, 20000, -10000, 0]), RATE)
    estimates, _ = split(tmp_path, gain=4)  # 60000 becomes 32767
    np.testing.assert_allclose(estimates, [[0, 32767, -16384, 0], [0, 10922, -5461, 0]], atol=1)


def test_of_fewer_people_the_loudest_outputs_are_written(tmp_path):
    soundfile.write(tmp_path / "mix.wav", np.int16([0, 20000, -10000, 0]), RATE)
    separator, recording = FakeSeparator(-2), Recording(tmp_path / "mix.wav")
    separate_file(separator, recording, [tmp_path / "one.wav"], chunking=CHUNKING)
    np.testing.assert_allclose(soundfile.read(tmp_path / "one.wav", dtype="int16")[0], [0, -30000, 15000, 0], atol=1)


def test_what_has_no_sample_at_the_models_rate_is_named(tmp_path):
    soundfile.write(tmp_path / "mix.wav", np.int16([1]), 48000)
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'mix.wav'}: has 0 samples; the model needs at least")):
        split(tmp_path)


def test_nan_in_the_middle_is_named_and_leaves_nothing(tmp_path):
    samples = np.zeros(200_000, np.float32)
    samples[150_000] = np.nan
    soundfile.write(tmp_path / "mix.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'mix.wav'}: has NaN or infinity at sample 150000")):
        split(tmp_path)
    assert not list((tmp_path / "out").iterdir())


def write_noise(path, seconds, rate=RATE, channels=1):
    """Writes noise a second at a time, with one sample more at the end."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", rate, channels, "PCM_16") as file:
        for n_samples in [rate] * seconds + [1]:
            file.write(rng.integers(-3000, 3000, (n_samples, channels)).astype(np.int16))


def separate(folder, name):
    """Runs the command on `name`.wav in a process of its own; gives its peak memory in bytes and its line."""
    command = [sys.executable, "-c", SCRIPT, folder / f"{name}.wav", "--model", folder / "exp", "-o", folder]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    *lines, peak = run.stdout.splitlines()
    return int(peak) * 1024, lines[-1]


def lengths(folder, name):
    infos = [soundfile.info(folder / f"{name}_s{source}.wav") for source in (1, 2)]
    return {(info.frames, info.samplerate) for info in infos}


@pytest.mark.parametrize(
    ("short", "long"),
    [
        pytest.param(60, 300, id="minutes"),
        pytest.param(600, 3600, id="an hour", marks=[pytest.mark.slow, pytest.mark.needs("--all")]),
    ],
)
def test_memory_does_not_grow_with_the_length(tmp_path, short, long):
    make_experiment(tmp_path / "exp")
    peaks = []
    for seconds in (short, long):
        write_noise(tmp_path / f"{seconds}.wav", seconds)
        peak, line = separate(tmp_path, seconds)
        peaks.append(peak)
        assert lengths(tmp_path, seconds) == {(seconds * RATE + 1, RATE)}
        assert f", {-(-((seconds - 24) * RATE + 1) // (20 * RATE)) + 1} chunks, " in line
        print(line, f"peak {peak / 1e6:.0f} MB")
    assert peaks[1] <= 1.2 * peaks[0]


@pytest.mark.slow
@pytest.mark.needs("--all")
def test_two_hours_of_eight_channels(tmp_path):
    make_experiment(tmp_path / "exp")
    write_noise(tmp_path / "meeting.wav", 7200, 16000, 8)
    _, line = separate(tmp_path, "meeting")
    assert "the mean of 8 channels, 16000 Hz separated at 8000 Hz, 7200.0 s" in line
    assert lengths(tmp_path, "meeting") == {(7200 * 16000 + 1, 16000)}


class Talkers(FakeSeparator):
    """Gives what is above 0 to the first and what is below to the second, and a tenth of each to the other."""

    def separate_batch(self, mixtures, *, name):
        parts = np.maximum(mixtures, 0), np.minimum(mixtures, 0)
        return np.stack((0.9 * parts[0] + 0.1 * parts[1], 0.1 * parts[0] + 0.9 * parts[1]), axis=1)


def conversation(tmp_path, turns, **options):
    """Separates 4 s with turns (sign, start, end in seconds); gives the tracks by name and the line."""
    mixture = np.zeros(4 * RATE)
    for sign, start, end in turns:
        mixture[round(start * RATE) : round(end * RATE)] = 0.3 * sign
    soundfile.write(tmp_path / "mix.wav", mixture, RATE)
    out = tmp_path / "out"
    done = separate_file(
        Talkers(),
        Recording(tmp_path / "mix.wav"),
        [out / f"mix_s{source}.wav" for source in (1, 2)],
        chunking=CHUNKING,
        rttm=out / "mix.rttm",
        **options,
    )
    assert list(done.outputs) == sorted(out.glob("*.wav"))
    return {path.name: soundfile.read(path)[0] for path in done.outputs}, done.summary


TWO = [(1, 0.5, 2), (-1, 2.5, 3.5)]


def test_a_conversation_gives_turns_and_tracks_that_are_silent_between_them(tmp_path):
    tracks, said = conversation(tmp_path, TWO)
    assert re.search(r"2 speakers: one speaks 6[2-5] %, several 0 %, nobody 3[5-8] % of the time", said)
    lines = (tmp_path / "out/mix.rttm").read_text().splitlines()
    found = [(fields[1], float(fields[3]), float(fields[4]), fields[7]) for fields in map(str.split, lines)]
    assert [(key, speaker) for key, _, _, speaker in found] == [("mix", "s1"), ("mix", "s2")]
    np.testing.assert_allclose([times[1:3] for times in found], [(0.5, 1.5), (2.5, 1)], atol=0.06)
    first, second = tracks["mix_s1.wav"], tracks["mix_s2.wav"]
    np.testing.assert_allclose(first[round(0.6 * RATE) : round(1.9 * RATE)], 0.27, atol=1e-3)
    assert not first[round(2.1 * RATE) :].any()
    assert not second[: round(2.4 * RATE)].any()


def test_the_residual_is_kept_when_asked(tmp_path):
    tracks, _ = conversation(tmp_path, TWO, keep_residual=True)
    np.testing.assert_allclose(tracks["mix_s2.wav"][round(0.6 * RATE) : round(1.9 * RATE)], 0.03, atol=1e-3)


def test_as_many_tracks_as_people_speak(tmp_path):
    conversation(tmp_path, TWO)
    tracks, said = conversation(tmp_path, [(-1, 1, 3)])
    assert list(tracks) == ["mix_s1.wav"]
    np.testing.assert_allclose(tracks["mix_s1.wav"][round(1.1 * RATE) : round(2.9 * RATE)], -0.27, atol=1e-3)
    assert "1 speaker: one speaks 5" in said
    tracks, _ = conversation(tmp_path, [(-1, 1, 3)], keep_silent=True)
    assert [track.any() for track in tracks.values()] == [False, True]


def test_a_recording_without_speech_gives_silent_tracks_and_says_so(tmp_path):
    tracks, said = conversation(tmp_path, [])
    assert [track.any() for track in tracks.values()] == [False, False]
    assert ", no speech, " in said
    assert (tmp_path / "out/mix.rttm").read_text() == ""


def test_a_users_rttm_is_not_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mix.rttm").write_text("mine")
    with pytest.raises(InputError, match=r"mix.rttm is there and was not written by this command"):
        conversation(tmp_path, TWO)
    assert (tmp_path / "out/mix.rttm").read_text() == "mine"
