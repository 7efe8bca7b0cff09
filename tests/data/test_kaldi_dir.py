"""Data directories: what is valid, and that every fault is named."""

import os
import re
import shutil

import numpy as np
import pytest
import soundfile
from scp_forms import to_archives, to_pipes

from mindaudio_ext.data import audio
from mindaudio_ext.data.audio import read_audio, write_wav
from mindaudio_ext.data.check_data import check_data_dir
from mindaudio_ext.data.fix import fix_data_dir
from mindaudio_ext.data.kaldi_dir import Entry, read_data_dir
from mindaudio_ext.data.kaldi_dir_writer import write_data_dir
from mindaudio_ext.data.mindrecord_writer import dump
from mindaudio_ext.data.validate_data_dir import read_mixture, shared_speakers, validate_data_dir
from mindaudio_ext.errors import InputError

LENGTHS = {"b": 900, "a": 800}


@pytest.fixture
def data_dir(tmp_path):
    """Two mixtures of two sources and noise at 8 kHz; their parts add up exactly."""
    rng = np.random.default_rng(0)
    scps = {name: {} for name in ("mix", "s1", "s2", "noise")}
    for key, length in LENGTHS.items():
        parts = {name: rng.integers(-5000, 5000, length).astype(np.int16) for name in ("s1", "s2", "noise")}
        for name, samples in {"mix": sum(parts.values()), **parts}.items():
            scps[name][key] = str(tmp_path / "wav" / name / f"{key}.wav")
            write_wav(scps[name][key], samples, 8000)
    write_data_dir(
        tmp_path / "data",
        mixtures=scps["mix"],
        sources=[scps["s1"], scps["s2"]],
        noise=scps["noise"],
        num_samples=LENGTHS,
        src2spk={"a": ("1", "2"), "b": ("2", "3")},
        spk2gender={"1": "f", "2": "m", "3": "f"},
    )
    return tmp_path / "data"


def _shift(data_dir, name, key, by):
    """Adds `by` 16-bit steps to one sample of a signal."""
    import soundfile

    path = data_dir.parent / "wav" / name / f"{key}.wav"
    samples, rate = soundfile.read(path, dtype="int16")
    samples[10] += by
    write_wav(path, samples, rate)


def test_it_is_written_sorted_and_read_back(data_dir):
    assert (data_dir / "utt2num_samples").read_text() == "a 800\nb 900\n"
    assert (data_dir / "spk2utt").read_text() == "a a\nb b\n"
    assert (data_dir / "src2spk").read_text() == "a 1 2\nb 2 3\n"
    data = read_data_dir(data_dir)
    assert data.keys == ("a", "b")
    assert data.num_samples == LENGTHS
    assert data.src2spk == {"a": ("1", "2"), "b": ("2", "3")}
    assert len(data.sources) == 2
    mixture, sources, rate = read_mixture(data.entries()[1])
    assert (mixture.shape, sources.shape, rate) == ((900,), (2, 900), 8000)
    assert {path.name for path in data_dir.parent.iterdir()} == {"data", "wav"}


def test_a_valid_one_is_summed_up(data_dir):
    found = validate_data_dir(data_dir, nj=2)
    assert (found.num_utts, found.sample_rate, found.num_spks, found.speakers) == (2, 8000, 2, 3)
    assert found.hours == pytest.approx(1700 / 8000 / 3600)


@pytest.mark.parametrize("steps", [2, -2])
def test_one_step_for_each_addition_is_allowed(data_dir, steps):
    _shift(data_dir, "mix", "b", steps)
    validate_data_dir(data_dir)


@pytest.mark.parametrize(("name", "steps"), [("mix", 3), ("s2", -3), ("noise", 3)])
def test_more_than_that_is_refused(data_dir, name, steps):
    _shift(data_dir, name, "b", steps)
    with pytest.raises(
        InputError, match=r"b: the sources and noise do not add up.*sample 10 .*3 16-bit steps.*2 allowed"
    ):
        validate_data_dir(data_dir)
    validate_data_dir(data_dir, check_audio=False)


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("spk1.scp", None, r"spk1\.scp: no such file"),
        ("utt2spk", None, r"utt2spk: no such file"),
        ("utt2num_samples", "a 800\n", r"utt2num_samples: has no line for b"),
        ("utt2num_samples", "a 800\nb 900\nc 1\n", r"utt2num_samples: has a line for c"),
        ("utt2num_samples", "a 800\nb 901\n", r"utt2num_samples: b: says 901 samples; the mixture has 900"),
        ("utt2num_samples", "a 800\nb many\n", r"b: 'many' is not a number of samples"),
        ("utt2num_samples", f"a 800\nb {5000 * '1'}\n", r"b: '1+' is not a number of samples"),
        ("utt2num_samples", "b 900\na 800\n", r"utt2num_samples:2: a comes after b"),
        ("utt2num_samples", "a 800\na 800\nb 900\n", r"utt2num_samples:2: the key a is there twice"),
        ("wav.scp", "a\nb x.wav\n", r"wav\.scp:1: 'a' is not"),
        ("wav.scp", "", r"wav\.scp: is empty"),
        ("spk2utt", "a a\nb a\n", r"spk2utt: b: is not the inverse"),
        ("spk2utt", "a a\n", r"spk2utt: b: is not the inverse"),
        ("src2spk", "a 1 2\nb 2\n", r"src2spk: b: lists 1 speakers for 2 sources"),
        ("src2spk", "a 1 2\nb 2 2\n", r"src2spk: b: lists a speaker twice"),
        ("spk2gender", "1 female\n", r"spk2gender: 1: 'female' is neither"),
        ("spk4.scp", "a x\nb x\n", r"spk3\.scp: no such file, but there is spk4\.scp"),
        ("spk2.scp", "a nowhere.wav\nb nowhere.wav\n", r"spk2\.scp: a: nowhere\.wav: no such file"),
        ("spk2.scp", "a touch x |\nb touch x |\n", r"spk2\.scp: a: is a command"),
    ],
)
def test_every_fault_is_named(data_dir, file, text, says):
    if text is None:
        (data_dir / file).unlink()
    else:
        (data_dir / file).write_text(text)
    with pytest.raises(InputError, match=says):
        validate_data_dir(data_dir)


@pytest.mark.parametrize(("name", "file"), [("mix", "wav.scp"), ("s2", "spk2.scp"), ("noise", "noise1.scp")])
def test_commands_are_refused_before_anything_is_read(data_dir, name, file):
    values = dict(line.split(" ", 1) for line in (data_dir / file).read_text().splitlines())
    (data_dir / file).write_text(f"a {values['a']}\nb cat {values['b']} |\n")
    (data_dir.parent / "wav" / "mix" / "a.wav").unlink()
    with pytest.raises(InputError, match=rf"{file}: b: is a command .*--allow_pipes true"):
        read_data_dir(data_dir)
    assert read_data_dir(data_dir, allow_pipes=True).entries()[1].read(file)[0].shape == (900,)


@pytest.mark.parametrize("change", [to_pipes, to_archives])
def test_pipes_and_archives_are_as_good_as_paths(data_dir, change):
    expected = [read_mixture(entry) for entry in read_data_dir(data_dir).entries()]
    change(data_dir)
    for entry, before in zip(read_data_dir(data_dir, allow_pipes=True).entries(), expected):
        np.testing.assert_array_equal(read_mixture(entry)[0], before[0])
        np.testing.assert_array_equal(read_mixture(entry)[1], before[1])
    assert validate_data_dir(data_dir, nj=2, allow_pipes=True).num_utts == 2


def test_missing_numbers_of_samples_are_counted_and_written(data_dir):
    (data_dir / "utt2num_samples").unlink()
    assert read_data_dir(data_dir).num_samples == LENGTHS
    assert (data_dir / "utt2num_samples").read_text() == "a 800\nb 900\n"


def test_numbers_of_samples_of_pipes_and_archives_are_counted(data_dir):
    to_archives(data_dir)
    (data_dir / "utt2num_samples").unlink()
    assert read_data_dir(data_dir).num_samples == LENGTHS


def test_no_command_is_run_to_count_samples_unless_allowed(data_dir):
    to_pipes(data_dir)
    (data_dir / "utt2num_samples").unlink()
    with pytest.raises(InputError, match="is a command"):
        read_data_dir(data_dir)
    assert not (data_dir / "utt2num_samples").exists()
    assert read_data_dir(data_dir, allow_pipes=True).num_samples == LENGTHS


def test_they_are_counted_where_nothing_can_be_written(data_dir, monkeypatch):
    (data_dir / "utt2num_samples").unlink()

    def refuse(path, text):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("mindaudio_ext.data.kaldi_dir.write_text", refuse)
    assert read_data_dir(data_dir).num_samples == LENGTHS
    assert not (data_dir / "utt2num_samples").exists()


def test_a_file_that_cannot_be_read_is_named_when_its_samples_are_counted(data_dir):
    (data_dir / "utt2num_samples").unlink()
    (data_dir.parent / "wav" / "mix" / "b.wav").write_bytes(b"")
    with pytest.raises(InputError, match=r"wav\.scp: b: .*b\.wav: is empty"):
        read_data_dir(data_dir)
    assert not (data_dir / "utt2num_samples").exists()


def _join(data_dir, segments):
    """Joins the signals to one recording of 1700 samples, r, of which the mixtures are segments."""
    import soundfile

    for file, name in {"wav": "mix", "spk1": "s1", "spk2": "s2", "noise1": "noise"}.items():
        parts = [soundfile.read(data_dir.parent / "wav" / name / f"{key}.wav", dtype="int16")[0] for key in "ab"]
        write_wav(data_dir.parent / "wav" / f"{name}.wav", np.concatenate(parts), 8000)
        (data_dir / f"{file}.scp").write_text(f"r {data_dir.parent}/wav/{name}.wav\n")
    (data_dir / "segments").write_text(segments)


@pytest.mark.parametrize("segments", [
    "a r 0 0.1\nb r 0.1 -1\n", "a r 0.0 0.10001\nb r 0.1 0.2125\n", "a r 0 0.1\nb r 1e-1 0.7\n",
])  # fmt: skip
@pytest.mark.parametrize("change", [None, to_pipes, to_archives])
def test_segments_are_parts_of_recordings(data_dir, segments, change):
    expected = [read_mixture(entry) for entry in read_data_dir(data_dir).entries()]
    _join(data_dir, segments)
    (data_dir / "utt2num_samples").unlink()
    if change:
        change(data_dir)
    data = read_data_dir(data_dir, allow_pipes=True)
    assert data.num_samples == LENGTHS
    for entry, before in zip(data.entries(), expected):
        np.testing.assert_array_equal(read_mixture(entry)[0], before[0])
        np.testing.assert_array_equal(read_mixture(entry)[1], before[1])
    assert validate_data_dir(data_dir, nj=2, allow_pipes=True).num_utts == 2


@pytest.mark.parametrize(("segments", "says"), [
    ("a r 0 0.1\nb r 0.1\n", "segments: b: 'r 0.1' is not '<recording> <start> <end>'"),
    ("a r 0 0.1\nb r 0.1 0.2 1\n", "segments: b: 'r 0.1 0.2 1' is not '<recording> <start> <end>'"),
    ("a r 0 0.1\nb r 0.1 end\n", "segments: b: 'r 0.1 end' is not"),
    ("a r 0 0.1\nb r 0.2 0.1\n", "segments: b: from 0.2 to 0.1 s is no part of a recording"),
    ("a r 0 0.1\nb r nan 0.1\n", "segments: b: from nan to 0.1 s is no part"),
    ("a r 0 0.1\nb r 1e308 -1\n", r"segments: b: from 1e308 to -1 s is no part"),
    ("a r 0 0.1\nb r 0 1e308\n", r"segments: b: from 0 to 1e308 s is no part"),
    ("a r 0 0.1\nb x 0.1 0.2\n", "wav.scp: has no line for the recording x, which b in segments is part of"),
    ("a r 0 0.1\nc r 0.1 0.2\n", "utt2num_samples: has no line for c, which is in segments"),
    ("a r 0 0.1\nb r 0.1 0.72\n", "wav.scp: b: its segment of 0.1 to 0.72 s is not in the recording of 0.21 s"),
    ("a r 0 0.1\nb r 0.3 -1\n", "wav.scp: b: its segment of 0.3 to -1.0 s is not in the recording of 0.21 s"),
    ("a r 0 0.1\nb r 0.1 0.2\n", "utt2num_samples: b: says 900 samples; the mixture has 800"),
])  # fmt: skip
def test_segments_that_are_wrong_are_named(data_dir, segments, says):
    _join(data_dir, segments)
    with pytest.raises(InputError, match=re.escape(says)):
        validate_data_dir(data_dir)


def test_a_recording_of_many_segments_is_read_once(data_dir, monkeypatch):
    _join(data_dir, "a r 0 0.1\nb r 0.1 -1\n")
    read = []
    monkeypatch.setattr(audio, "read_audio", lambda path, **options: read.append(path) or read_audio(path, **options))
    validate_data_dir(data_dir)
    assert len(read) == 4
    write_wav(data_dir.parent / "wav" / "mix.wav", np.zeros(1701, np.int16), 8000)
    with pytest.raises(InputError, match="do not add up"):
        validate_data_dir(data_dir)


def test_the_file_of_counted_samples_may_come_after_the_dump(data_dir, monkeypatch):
    text = (data_dir / "utt2num_samples").read_bytes()
    (data_dir / "utt2num_samples").unlink()

    def refuse(path, text):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("mindaudio_ext.data.kaldi_dir.write_text", refuse)
        manifest, written = dump(data_dir, data_dir.parent / "dump")
    assert written
    assert not (data_dir / "utt2num_samples").exists()
    assert dump(data_dir, data_dir.parent / "dump") == (manifest, False)
    assert (data_dir / "utt2num_samples").read_bytes() == text


def test_what_a_user_adds_to_the_directory_keeps_the_dump(data_dir):
    manifest, _ = dump(data_dir, data_dir.parent / "dump")
    after = (data_dir.parent / "dump" / "manifest.json").stat().st_mtime_ns + 1
    for name in ("text", "notes.txt", ".lock.x"):
        (data_dir / name).write_text("a hello\n")
        os.utime(data_dir / name, ns=(after, after))
    assert dump(data_dir, data_dir.parent / "dump") == (manifest, False)
    os.utime(data_dir / "spk2.scp", ns=(after, after))
    assert dump(data_dir, data_dir.parent / "dump")[1]


def test_other_segments_are_dumped_anew(data_dir):
    _join(data_dir, "a r 0 0.1\nb r 0.1 -1\n")
    assert dump(data_dir, data_dir.parent / "dump")[1]
    assert not dump(data_dir, data_dir.parent / "dump")[1]
    manifest = data_dir.parent / "dump" / "manifest.json"
    (data_dir / "segments").write_text("a r 0.01 0.11\nb r 0.1 -1\n")
    os.utime(data_dir / "segments", ns=(0, manifest.stat().st_mtime_ns - 1))
    assert dump(data_dir, data_dir.parent / "dump")[1]


@pytest.mark.parametrize(("name", "file"), [("mix", "wav.scp"), ("s2", "spk2.scp"), ("noise", "noise1.scp")])
def test_a_signal_above_full_scale_is_named_with_its_peak(data_dir, name, file):
    import soundfile

    path = data_dir.parent / "wav" / name / "b.wav"
    samples = soundfile.read(path)[0]
    samples[17] = -1.75
    soundfile.write(path, samples, 8000, subtype="FLOAT")
    says = rf"{file}: b: has a peak of 1\.75 times full scale, which 16 bits would clip"
    with pytest.raises(InputError, match=says):
        validate_data_dir(data_dir)
    with pytest.raises(InputError, match=says):
        dump(data_dir, data_dir.parent / "dump")
    assert any("peak of 1.75" in fault for fault in check_data_dir(data_dir).faults)
    samples[17] = -1.0
    soundfile.write(path, samples, 8000, subtype="FLOAT")
    assert read_data_dir(data_dir).entries()[1].read(file)[0].min() == -1.0


def test_a_mixture_may_clip_where_the_sum_would(data_dir):
    import soundfile

    loud = {name: np.full(900, 20_000, np.int16) for name in ("s1", "s2")}
    noise = soundfile.read(data_dir.parent / "wav" / "noise" / "b.wav", dtype="int16")[0]
    for name, samples in loud.items():
        write_wav(data_dir.parent / "wav" / name / "b.wav", samples, 8000)
    write_wav(
        data_dir.parent / "wav" / "mix" / "b.wav", np.minimum(40_000 + noise.astype(int), 32767).astype(np.int16), 8000
    )
    assert validate_data_dir(data_dir).num_utts == 2
    _shift(data_dir, "mix", "b", -3)
    with pytest.raises(InputError, match="3 16-bit steps off"):
        validate_data_dir(data_dir)


def test_lengths_and_rates_must_agree(data_dir):
    path = data_dir.parent / "wav" / "s1" / "b.wav"
    write_wav(path, np.zeros(899, np.int16), 8000)
    with pytest.raises(InputError, match=r"spk1\.scp: b: has 899 samples; the mixture has 900"):
        validate_data_dir(data_dir)
    write_wav(path, np.zeros(900, np.int16), 16000)
    with pytest.raises(InputError, match=r"spk1\.scp: b: .*is at 16000 Hz; 8000 Hz"):
        validate_data_dir(data_dir)


def test_all_mixtures_have_one_rate(data_dir):
    for name in ("mix", "s1", "s2", "noise"):
        write_wav(data_dir.parent / "wav" / name / "b.wav", np.zeros(900, np.int16), 16000)
    with pytest.raises(InputError, match="b is at 16000 Hz, a at 8000 Hz"):
        validate_data_dir(data_dir)


def test_keys_sort_by_bytes(data_dir):
    for file in ("utt2num_samples", "utt2spk", "spk2utt"):
        (data_dir / file).write_text("Z 1\na 1\n\u00e9 1\n\uffff 1\n\U0001f600 1\n")
    with pytest.raises(InputError, match="has no line for b"):
        read_data_dir(data_dir)


def test_replacing_keeps_nothing_of_the_old(data_dir):
    data = read_data_dir(data_dir)
    only = {"a": data.mixtures["a"]}
    write_data_dir(data_dir, mixtures=only, sources=[only], num_samples={"a": 800})
    assert sorted(path.name for path in data_dir.iterdir()) == [
        ".made.json",
        "spk1.scp",
        "spk2utt",
        "utt2num_samples",
        "utt2spk",
        "wav.scp",
    ]
    assert {path.name for path in data_dir.parent.iterdir()} == {"data", "wav"}


def _write_again(data_dir, **changes):
    """Makes a directory of the same signals again, as the same command would."""
    data = read_data_dir(data_dir)
    values = {"mixtures": data.mixtures, "sources": data.sources, "noise": data.noise, "num_samples": data.num_samples}
    write_data_dir(data_dir, **{**values, "src2spk": data.src2spk, "spk2gender": data.spk2gender, **changes})


def test_what_a_user_adds_stays_and_the_same_again_is_no_mistake(data_dir):
    (data_dir / "text").write_text("a HELLO\nb WORLD\n")
    before = {path.name: path.stat().st_mtime_ns for path in data_dir.iterdir()}
    _write_again(data_dir)
    assert {path.name: path.stat().st_mtime_ns for path in data_dir.iterdir()} == before
    with pytest.raises(
        InputError, match=r"data/text: was not made with .*/data, which would be replaced; move it away"
    ):
        _write_again(data_dir, noise=None)
    assert {path.name: path.stat().st_mtime_ns for path in data_dir.iterdir()} == before


def test_what_fix_data_dir_changed_stays(data_dir):
    whole = read_data_dir(data_dir)
    (data_dir / "spk1.scp").write_text("".join(f"b {whole.sources[0]['b']}\n"))
    fix_data_dir(data_dir)
    before = {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()}
    again = {"mixtures": whole.mixtures, "sources": whole.sources, "num_samples": LENGTHS}
    with pytest.raises(InputError, match=r"data/\.backup: was not made with"):
        write_data_dir(data_dir, **again)
    assert {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()} == before
    shutil.rmtree(data_dir / ".backup")
    with pytest.raises(InputError, match=r"data/[a-z0-9.]+: was changed after it was made; move or remove"):
        write_data_dir(data_dir, **again)


def test_a_directory_made_by_hand_is_not_replaced_but_the_same_is_none_the_worse(data_dir):
    (data_dir / ".made.json").unlink()
    (data_dir / "text").write_text("mine\n")
    _write_again(data_dir)
    assert not (data_dir / ".made.json").exists()
    with pytest.raises(InputError, match="data: is not known to be made by this command"):
        _write_again(data_dir, noise=None)
    assert (data_dir / "noise1.scp").is_file()


def test_shared_speakers_are_counted(data_dir):
    (data_dir.parent / "other").mkdir()
    (data_dir.parent / "other" / "src2spk").write_text("x 2 9\ny 3 8\n")
    (data_dir.parent / "third").mkdir()
    (data_dir.parent / "third" / "src2spk").write_text("x 7 9\n")
    assert shared_speakers(data_dir) == {"other": 2}


@pytest.mark.parametrize(
    ("name", "text"), [("windows.json", "{}"), (".mixtures.json", '{"a": 1}'), ("windows.json", "\xff")]
)
def test_a_folder_with_a_file_of_such_a_name_is_not_ours(tmp_path, name, text):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / name).write_text(text)
    (folder / "wav.scp").write_text("mine\n")
    with pytest.raises(InputError, match="is not known to be made by this command"):
        write_data_dir(folder, num_samples={"a": 5}, mixtures={"a": "a.wav"})
    assert (folder / "wav.scp").read_text() == "mine\n"


def test_a_set_from_before_marks_gets_one_when_it_is_found_the_same(tmp_path):
    folder = tmp_path / "set"
    write_data_dir(folder, num_samples={"a": 5}, mixtures={"a": "a.wav"})
    (folder / ".made.json").unlink()
    write_data_dir(folder, num_samples={"a": 5}, mixtures={"a": "a.wav"})
    write_data_dir(folder, num_samples={"a": 6}, mixtures={"a": "a.wav"})
    assert (folder / "utt2num_samples").read_text() == "a 6\n"


def test_what_is_above_full_scale_can_be_separated_but_not_dumped(tmp_path):
    path = tmp_path / "loud.wav"
    write_wav(path, np.zeros(100, np.int16), 8000)
    soundfile.write(path, np.float32([0, 1.5, -0.5] * 100), 8000, subtype="FLOAT")
    entry = Entry(tmp_path, "a", {"wav.scp": str(path)}, 300)
    assert np.abs(entry.read("wav.scp", within_full_scale=False)[0]).max() == 1.5
    with pytest.raises(InputError, match=r"wav\.scp: a: has a peak of 1\.5 times full scale"):
        entry.read("wav.scp")


def test_a_segment_of_many_decimals_is_one():
    value = audio.part_of("x.wav", 0.00012345678901234567, 2.0)
    assert audio._PART.search(value)
