"""Data directories: what is valid, and that every fault is named."""

import numpy as np
import pytest
from scp_forms import to_archives, to_pipes

from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.kaldi_dir import read_data_dir, read_mixture, shared_speakers, validate_data_dir, write_data_dir
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
        "spk1.scp",
        "spk2utt",
        "utt2num_samples",
        "utt2spk",
        "wav.scp",
    ]
    assert {path.name for path in data_dir.parent.iterdir()} == {"data", "wav"}


def test_shared_speakers_are_counted(data_dir):
    (data_dir.parent / "other").mkdir()
    (data_dir.parent / "other" / "src2spk").write_text("x 2 9\ny 3 8\n")
    (data_dir.parent / "third").mkdir()
    (data_dir.parent / "third" / "src2spk").write_text("x 7 9\n")
    assert shared_speakers(data_dir) == {"other": 2}
