"""The doctor finds what is wrong, all of it, and says what is there."""

import numpy as np
import pytest
import soundfile
from scp_forms import to_pipes

from mindaudio_ext.bin import check_data as command
from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.check_data import check_data_dir
from mindaudio_ext.data.kaldi_dir_writer import write_data_dir

T = 8000
SPEAKERS = {"a": ("1", "2"), "b": ("2", "3"), "c": ("1", "3"), "d": ("4", "1")}


@pytest.fixture
def folder(tmp_path):
    """Four mixtures of a second at 8 kHz; the first source has ten times the amplitude: +20 and -20 dB."""
    rng = np.random.default_rng(0)
    scps = [{}, {}, {}]
    for key in SPEAKERS:
        sign = rng.permutation(np.repeat([1, -1], T // 2))
        sources = np.stack([2000 * sign, 200 * np.roll(sign, 1)]).astype(np.int16)
        for scp, name, samples in zip(scps, ("mix", "s1", "s2"), (sources.sum(0, dtype=np.int16), *sources)):
            scp[key] = str(tmp_path / "wav" / name / f"{key}.wav")
            write_wav(scp[key], samples, 8000)
    write_data_dir(
        tmp_path / "data" / "test",
        mixtures=scps[0],
        sources=scps[1:],
        num_samples=dict.fromkeys(SPEAKERS, T),
        src2spk=SPEAKERS,
        spk2gender={"1": "f", "2": "m", "3": "f", "4": "f"},
    )
    return tmp_path / "data" / "test"


def _wav(folder, name, key):
    return folder.parents[1] / "wav" / name / f"{key}.wav"


def _write(folder, key, sources):
    """Makes a mixture anew of its sources, int [C, T]."""
    mixture = np.clip(sources.sum(axis=0, dtype=int), -32768, 32767)
    for name, samples in zip(("mix", "s1", "s2"), (mixture, *sources)):
        write_wav(_wav(folder, name, key), samples.astype(np.int16), 8000)


def test_a_good_set_has_no_faults_and_known_statistics(folder, capsys):
    command.main([str(folder), "--nj", "2"])
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{folder}: 4 of 4 mixtures read: 0.00 h, 8000 Hz, 2 sources",
        f"{folder}: lengths 1.00 to 1.00 s, median 1.00 s",
        f"{folder}: SNR of a source -20.00 to 20.00 dB, mean 0.00, median 0.00 dB",
        f"{folder}: 4 speakers: 3 f, 1 m",
        f"{folder}: mixtures by the sexes in them: 2 ff, 2 fm",
        f"{folder}: histogram of the SNR: {folder.parent}/check/test/snr.png",
        f"{folder}: is no full published test set; scores of its mixtures are not known beforehand",
        f"{folder}: no faults",
    ]
    picture = (folder.parent / "check" / "test" / "snr.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n")
    assert [path.name for path in (folder.parent / "check" / "test").iterdir()] == ["snr.png"]


def test_all_faults_are_named_not_only_the_first(folder, capsys):
    first, second = (soundfile.read(_wav(folder, name, "a"), dtype="int16")[0] for name in ("s1", "s2"))
    _write(folder, "b", np.stack([first, second]))  # a again
    _write(folder, "c", np.stack([first, np.full(T, 2)]))  # nothing to hear
    _write(folder, "d", np.stack([first, first]))  # one signal twice
    with pytest.raises(SystemExit) as caught:
        command.main([str(folder)])
    assert caught.value.code == 2
    said = capsys.readouterr()
    faults = [line.removeprefix(f"fault: {folder}: ") for line in said.out.splitlines() if line.startswith("fault: ")]
    assert faults == [
        "c: source 2 is silent, its peak is 2 16-bit steps",
        "d: sources 1 and 2 are the same signal",
        "b is the same sound as a",
    ]
    assert f"error: {folder}: 3 faults; the first: {folder}: c: source 2 is silent" in said.err
    assert "no faults" not in said.out


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("sum", "c: the sources do not add up to the mixture; at sample 5"),
        ("rate", "c is at 16000 Hz, a at 8000 Hz"),
        ("rate of one", "spk1.scp: c: {wav}/s1/c.wav: is at 16000 Hz; 8000 Hz is expected"),
        ("empty", "spk1.scp: c: {wav}/s1/c.wav: is empty"),
        ("nan", "spk1.scp: c: {wav}/s1/c.wav: has NaN or infinity at sample 5"),
        ("truncated", "spk1.scp: c: {wav}/s1/c.wav: is truncated"),
        ("missing", "spk1.scp: c: {wav}/s1/c.wav: no such file"),
    ],
)
def test_every_fault_is_found(folder, harm, says):
    path = _wav(folder, "s1", "c")
    samples = soundfile.read(path, dtype="int16")[0]
    if harm == "sum":
        samples[5] += 2
        write_wav(path, samples, 8000)
    elif harm == "rate":
        for name in ("mix", "s1", "s2"):
            write_wav(_wav(folder, name, "c"), soundfile.read(_wav(folder, name, "c"), dtype="int16")[0], 16000)
    elif harm == "rate of one":
        write_wav(path, samples, 16000)
    elif harm == "empty":
        write_wav(path, samples[:0], 8000)
    elif harm == "nan":
        floats = samples / np.float32(32768)
        floats[5] = np.nan
        soundfile.write(path, floats, 8000, subtype="FLOAT")
    elif harm == "truncated":
        path.write_bytes(path.read_bytes()[:-10])
    else:
        path.unlink()
    faults = check_data_dir(folder).faults
    assert len(faults) == 1
    assert says.format(wav=folder.parents[1] / "wav") in faults[0]


def test_a_speaker_twice_in_a_mixture_is_refused(folder, capsys):
    (folder / "src2spk").write_text("a 1 2\nb 3 3\nc 1 3\nd 4 1\n")
    with pytest.raises(SystemExit) as caught:
        command.main([str(folder)])
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"check_data: error: {folder}/src2spk: b: lists a speaker twice\n"


def test_what_may_be_meant_so_is_a_warning(folder):
    loud = np.full(T, 9000)
    loud[100:140] = 20000
    _write(folder, "c", np.stack([loud, np.roll(loud, 10)]))  # 30 samples of the sum are over full scale
    (folder / "src2spk").unlink()
    checked = check_data_dir(folder)
    assert checked.faults == ()
    assert checked.warnings == (
        f"{folder}: 1 of 4 mixtures clip, most c (30 samples)",
        f"{folder}: has no src2spk: whether a speaker is twice in a mixture is not known",
    )
    assert checked.statistics[-1] == "speakers not known"


def test_speakers_of_another_set_are_a_warning(folder):
    (folder.parent / "train").mkdir()
    (folder.parent / "train" / "src2spk").write_text("x 1 2\ny 9 8\n")
    assert check_data_dir(folder).warnings == (f"{folder}: shares 2 speakers with train",)


def test_commands_are_run_only_when_allowed(folder, capsys):
    to_pipes(folder)
    with pytest.raises(SystemExit) as caught:
        command.main([str(folder)])
    assert caught.value.code == 2
    assert "wav.scp: a: is a command" in capsys.readouterr().err
    command.main([str(folder), "--allow_pipes", "true"])
    assert "no faults" in capsys.readouterr().out
