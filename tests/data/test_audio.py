"""Reading and writing of audio."""

import os

import kaldiio
import numpy as np
import pytest
import soundfile

from mindaudio_ext.data.audio import (
    count_samples,
    files_of,
    from_pcm16,
    part_of,
    read_audio,
    read_signal,
    to_pcm16,
    write_wav,
)
from mindaudio_ext.errors import InputError


def test_written_samples_come_back_exactly(tmp_path):
    values = np.array([0, 1, -1, 16384, 32767, -32768], np.int16)
    write_wav(tmp_path / "a.wav", values, 8000)
    read = read_audio(tmp_path / "a.wav", sample_rate=8000)[0]
    assert read.dtype == np.float32
    assert read.tolist() == [0.0, 1 / 32768, -1 / 32768, 0.5, 32767 / 32768, -1.0]
    assert to_pcm16(read).tolist() == values.tolist()
    assert from_pcm16(values).tolist() == read.tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_quantisation_goes_down_and_saturates():
    step = 1 / 32768
    floats = np.array([0.9 * step, -0.1 * step, 1.5 * step, 1.0, 3.0, -3.0])
    assert to_pcm16(floats).tolist() == [0, -1, 1, 32767, 32767, -32768]


@pytest.mark.parametrize("scale", [1e-5, 1e-3, 0.3, 2.0])
def test_quantisation_is_soundfiles(tmp_path, scale):
    floats = (np.random.default_rng(0).standard_normal(100_000) * scale).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", floats, 8000, subtype="PCM_16")
    expected = soundfile.read(tmp_path / "a.wav", dtype="int16")[0]
    np.testing.assert_array_equal(to_pcm16(floats), expected)


def test_flac_is_read(tmp_path):
    write_wav(tmp_path / "a.flac", np.array([5, -5, 100], np.int16), 16000)
    assert (read_audio(tmp_path / "a.flac")[0] * 32768).tolist() == [5, -5, 100]


def _write_bad(kind, path):
    tone = np.sin(np.arange(8000) / 5) / 2
    if kind == "not audio":
        path.write_text("hello")
    elif kind == "nothing in it":
        path.write_bytes(b"")
    elif kind == "no samples":
        soundfile.write(path, np.zeros(0), 8000)
    elif kind == "stereo":
        soundfile.write(path, np.stack([tone, tone], axis=1), 8000)
    elif kind == "rate":
        soundfile.write(path, tone, 16000)
    elif kind == "nan":
        tone[7] = np.nan
        soundfile.write(path, tone, 8000, subtype="FLOAT")
    elif kind == "truncated":
        soundfile.write(path, tone, 8000)
        path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "no such file"),
        ("not audio", "cannot be read as audio"),
        ("nothing in it", "is empty"),
        ("no samples", "is empty"),
        ("stereo", "has 2 channels"),
        ("rate", "is at 16000 Hz; 8000 Hz is expected"),
        ("nan", "NaN or infinity at sample 7"),
        ("truncated", "is truncated"),
    ],
)
def test_bad_files_are_named(tmp_path, kind, says):
    path = tmp_path / "bad.wav"
    _write_bad(kind, path)
    with pytest.raises(InputError, match=says) as caught:
        read_audio(path, sample_rate=8000)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_flac_is_refused(tmp_path):
    path = tmp_path / "bad.flac"
    write_wav(path, np.random.default_rng(0).integers(-9999, 9999, 30_000).astype(np.int16), 8000)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(InputError, match=r"bad\.flac"):
        read_audio(path)


def test_archives_are_read(tmp_path):
    scp = tmp_path / "wav.scp"
    with kaldiio.WriteHelper(f"ark,scp:{tmp_path}/wav.ark,{scp}", write_function="soundfile") as writer:
        writer["a"] = (8000, np.array([1, 2, 3], np.int16))
        writer["b"] = (8000, np.array([-4, 16384], np.int16))
    value = scp.read_text().splitlines()[1].split(maxsplit=1)[1]
    assert ".ark:" in value
    samples, rate = read_signal(value, name="b")
    assert rate == 8000
    assert samples.tolist() == [-4 / 32768, 0.5]


def test_pipes_run_only_when_allowed(tmp_path):
    write_wav(tmp_path / "a.wav", np.array([3, 4], np.int16), 8000)
    line = f"cat {tmp_path}/a.wav |"
    with pytest.raises(InputError, match=r"wav\.scp: a: is a command .*--allow_pipes true"):
        read_signal(line, name="wav.scp: a")
    samples, rate = read_signal(line, name="wav.scp: a", allow_pipes=True)
    assert (samples * 32768).tolist() == [3, 4]
    assert rate == 8000


def test_files_of_a_value(tmp_path):
    path = tmp_path / "a b.wav"
    path.touch()
    assert files_of(f"cat '{path}' | sed s/x/y/ |") == [str(path)]
    assert files_of(f"it's {path.parent}/x |") == []
    assert files_of("x.ark:12[3:4]") == ["x.ark"]
    assert files_of("a b.wav") == ["a b.wav"]


@pytest.mark.needs("flac")
def test_flac_pipes_are_read(tmp_path):
    write_wav(tmp_path / "a.flac", np.array([3, -4, 5], np.int16), 16000)
    samples, rate = read_signal(f"flac -dcs {tmp_path}/a.flac |", name="a", allow_pipes=True)
    assert (samples * 32768).tolist() == [3, -4, 5]
    assert rate == 16000


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("echo no sound", r"'echo no sound': cannot be read as audio \(Format not recognised\.\)"),
        ("cat {wav}; echo lost the disk >&2; exit 3", r"status 3 \(lost the disk\)"),
        ("false", r"status 1 \(it said nothing\)"),
        ("head -c 1000 {wav}", "is truncated"),
        ("true", "cannot be read as audio"),
        ("sed s/RIFF/RIFX/ {wav} | head -c 4", "is truncated"),
    ],
)
def test_a_pipe_that_fails_is_refused(tmp_path, command, says):
    write_wav(tmp_path / "a.wav", np.zeros(1000, np.int16), 8000)
    with pytest.raises(InputError, match=says) as caught:
        read_signal(command.format(wav=tmp_path / "a.wav") + " |", name="wav.scp: a", allow_pipes=True)
    assert str(caught.value).startswith("wav.scp: a: ")


@pytest.mark.parametrize("line", ["| touch evil:0", "touch evil |:0", "touch evil |:0[1:2]", "-"])
def test_what_looks_like_an_archive_is_never_run(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_signal(line, name="wav.scp: a")
    assert list(tmp_path.iterdir()) == []


def test_a_pickle_in_an_archive_is_never_loaded(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("loaded",))

    (tmp_path / "x.ark").write_bytes(b"a PKL" + pickle.dumps(Evil()))
    with pytest.raises(InputError, match=r"wav\.scp: a: .*is not sound"):
        read_signal(f"{tmp_path}/x.ark:2", name="wav.scp: a")


@pytest.mark.parametrize("offset", [10**17, 2**63, 2**64, 10**400])
def test_an_offset_beyond_every_file_is_refused(tmp_path, offset):
    (tmp_path / "x.ark").write_bytes(bytes(99))
    with pytest.raises(InputError, match=r"is not sound|no such file"):
        read_signal(f"{tmp_path}/x.ark:{offset}", name="wav.scp: a")


@pytest.mark.parametrize("name", ["a.wav [0.0:0.01 s]", "a.wav 0.0 0.01", "a [0:1].wav", "a|.wav"])
def test_a_file_that_is_called_like_a_segment_is_read_whole(tmp_path, name):
    write_wav(tmp_path / "a.wav", np.zeros(400, np.int16), 8000)
    os.rename(tmp_path / "a.wav", tmp_path / name)
    value = f"{tmp_path}/{name}"
    assert len(read_signal(value, name="wav.scp: a")[0]) == count_samples(value, name="wav.scp: a") == 400
    assert files_of(value) == files_of(part_of(value, 0.0, 0.01)) == [value]
    assert len(read_signal(part_of(value, 0.0, 0.01), name="wav.scp: a")[0]) == 80


def test_what_only_looks_like_seconds_is_part_of_a_name():
    for name in ("x.wav\nnan 1", "x.wav\na b", f"x.wav\n0 {400 * '1'}", "x.wav\n0 1\n"):
        with pytest.raises(InputError, match="no such file"):
            read_signal(name, name="wav.scp: a")


@pytest.mark.parametrize("write_function", ["soundfile", None])
def test_a_truncated_archive_is_refused(tmp_path, write_function):
    options = {"write_function": write_function} if write_function else {}
    with kaldiio.WriteHelper(f"ark:{tmp_path}/x.ark", **options) as writer:
        writer["a"] = (8000, np.arange(500, dtype=np.int16))
    whole = (tmp_path / "x.ark").read_bytes()
    assert len(read_signal(f"{tmp_path}/x.ark:2", name="a")[0]) == 500
    (tmp_path / "x.ark").write_bytes(whole[:-300])
    with pytest.raises(InputError, match=r"wav\.scp: a: .*truncated"):
        read_signal(f"{tmp_path}/x.ark:2", name="wav.scp: a")


def test_avi_in_an_archive_is_not_told_as_truncated(tmp_path):
    (tmp_path / "x.ark").write_bytes(b"a RIFF\x20\0\0\0AVI " + bytes(40))
    with pytest.raises(InputError, match=r"wav\.scp: a: '.*x\.ark:2' is no sound; it is RIFF of the form 'AVI '"):
        read_signal(f"{tmp_path}/x.ark:2", name="wav.scp: a")


def test_8_bit_sound_in_an_archive_is_centred(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.0, 0.5, -0.5]), 8000, subtype="PCM_U8")
    (tmp_path / "x.ark").write_bytes(b"a " + (tmp_path / "a.wav").read_bytes())
    assert read_signal(f"{tmp_path}/x.ark:2", name="a")[0].tolist() == [0.0, 0.5, -0.5]


def test_a_bad_archive_names_the_key(tmp_path):
    (tmp_path / "x.ark").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"wav\.scp: a: .*is not sound"):
        read_signal(f"{tmp_path}/x.ark:2", name="wav.scp: a")
