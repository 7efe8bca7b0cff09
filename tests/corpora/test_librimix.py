"""LibriMix's mixtures from its metadata."""

import csv
import hashlib
import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from librimix_corpus import make_corpus, noise, soundfile_write

from mindaudio_ext.corpora.librimix import (
    MixRow,
    add,
    change_speed,
    extend_noise,
    mix_row,
    mixed_length,
    read_metadata,
    read_scaled,
    snrs,
)
from mindaudio_ext.errors import InputError


def row(paths, gains, noise_path=None, noise_gain=0.0):
    return MixRow(
        "a_b", tuple(str(path) for path in paths), tuple(gains), noise_path and str(noise_path), noise_gain, ""
    )


def test_a_mixture_at_the_sources_rate_is_what_can_be_computed_by_hand(tmp_path):
    steps = [np.array([100, -200, 300, 400], np.int16), np.array([7, 9], np.int16)]
    paths = [tmp_path / f"{i}.wav" for i in range(2)]
    for path, samples in zip(paths, steps):
        soundfile.write(path, samples, 16000)
    mixture, sources = mix_row(row(paths, [2.0, 0.5]), sample_rate=16000, mode="min", mix_type="mix_clean")
    assert sources.tolist() == [[200, -400], [3, 4]]  # 3.5 and 4.5 go down to the next step
    assert mixture.tolist() == [203, -396]  # added before they are quantised
    mixture, sources = mix_row(row(paths, [2.0, 0.5]), sample_rate=16000, mode="max", mix_type="mix_clean")
    assert sources.tolist() == [[200, -400, 600, 800], [3, 4, 0, 0]]
    assert mixture.tolist() == [203, -396, 600, 800]
    assert mixed_length(row(paths, [1, 1]), sample_rate=8000, mode="max") == 2
    assert mixed_length(row(paths, [1, 1]), sample_rate=8000, mode="min") == 1


def test_types_take_their_parts_and_a_loud_mixture_saturates(tmp_path):
    paths = [tmp_path / f"{i}.wav" for i in range(3)]
    for path, value in zip(paths, (0.75, 0.5, 0.125)):
        soundfile.write(path, np.full(3, value), 16000)
    of = row(paths[:2], [1.0, 1.0], paths[2], 1.0)
    single, sources = mix_row(of, sample_rate=16000, mode="min", mix_type="mix_single")
    assert (single[0], sources.shape, sources[0, 0]) == (28672, (1, 3), 24576)
    both, sources = mix_row(of, sample_rate=16000, mode="min", mix_type="mix_both")
    assert (both[0], sources[:, 0].tolist()) == (32767, [24576, 16384])


def test_extended_noise():
    # Of ones, a cross-fade by the halves of a Hann window is one again; its middle is the mean of both ends.
    assert extend_noise(np.ones(10000, np.float32), 30000) == pytest.approx(np.ones(30000))
    ramp = np.concatenate([np.zeros(8001), np.ones(1999)]).astype(np.float32)
    extended = extend_noise(ramp, 11999)
    assert extended.dtype == np.float64
    assert extended[:1999].tolist() == ramp[:1999].tolist()
    assert extended[1999 + 4000] == pytest.approx(0.0)
    assert extended[9999] == pytest.approx(0.0)  # the end has faded out
    assert extended[10000] == 1.0  # what follows the first 8001 samples of the noise
    with pytest.raises(InputError, match="8001 samples; more than 8001"):
        extend_noise(np.ones(8001), 9000)


def test_snrs_are_in_the_type_of_the_signals():
    parts = [np.full(20000, 0.1, np.float32), np.full(20000, 0.01, np.float32)]
    first, second = snrs(add(parts), parts)
    assert first.dtype == np.float32
    assert float(first) == pytest.approx(20.0, abs=1e-4)
    assert float(second) == pytest.approx(-20.0, abs=1e-4)
    assert snrs(add(parts), [parts[1].astype(np.float64)])[0].dtype == np.float64


@pytest.fixture
def corpus(tmp_path):
    return make_corpus(tmp_path, n_mixtures=2, sets=("dev-clean",))


def metadata_of(corpus, **options):
    return read_metadata(corpus / "metadata/libri2mix_dev-clean.csv", 2, librispeech=corpus / "LibriSpeech", **options)


def test_metadata_without_noise_need_no_noise_columns(corpus):
    rows = metadata_of(corpus)
    assert [len(of.paths) for of in rows] == [2, 2]
    assert rows[0].noise_path is None
    assert len(read_scaled(rows[0])) == 2
    file = corpus / "metadata/libri2mix_dev-clean.csv"
    file.write_text("\n".join(",".join(line.split(",")[:5]) for line in file.read_text().splitlines()))
    assert [of.gains for of in metadata_of(corpus)] == [of.gains for of in rows]
    with pytest.raises(InputError, match="no column noise_path"):
        metadata_of(corpus, wham=corpus / "wham_noise")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a b,x.flac,1,y.flac,1,n.wav,1", "'a b' cannot be a key: it has white space"),
        ("ab,x.flac,one,y.flac,1,n.wav,1", "ab: source_1_gain: 'one' is not a factor"),
        ("ab,x.flac,nan,y.flac,1,n.wav,1", "'nan' is not a factor"),
        ("ab,x.flac,1,,1,n.wav,1", "ab: source_2_path is empty"),
        ("ab,x.flac,1", "ab: source_2_path is empty"),
    ],
)
def test_a_bad_row_is_named(corpus, line, message):
    file = corpus / "metadata/libri2mix_dev-clean.csv"
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(InputError, match=f"libri2mix_dev-clean.csv:4: .*{message}"):
        metadata_of(corpus)


def test_a_mixture_twice_and_no_mixture_are_refused(corpus):
    file = corpus / "metadata/libri2mix_dev-clean.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(InputError, match="is there twice"):
        metadata_of(corpus)
    file.write_text(lines[0] + "\n")
    with pytest.raises(InputError, match="has no mixtures"):
        metadata_of(corpus)


@pytest.mark.parametrize(
    ("which", "damage", "message"),
    [
        ("source", "missing", "no such file"),
        ("source", "rate", "is at 8000 Hz; 16000 Hz is expected"),
        ("source", "empty", "is empty"),
        ("source", "no bytes", "is empty"),
        ("source", "nan", "has NaN or infinity at sample 5"),
        ("source", "stereo", "has 2 channels"),
        ("noise", "missing", "no such file"),
        ("noise", "rate", "is at 8000 Hz; 16000 Hz is expected"),
        ("noise", "empty", "is empty"),
        ("noise", "nan", "has NaN or infinity at sample 5"),
        ("noise", "text", "cannot be read as audio"),
        ("noise", "no bytes", "is empty"),
        ("source", "truncated", "is truncated"),
        ("noise", "truncated", "is truncated"),
    ],
)
def test_a_bad_file_is_named_with_its_mixture(corpus, which, damage, message):
    of = metadata_of(corpus, wham=corpus / "wham_noise")[0]
    path = of.paths[1] if which == "source" else of.noise_path
    samples = noise(9000, seed=0)
    rate = 8000 if damage == "rate" else 16000
    if damage == "empty":
        samples = samples[:0]
    if damage == "nan":
        samples[5] = np.nan
    if damage == "stereo":
        samples = np.stack([samples, samples], axis=1)
    with open(path, "wb") as file:
        if damage == "text":
            file.write(b"no sound")
        elif damage == "truncated":  # what is left is longer than the cross-fade and would be extended
            whole = io.BytesIO()
            soundfile.write(whole, samples, rate, format="WAV", subtype="FLOAT")
            file.write(whole.getvalue()[:-2000])
        elif damage == "no bytes":
            pass
        else:
            soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    if damage == "missing":
        (corpus / path).unlink()
    with pytest.raises(InputError, match=f"{of.key}: .*{path}: {message}"):
        read_scaled(of)


def test_a_noise_is_cut_to_the_longest_source_and_its_first_channel_is_taken(corpus):
    of = metadata_of(corpus, wham=corpus / "wham_noise")[1]
    *sources, cut = read_scaled(of)
    expected = soundfile.read(corpus / "wham_noise/tr/long.wav", dtype="float32")[0][:, 0] * 0.25
    assert len(cut) == max(len(source) for source in sources) < 14000
    assert cut.tolist() == expected[: len(cut)].astype(np.float32).tolist()


def test_backslashes_in_metadata_are_slashes(corpus):
    expected = metadata_of(corpus, wham=corpus / "wham_noise")
    file = corpus / "metadata/libri2mix_dev-clean.csv"
    file.write_text(file.read_text().replace("/", "\\"))
    assert "\\" in file.read_text()
    found = metadata_of(corpus, wham=corpus / "wham_noise")
    assert [of.files() for of in found] == [of.files() for of in expected]
    assert len(read_scaled(found[0])) == 3


@pytest.mark.parametrize("tenths", [8, 12])
def test_a_faster_noise_is_nearly_soxs(tenths):
    # SoX 14.4.2, -N, effect speed at 44100 Hz, the result written by soundfile in 16 bits: LibriMix's augmentation.
    golden = np.load(Path(__file__).parents[1] / "golden/sox_speed.npz")
    expected = golden[f"sp{tenths:02d}"].astype(int)
    found = change_speed(golden["noise"].astype(np.float32) / 32768, Fraction(tenths, 10)) * 32768
    assert len(found) == len(expected) == {8: 3750, 12: 2500}[tenths]
    assert np.abs(found - expected).max() <= 1
    assert np.mean(found == expected) > 0.9


@pytest.mark.parametrize(("name", "speed"), [("longsp08", (4, 5)), ("long_sp12", (6, 5))])
def test_an_augmented_noise_is_made_of_the_original(corpus, name, speed):
    tone = np.sin(2 * np.pi * 1000 * np.arange(14_000) / 16_000) / 2
    soundfile_write(corpus / "wham_noise/tr/long.wav", np.stack([tone, -tone], axis=1))
    file = corpus / "metadata/libri2mix_dev-clean.csv"
    file.write_text(file.read_text().replace("tr/long.wav", f"tr/{name}.wav"))
    of = metadata_of(corpus, wham=corpus / "wham_noise")[1]
    assert of.files()["noise"] == str(corpus / "wham_noise/tr/long.wav")
    made = read_scaled(of)[-1] / 0.25
    length = max(len(signal) for signal in read_scaled(of)[:-1])
    assert len(made) == length
    factor = speed[0] / speed[1]
    expected = np.sin(2 * np.pi * 1000 * factor * np.arange(length) / 16_000) / 2
    assert np.abs(made - expected)[500:3500].max() < 1e-4  # behind that, the faster one is extended
    soundfile_write(corpus / f"wham_noise/tr/{name}.wav", noise(14_000, seed=9))  # one that is there is read
    assert of.files()["noise"] == str(corpus / f"wham_noise/tr/{name}.wav")
    found = soundfile.read(corpus / f"wham_noise/tr/{name}.wav", dtype="float32")[0]
    assert read_scaled(of)[-1].tolist() == (found[:length] * 0.25).tolist()
    assert sorted(path.name for path in (corpus / "wham_noise/tr").iterdir()) == [
        "long.wav",
        f"{name}.wav",
        "short.wav",
    ]


def test_an_augmented_noise_without_its_original_is_named_as_it_is(corpus):
    file = corpus / "metadata/libri2mix_dev-clean.csv"
    file.write_text(file.read_text().replace("tr/long.wav", "tr/nonesp08.wav"))
    of = metadata_of(corpus, wham=corpus / "wham_noise")[1]
    with pytest.raises(InputError, match=r"tr/nonesp08\.wav: no such file"):
        read_scaled(of)


@pytest.mark.needs("speech_data")
@pytest.mark.parametrize("n_src", [2, 3])
def test_samples_without_wavs_are_those_of_the_published_generator(speech_data, n_src):
    golden = speech_data / "librimix_golden"
    with open(golden / "expected.csv", newline="") as file:
        expected = {fields["file"]: fields["pcm16_sha256"] for fields in csv.DictReader(file)}
    rows = read_metadata(
        golden / f"metadata/Libri{n_src}Mix/libri{n_src}mix_golden-clean.csv",
        n_src,
        librispeech=speech_data / "librispeech_16k/LibriSpeech",
        wham=golden / "wham_noise",
    )
    for of in rows:
        mixture, sources = mix_row(of, sample_rate=8000, mode="min", mix_type="mix_both")
        for name, samples in {"mix_both": mixture, **{f"s{i}": s for i, s in enumerate(sources, 1)}}.items():
            path = f"Libri{n_src}Mix/wav8k/min/golden/{name}/{of.key}.wav"
            assert hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest() == expected[path], path
        assert mixed_length(of, sample_rate=8000, mode="min") == len(mixture)
