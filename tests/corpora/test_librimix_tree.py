"""LibriMix's tree: the published generator's bytes, once, whatever interrupts."""

import csv
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
from librimix_corpus import make_corpus

from mindaudio_ext.bin.make_librimix import main
from mindaudio_ext.corpora.librimix_tree import Request, make_librimix, snr_column
from mindaudio_ext.errors import InputError

EVERYTHING = {"freqs": ("8k", "16k"), "modes": ("min", "max"), "types": ("mix_clean", "mix_both", "mix_single")}
CLEAN = {"freqs": ("8k",), "modes": ("min",), "types": ("mix_clean",)}
MODULE = [sys.executable, "-m", "mindaudio_ext.bin.make_librimix"]


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    text = str(folder).encode()
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes().replace(text, b"")).hexdigest()
        for path in files
        if path.suffix != ".jsonl"
    }


def make(corpus, out, *, n_src=2, nj=1, wham=True, **options):
    request = Request(out, n_src, **{**EVERYTHING, **options})
    return make_librimix(
        request,
        metadata=corpus / "metadata",
        librispeech=corpus / "LibriSpeech",
        wham=corpus / "wham_noise" if wham else None,
        nj=nj,
    )


@pytest.mark.needs("speech_data")
def test_the_published_generators_files(speech_data, tmp_path):
    golden = speech_data / "librimix_golden"
    for n_src in (2, 3):
        folders = {
            "--librispeech": speech_data / "librispeech_16k/LibriSpeech",
            "--wham": golden / "wham_noise",
            "--metadata": golden / f"metadata/Libri{n_src}Mix",
            "--out": tmp_path / "out",
        }
        options = f"--n_src {n_src} --freqs 8k 16k --modes min max --types mix_clean mix_both mix_single --nj 2"
        main([*(str(word) for option in folders.items() for word in option), *options.split()])
    with open(golden / "expected.csv", newline="") as file:
        expected = list(csv.DictReader(file))
    assert len(expected) == 228
    for fields in expected:
        samples, rate = soundfile.read(tmp_path / "out" / fields["file"], dtype="int16")
        assert (rate, len(samples)) == (int(fields["sample_rate"]), int(fields["n_samples"]))
        assert hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest() == fields["pcm16_sha256"], fields["file"]
    made = {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.wav")}
    assert made == {Path(fields["file"]) for fields in expected}
    tables = sorted((golden / "expected_metadata").rglob("*.csv"))
    assert len(tables) == 48
    for table in tables:
        mine = tmp_path / "out" / table.relative_to(golden / "expected_metadata")
        expected = cells_of(table.read_text().replace("<OUT>", str(tmp_path / "out")))
        # Sums in float32 differ in the last digit by the width of the processor's registers.
        close = [[cell if isinstance(cell, str) else pytest.approx(cell, rel=1e-5) for cell in row] for row in expected]
        assert cells_of(mine.read_text()) == close, table


def cells_of(table):
    """The cells of a table, row by row, numbers with a decimal point as numbers."""
    number = re.compile(r"-?\d+\.\d+(e-?\d+)?")
    return [[float(cell) if number.fullmatch(cell) else cell for cell in row.split(",")] for row in table.splitlines()]


def test_a_column_has_the_type_of_its_first_value():
    """As the original's files have them with pandas 3.1.1; float64 is what an extended noise leads to."""
    narrow, wide = (-4.7324367, False), (5.572526766232123, True)
    assert snr_column([narrow, wide]) == ["-4.7324367", "5.572527"]
    assert snr_column([wide, narrow]) == ["5.572526766232123", "-4.732436656951904"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """Everything of the corpus, made in one go."""
    out = tmp_path_factory.mktemp("whole")
    assert make(corpus, out) == {"dev": 6, "test": 6, "train-100": 6}
    return out


def test_every_combination_has_its_files_for_any_number_of_processes(corpus, whole, tmp_path):
    make(corpus, tmp_path, nj=2)
    found = digests(tmp_path)
    assert found == digests(whole)
    assert len(found) == 2 * 2 * 3 * (6 * 6 + 6)  # rates, modes, sets, mixtures of six wavs, and three pairs of csv
    assert soundfile.info(next(whole.glob("Libri2Mix/wav8k/max/train-100/noise/*.wav"))).samplerate == 8000


def test_the_clean_path_needs_no_noise(corpus, whole, tmp_path):
    alone = tmp_path / "corpus"
    shutil.copytree(corpus, alone)
    shutil.rmtree(alone / "wham_noise")
    make(alone, tmp_path / "out", wham=False, **CLEAN)
    found = digests(tmp_path / "out")
    assert len(found) == 3 * (6 * 3 + 2)
    assert found == {name: digests(whole)[name] for name in found}


def test_three_sources(tmp_path):
    make(make_corpus(tmp_path, n_src=3, n_mixtures=2), tmp_path / "out", n_src=3, modes=("min",), freqs=("8k",))
    folder = tmp_path / "out/Libri3Mix/wav8k/min/dev"
    assert sorted(path.name for path in folder.iterdir()) == [
        "mix_both",
        "mix_clean",
        "mix_single",
        "noise",
        "s1",
        "s2",
        "s3",
    ]
    head = (folder.parent / "metadata/metrics_dev_mix_both.csv").read_text().splitlines()[0]
    assert head == "mixture_ID,source_1_SNR,source_2_SNR,source_3_SNR,noise_SNR"


def test_run_again_makes_only_what_is_missing(corpus, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "out")
    make(corpus, tmp_path / "out")  # the paths in the csv files are others now
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*") if path.is_file()}
    lost = sorted((tmp_path / "out").rglob("wav16k/min/dev/s2/*.wav"))[0]
    lost.unlink()
    table = tmp_path / "out/Libri2Mix/wav8k/min/metadata/mixture_test_mix_both.csv"
    table.unlink()
    make(corpus, tmp_path / "out")
    assert digests(tmp_path / "out") == digests(whole)
    touched = {path for path, when in before.items() if path.stat().st_mtime_ns != when and path.suffix != ".jsonl"}
    assert {path.stem for path in touched if path.suffix == ".wav"} == {lost.stem}
    assert {path for path in touched if path.suffix == ".csv"} == {table}


def test_more_types_are_added_to_a_tree(corpus, whole, tmp_path):
    make(corpus, tmp_path, wham=False, **CLEAN)
    make(corpus, tmp_path)
    assert digests(tmp_path) == digests(whole)


def test_half_a_tree_of_the_original_scripts_is_finished(corpus, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "out")
    for file in [*(tmp_path / "out").rglob("*.jsonl"), *(tmp_path / "out").rglob("*.csv")]:
        file.unlink()
    halves = sorted((tmp_path / "out").rglob("*.wav"))[::2]
    for path in halves:
        path.write_bytes(path.read_bytes()[:1000])
    make(corpus, tmp_path / "out")
    assert digests(tmp_path / "out") == digests(whole)


def test_another_gain_makes_that_mixture_anew(corpus, whole, tmp_path):
    shutil.copytree(corpus, tmp_path / "corpus")
    make(corpus, tmp_path / "out", wham=False, **CLEAN)
    table = tmp_path / "corpus/metadata/libri2mix_dev-clean.csv"
    lines = table.read_text().splitlines()
    lines[3] = lines[3].replace(",0.52", ",0.62")
    table.write_text("\n".join(lines) + "\n")
    make(tmp_path / "corpus", tmp_path / "out", wham=False, **CLEAN)
    changed = {name for name, digest in digests(tmp_path / "out").items() if digest != digests(whole)[name]}
    key = lines[3].split(",")[0]
    folder = "Libri2Mix/wav8k/min"
    assert changed == {f"{folder}/dev/{name}/{key}.wav" for name in ("s1", "mix_clean")} | {
        f"{folder}/metadata/metrics_dev_mix_clean.csv"
    }


def test_killed_at_ten_moments_and_run_again_is_the_same_as_not_killed(corpus, whole, tmp_path):
    command = [*MODULE, "--librispeech", str(corpus / "LibriSpeech"), "--wham", str(corpus / "wham_noise")]
    command += ["--metadata", str(corpus / "metadata"), "--out", str(tmp_path), "--n_src", "2", "--nj", "2"]
    for wanted in sorted(random.Random(0).sample(range(1, 432), 10)):  # of 432 wavs
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(tmp_path.rglob("*.wav"))) < wanted:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    time.sleep(0.3)
    with open(tmp_path / "Libri2Mix/.dev.jsonl", "a") as file:
        file.write('{"key": "cut o')
    subprocess.run(command, check=True, capture_output=True)
    assert digests(tmp_path) == digests(whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"types": ("mix_both",), "wham": False}, "mix_both needs noise: give --wham DIR"),
        ({"types": ("mix",)}, "types: mix_clean, mix_both, mix_single are known; got 'mix'"),
        ({"modes": ("mean",)}, "modes: min, max are known; got 'mean'"),
        ({"freqs": ("8000",)}, "freqs: 8k or 16k is expected; got '8000'"),
        ({"n_src": 1}, "n_src: LibriMix has mixtures of 2 to 5 sources; got 1"),
        ({"n_src": 3}, "no column source_3_path"),
    ],
)
def test_what_cannot_be_made_is_refused(corpus, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        make(corpus, tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "what"), [("LibriSpeech", "source 2"), ("wham_noise", "noise")])
def test_missing_files_are_named_before_any_work(corpus, tmp_path, name, what):
    shutil.copytree(corpus, tmp_path / "corpus")
    lost = tmp_path / "corpus" / name
    lost = lost / "tr/long.wav" if name == "wham_noise" else next(lost.glob("dev-clean/211/7/*.flac"))
    lost.unlink()
    with pytest.raises(InputError, match=f"{lost}: no such file; it is the {what} of .*_.*dev-clean.csv .1 of the 14"):
        make(tmp_path / "corpus", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_metadata_that_are_not_there_are_said(corpus, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/libri2mix_dev-clean_info.csv").touch()
    for folder, message in (("nowhere", "no such folder"), ("empty", "holds no csv file")):
        with pytest.raises(InputError, match=message):
            make_librimix(
                Request(tmp_path / "out", 2, **CLEAN), metadata=tmp_path / folder, librispeech=corpus / "LibriSpeech"
            )


@pytest.mark.needs("mounts")
@pytest.mark.parametrize(
    ("mount", "status", "said"), [("size=200k", 1, ".wav: No space left on device"), ("ro", 2, "Read-only file system")]
)
def test_a_full_disk_and_a_read_only_folder_get_one_line(corpus, tmp_path, mount, status, said):
    arguments = [*MODULE, "--librispeech", corpus / "LibriSpeech", "--metadata", corpus / "metadata", "--out", tmp_path]
    arguments += ["--n_src", "2", "--types", "mix_clean", "--freqs", "8k", "--modes", "min", "max", "--nj", "2"]
    script = f'mount -t tmpfs -o {mount} tmpfs "$0" && "$@"'
    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, tmp_path, *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == status
    lines = ended.stderr.splitlines()
    assert sum(said in line for line in lines) == 1
    assert lines[-1].startswith("make_librimix: error: ")
    assert not any(line.startswith("Traceback") for line in lines)


def test_a_tree_that_is_not_ours_is_finished_and_nothing_in_it_is_replaced(tmp_path, capsys):
    """As LibriMix's own scripts leave it: no journal; wavs that are right stay, and csv files, again and again."""
    corpus = make_corpus(tmp_path / "corpus", n_mixtures=3, sets=("dev-clean",))
    out = tmp_path / "out"
    make(corpus, out, wham=False, **CLEAN)
    whole = digests(out)
    journal, wavs, table = (
        out / "Libri2Mix/.dev.jsonl", sorted(out.rglob("*.wav")), next(out.rglob("mixture_dev_mix_clean.csv")),
    )  # fmt: skip
    journal.unlink()
    wavs[0].unlink()
    table.write_text("of somebody else\n")
    for _ in range(2):
        make(corpus, out, wham=False, **CLEAN)
        assert digests(out) | {str(table.relative_to(out)): ""} == whole | {str(table.relative_to(out)): ""}
        assert table.read_text() == "of somebody else\n"

    journal.unlink()
    mine = wavs[1].read_bytes()[:-2] + b"\1\1"
    wavs[1].write_bytes(mine)
    wavs[2].write_text("no sound")
    for path in wavs[1:3]:
        before = path.read_bytes()
        with pytest.raises(InputError, match=f"{path}: is there, was not made by this command, and is not what"):
            make(corpus, out, wham=False, **CLEAN)
        assert path.read_bytes() == before
        path.unlink()


def test_the_name_of_a_set_is_no_path(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", n_mixtures=2, sets=("dev-clean",))
    bad = corpus / "metadata" / "libri2mix_...csv"
    (corpus / "metadata" / "libri2mix_dev-clean.csv").rename(bad)
    with pytest.raises(InputError, match=r"libri2mix_\.\.\.csv: the set it makes: expected a plain name"):
        make(corpus, tmp_path / "out", wham=False, **CLEAN)
    assert not (tmp_path / "out").exists()
