"""Windows of the reference protocol: where they start, what is in them, which are left out."""

import numpy as np
import pytest
import soundfile

from mindaudio_ext.data.kaldi_dir import read_data_dir
from mindaudio_ext.data.kaldi_dir_writer import write_data_dir
from mindaudio_ext.data.validate_data_dir import validate_data_dir
from mindaudio_ext.errors import InputError
from mindaudio_ext.score.windows import WindowCounts, make_windows, mixture_of, read_counts, window_starts, windows_dir

RATE = 1000


def make_set(folder, seconds, *, silent_from=None):
    """A data directory `folder/test` of noise, a mixture a length; the second source ends early in the first one."""
    paths, rng = {name: {} for name in ("mix", "s1", "s2")}, np.random.default_rng(0)
    for number, length in enumerate(seconds):
        sources = rng.integers(-9000, 9000, size=(2, int(length * RATE))).astype(np.int16)
        if silent_from is not None and number == 0:
            sources[1, silent_from:] = 0
        for name, signal in (("mix", sources.sum(0, dtype=np.int16)), ("s1", sources[0]), ("s2", sources[1])):
            path = folder / f"{name}_{number}.wav"
            soundfile.write(path, signal, RATE, subtype="PCM_16")
            paths[name][f"u{number}"] = str(path)
    num_samples = {f"u{number}": int(length * RATE) for number, length in enumerate(seconds)}
    write_data_dir(
        folder / "test", mixtures=paths["mix"], sources=[paths["s1"], paths["s2"]], num_samples=num_samples,
        extra={"corpus.txt": "noise\n"},
    )  # fmt: skip
    return folder / "test"


@pytest.mark.parametrize(
    ("num_samples", "starts"),
    [
        (31999, []),
        (32000, [0]),
        (32001, [0, 1]),
        (48000, [0, 16000]),
        (60000, [0, 16000, 28000]),
        (96000, [0, 16000, 32000, 48000, 64000]),
        (96001, []),
    ],
)
def test_starts(num_samples, starts):
    assert window_starts(num_samples, 8000) == starts


@pytest.mark.parametrize("nj", [1, 2])
def test_windows_are_a_valid_set_of_the_right_samples(tmp_path, nj):
    data = make_set(tmp_path, [3.9, 4, 7.5, 12.1])
    assert make_windows(data, sample_rate=RATE, nj=nj) == WindowCounts(4, 2, 4, 0)
    out = windows_dir(data)
    assert read_counts(out) == WindowCounts(4, 2, 4, 0)
    validate_data_dir(out)
    assert (out / "corpus.txt").read_text() == "noise\n"
    windows = read_data_dir(out)
    assert windows.keys == ("u1_0000000", "u2_0000000", "u2_0002000", "u2_0003500")
    assert [mixture_of(key) for key in windows.keys] == ["u1", "u2", "u2", "u2"]
    for files, source in ((windows.mixtures, "mix"), (windows.sources[1], "s2")):
        whole = soundfile.read(tmp_path / f"{source}_2.wav", dtype="int16")[0]
        window = soundfile.read(files["u2_0003500"], dtype="int16")[0]
        np.testing.assert_array_equal(window, whole[3500:])


def test_windows_with_a_silent_reference_are_counted_and_left_out(tmp_path):
    data = make_set(tmp_path, [12, 4], silent_from=5000)
    assert make_windows(data, sample_rate=RATE) == WindowCounts(2, 2, 6, 2)
    keys = read_data_dir(windows_dir(data)).keys
    assert keys == ("u0_0000000", "u0_0002000", "u0_0004000", "u1_0000000")


def test_a_set_without_windows_has_no_directory(tmp_path):
    data = make_set(tmp_path, [4])
    make_windows(data, sample_rate=RATE)
    data = make_set(tmp_path, [3, 13])
    assert make_windows(data, sample_rate=RATE) == WindowCounts(2, 0, 0, 0)
    assert not windows_dir(data).exists()


def test_a_folder_of_somebody_else_is_not_replaced(tmp_path):
    data = make_set(tmp_path, [4])
    (windows_dir(data)).mkdir()
    (windows_dir(data) / "wav.scp").write_text("mine\n")
    with pytest.raises(InputError, match="test_reference: is not known to be made by this command"):
        make_windows(data, sample_rate=RATE)
    (windows_dir(data) / "wav.scp").unlink()
    sound = tmp_path / "wav" / "test_reference" / "mix"
    sound.mkdir(parents=True)
    (sound / "u0_0000000.flac").write_text("mine")
    with pytest.raises(InputError, match="wav/test_reference: is not known to be made by this command"):
        make_windows(data, sample_rate=RATE)
    assert (sound / "u0_0000000.flac").read_text() == "mine"


def test_what_a_user_adds_to_the_windows_stays(tmp_path):
    data = make_set(tmp_path, [4])
    make_windows(data, sample_rate=RATE)
    (windows_dir(data) / "text").write_text("mine")
    make_windows(data, sample_rate=RATE)
    data = make_set(tmp_path, [3])
    with pytest.raises(InputError, match="test_reference/text: was not made with"):
        make_windows(data, sample_rate=RATE)
    assert (windows_dir(data) / "text").read_text() == "mine"
    assert (windows_dir(data) / "wav.scp").is_file()


def test_windows_from_before_there_were_marks_are_replaced(tmp_path):
    data = make_set(tmp_path, [4])
    make_windows(data, sample_rate=RATE)
    for mark in (windows_dir(data) / ".made.json", tmp_path / "wav" / "test_reference" / ".made.json"):
        mark.unlink()
    data = make_set(tmp_path, [6])
    assert make_windows(data, sample_rate=RATE).num_windows == 2
    assert len(read_data_dir(windows_dir(data)).keys) == 2


def test_broken_counts_are_named(tmp_path):
    with pytest.raises(InputError, match=r"windows\.json: not what stage 3 writes"):
        read_counts(tmp_path)
