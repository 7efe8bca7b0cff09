"""Stage 0 of LibriMix, both ways, and mixtures that are not written."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from librimix_corpus import make_corpus

from mindaudio_ext.bin.librimix_data import main
from mindaudio_ext.corpora.librimix_dirs import Variant, dirs_from_librispeech, dirs_from_tree, metadata_folder
from mindaudio_ext.corpora.librimix_tree import Request, make_librimix
from mindaudio_ext.data.check_data import check_data_dir
from mindaudio_ext.data.kaldi_dir import read_data_dir
from mindaudio_ext.data.mindrecord_writer import dump
from mindaudio_ext.data.mix_csv import read_mix_csv
from mindaudio_ext.data.validate_data_dir import read_mixture, validate_data_dir
from mindaudio_ext.errors import InputError

SETS = ["train-100", "dev", "test"]
TYPES = ("mix_clean", "mix_both", "mix_single")


def texts(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".wav" and path.name != ".made.json"  # its digests are of paths
    }


@pytest.fixture(scope="module", params=[2, 3])
def corpus(request, tmp_path_factory):
    """A corpus of 2 or 3 sources, and the tree the newest of LibriMix's own scripts make of it."""
    root = make_corpus(tmp_path_factory.mktemp("corpus"), n_src=request.param, n_mixtures=3)
    make_librimix(
        Request(root / "tree", request.param, ("8k",), ("min", "max"), TYPES),
        metadata=root / "metadata",
        librispeech=root / "LibriSpeech",
        wham=root / "wham_noise",
    )
    for file in (root / "tree").rglob(".*"):
        file.unlink()
    for table in (root / "tree").rglob("*.csv"):
        rows = [line.split(",") for line in table.read_text().splitlines()]
        seconds = ["original_mixture_ID", *(row[0] for row in rows[1:])]
        table.write_text("".join(",".join([row[0], second, *row[1:]]) + "\n" for row, second in zip(rows, seconds)))
    return root


def variant_of(corpus, mode="min", mix_type="mix_clean"):
    n_src = 3 if (corpus / "tree/Libri3Mix").exists() else 2
    return Variant(n_src, 8000, mode, mix_type)


def from_librispeech(corpus, data, variant, **options):
    folders = {"librispeech": corpus / "LibriSpeech", "metadata": corpus / "metadata", "out": data / "librimix"}
    dirs_from_librispeech(data, SETS, variant, **{**folders, **options})


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("mix_type", TYPES)
def test_a_tree_of_the_original_scripts_and_ours_give_the_same_directories(corpus, tmp_path, mode, mix_type):
    variant = variant_of(corpus, mode, mix_type)
    sexes = {str(speaker): "f" for speaker in range(1000)}
    dirs_from_tree(corpus / "tree", tmp_path / "theirs", SETS, variant, sexes=sexes)
    from_librispeech(corpus, tmp_path / "ours", variant, wham=corpus / "wham_noise")
    for name in SETS:
        ours, theirs = texts(tmp_path / "ours" / name), texts(tmp_path / "theirs" / name)
        assert {"wav.scp", "spk1.scp", "src2spk", "spk2gender", "utt2num_samples", "corpus.txt"} <= ours.keys()
        place = str(tmp_path / "ours/librimix")
        assert {file: text.replace(place, str(corpus / "tree")) for file, text in ours.items()} == theirs
        found = validate_data_dir(tmp_path / "theirs" / name)
        assert (found.num_utts, found.num_spks, found.sample_rate) == (3, variant.num_spks, 8000)
        assert (tmp_path / "theirs" / name / "noise1.scp").exists() == (mix_type != "mix_clean")


def test_without_csv_files_and_in_another_place_the_directories_are_the_same(corpus, tmp_path):
    variant = variant_of(corpus, mix_type="mix_both")
    dirs_from_tree(corpus / "tree", tmp_path / "with", SETS, variant)
    shutil.copytree(corpus / "tree", tmp_path / "moved")  # its csv files name paths of the old place
    dirs_from_tree(tmp_path / "moved", tmp_path / "moved_data", SETS, variant)
    expected = {
        name: text.replace(str(corpus / "tree"), str(tmp_path / "moved"))
        for name, text in texts(tmp_path / "with").items()
    }
    assert texts(tmp_path / "moved_data") == expected
    shutil.rmtree(tmp_path / "moved" / f"Libri{variant.n_src}Mix/wav8k/min/metadata")
    dirs_from_tree(tmp_path / "moved" / f"Libri{variant.n_src}Mix", tmp_path / "without", SETS, variant)
    assert texts(tmp_path / "without") == expected


def test_mixtures_that_are_not_written_are_those_that_are(corpus, tmp_path):
    variant = variant_of(corpus, mix_type="mix_both")
    from_librispeech(corpus, tmp_path / "wavs", variant, wham=corpus / "wham_noise")
    unwritten = ["train-100", "dev"]
    from_librispeech(corpus, tmp_path / "none", variant, wham=corpus / "wham_noise", unwritten=unwritten)
    assert len(list((tmp_path / "none").rglob("*.wav"))) == 3 * (variant.n_src + 2)  # of test
    for name in unwritten:
        written, mixed = tmp_path / "wavs" / name, tmp_path / "none" / name
        assert {path.name for path in mixed.iterdir()} == {path.name for path in written.iterdir()} - {
            *("wav.scp", "noise1.scp"),
            *(f"spk{i}.scp" for i in range(1, 4)),
        } | {"mix.csv"}
        for file in ("utt2num_samples", "src2spk", "spk2gender", "corpus.txt", "utt2spk"):
            assert (mixed / file).read_text() == (written / file).read_text()
        data = read_data_dir(written)
        found = {key: mix.read() for key, mix in read_mix_csv(mixed / "mix.csv").items()}
        assert list(found) == list(data.keys)
        for entry, twin in zip(data.entries(), read_data_dir(mixed, unwritten=True).entries()):
            assert soundfile.read(entry.signals["wav.scp"], dtype="int16")[0].tolist() == found[entry.key][0].tolist()
            for one, other in zip(read_mixture(entry), read_mixture(twin)):
                assert np.array_equal(one, other)
        assert check_data_dir(mixed).faults == check_data_dir(written).faults == ()
        assert check_data_dir(mixed).snr == check_data_dir(written).snr
        with pytest.raises(InputError, match=r"mix\.csv: the mixtures of this set are not written"):
            read_data_dir(mixed)
    before = texts(tmp_path / "none")
    from_librispeech(corpus, tmp_path / "none", variant, wham=corpus / "wham_noise", unwritten=unwritten)
    assert texts(tmp_path / "none") == before


def test_a_table_with_backslashes_is_read(corpus, tmp_path):
    shutil.copytree(corpus / "tree", tmp_path / "tree")
    variant = variant_of(corpus)
    dirs_from_tree(tmp_path / "tree", tmp_path / "data", SETS, variant)
    expected = texts(tmp_path / "data")
    for table in (tmp_path / "tree").rglob("mixture_*.csv"):
        table.write_text(table.read_text().replace("/", "\\"))
    dirs_from_tree(tmp_path / "tree", tmp_path / "data", SETS, variant)
    assert texts(tmp_path / "data") == expected


def test_augmented_noise_is_mixed_from_the_original_in_either_way(tmp_path):
    corpus = make_corpus(tmp_path, n_mixtures=2)
    for table in (corpus / "metadata").glob("*.csv"):
        table.write_text(table.read_text().replace("tr/short.wav", "tr/longsp12.wav"))
    variant = Variant(2, 8000, "min", "mix_both")
    from_librispeech(corpus, tmp_path / "a", variant, wham=corpus / "wham_noise")
    from_librispeech(corpus, tmp_path / "b", variant, wham=corpus / "wham_noise", unwritten=["dev"])
    assert "longsp12.wav" in (tmp_path / "b/dev/mix.csv").read_text()
    written, unwritten = (read_data_dir(tmp_path / name / "dev", unwritten=True).entries() for name in "ab")
    for one, other in zip(written, unwritten):
        np.testing.assert_array_equal(read_mixture(one)[0], read_mixture(other)[0])
    assert dump(tmp_path / "b/dev", tmp_path / "dump/dev")[1]
    assert not dump(tmp_path / "b/dev", tmp_path / "dump/dev")[1]  # its files are there
    (tmp_path / "b/dev/utt2num_samples").unlink()
    counted = read_data_dir(tmp_path / "b/dev", unwritten=True).num_samples
    assert counted == read_data_dir(tmp_path / "a/dev").num_samples


def test_they_are_mixed_straight_into_mindrecord(tmp_path):
    corpus = make_corpus(tmp_path, n_mixtures=3, sets=("dev-clean",))
    for name, unwritten in (("wavs", []), ("none", ["dev"])):
        dirs_from_librispeech(
            tmp_path / name,
            ["dev"],
            Variant(2, 8000, "min", "mix_clean"),
            librispeech=corpus / "LibriSpeech",
            metadata=corpus / "metadata",
            out=tmp_path / "out",
            unwritten=unwritten,
        )
    wavs, _ = dump(tmp_path / "wavs/dev", tmp_path / "dump/wavs", name="dev")
    none, made = dump(tmp_path / "none/dev", tmp_path / "dump/none", name="dev")
    assert made
    assert (none.keys, none.num_samples, none.crc32) == (wavs.keys, wavs.num_samples, wavs.crc32)
    assert dump(tmp_path / "none/dev", tmp_path / "dump/none", name="dev")[1] is False
    table = tmp_path / "none/dev/mix.csv"
    table.write_text(table.read_text().replace(",0.5,", ",0.6,"))
    again, made = dump(tmp_path / "none/dev", tmp_path / "dump/none", name="dev")
    assert made
    assert [one != other for one, other in zip(again.crc32, none.crc32)].count(True) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("8000,min", "8000,mean", "is no rate in Hz, mode and type"),
        ("8000,min", f"{5000 * '1'},min", "is no rate in Hz, mode and type"),
        (",0.5,", ",loud,", "source_1_gain: 'loud' is not a factor"),
        ("source_1_path", "path", "has no column source_1_path"),
        ("source_2_gain", "gain", "source_2_gain: 'None' is not a factor"),
    ],
)
def test_a_bad_mix_csv_is_named(tmp_path, old, new, message):
    corpus = make_corpus(tmp_path, n_mixtures=1, sets=("dev-clean",))
    folders = {"librispeech": corpus / "LibriSpeech", "metadata": corpus / "metadata", "out": tmp_path / "out"}
    dirs_from_librispeech(
        tmp_path / "data", ["dev"], Variant(2, 8000, "min", "mix_clean"), unwritten=["dev"], **folders
    )
    table = tmp_path / "data/dev/mix.csv"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(InputError, match=f"mix.csv.*{message}"):
        read_data_dir(tmp_path / "data/dev", unwritten=True)


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    return lines[-1]


def test_what_is_missing_is_said_in_a_line(corpus, tmp_path, capsys):
    variant = variant_of(corpus)
    name = f"Libri{variant.n_src}Mix"
    common = ["--data", tmp_path, "--n_src", variant.n_src]
    tree = [*common, "--librimix", corpus / "tree", "--sets"]
    speech = [*common, "--librispeech", corpus / "LibriSpeech", "--metadata", corpus / "metadata", "--sets", "dev"]
    assert "give either --librimix DIR" in run(capsys, *common, "--sets", "dev")
    assert f"{name}/wav8k/min/train-360: no such folder; the tree has wav8k/max/dev" in run(capsys, *tree, "train-360")
    assert "wav16k/min/dev: no such folder" in run(capsys, *tree, "dev", "--sample_rate", 16000)
    assert "a LibriMix tree holds" in run(capsys, *common, "--librimix", tmp_path, "--sets", "dev")
    assert "mix_both needs noise: give --wham DIR" in run(capsys, *speech, "--mix_type", "mix_both")
    assert "has no metadata of the set train-360; there is: dev, test, train-100" in run(
        capsys, *speech[:-1], "train-360"
    )
    assert "is for --librispeech" in run(capsys, *tree, "dev", "--write_wavs", "false")
    assert list(tmp_path.iterdir()) == []


def test_a_file_missing_in_a_tree_is_named(corpus, tmp_path):
    shutil.copytree(corpus / "tree", tmp_path / "tree")
    for table in (tmp_path / "tree").rglob("mixture_*.csv"):
        table.write_text(table.read_text().replace(str(corpus), "/elsewhere"))
        table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())  # a byte order mark, as a spreadsheet leaves it
    lost = sorted((tmp_path / "tree").rglob("wav8k/min/dev/s2/*.wav"))[1]
    lost.unlink()
    with pytest.raises(InputError, match=f"{lost}: no such file; {lost.stem} in .*mixture_dev_mix_clean.csv needs it"):
        dirs_from_tree(tmp_path / "tree", tmp_path / "data", ["dev"], variant_of(corpus))
    for table in (tmp_path / "tree").rglob("mixture_*.csv"):
        table.unlink()
    with pytest.raises(InputError, match=f"{lost.name}: has no file of the same name in {lost.parent}"):
        dirs_from_tree(tmp_path / "tree", tmp_path / "data", ["dev"], variant_of(corpus))


def test_metadata_are_found_or_fetched(tmp_path):
    repository = tmp_path / "repository"
    table = make_corpus(tmp_path / "x", n_mixtures=1, sets=("dev-clean",)) / "metadata/libri2mix_dev-clean.csv"
    (repository / "metadata/Libri2Mix").mkdir(parents=True)
    shutil.copy(table, repository / "metadata/Libri2Mix")
    for given in (repository, repository / "metadata", repository / "metadata/Libri2Mix"):
        assert metadata_folder(given, 2, fetched="") == repository / "metadata/Libri2Mix"
    with pytest.raises(InputError, match="holds no libri3mix"):
        metadata_folder(repository, 3, fetched="")

    with pytest.raises(InputError, match=r"cannot be fetched .*nowhere.*give the folder of libri2mix"):
        metadata_folder("", 2, fetched=tmp_path / "fetched", url=str(tmp_path / "nowhere"))
    author = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for command in ("init -q", "add .", "commit -q -m x"):
        subprocess.run(["git", *command.split()], cwd=repository, check=True, env={**os.environ, **author})
    found = metadata_folder("", 2, fetched=tmp_path / "fetched", url=f"file://{repository}")
    assert found == tmp_path / "fetched/metadata/Libri2Mix"
    mine = tmp_path / ".tmp.again" / "thesis.tex"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"\.tmp\.again: is in the way"):
        metadata_folder("", 2, fetched=tmp_path / "again", url=f"file://{repository}")
    assert mine.read_text() == "mine"
    shutil.rmtree(repository)
    assert metadata_folder("", 2, fetched=tmp_path / "fetched", url="") == found
    assert Path(found, table.name).read_text() == table.read_text()


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(9000), 16000, "is at 16000 Hz; 8000 Hz is expected"),
        (np.zeros(0), 8000, "is empty"),
        (np.full(4500, np.nan), 8000, "has NaN or infinity at sample 0"),
    ],
)
def test_a_bad_wav_in_a_tree_is_named(tmp_path, samples, rate, message):
    corpus = make_corpus(tmp_path, n_mixtures=1, sets=("dev-clean",))
    folders = {"librispeech": corpus / "LibriSpeech", "metadata": corpus / "metadata"}
    variant = Variant(2, 8000, "min", "mix_clean")
    dirs_from_librispeech(tmp_path / "data", ["dev"], variant, out=tmp_path / "tree", **folders)
    bad = next((tmp_path / "tree").rglob("s2/*.wav"))
    soundfile.write(bad, samples, rate, subtype="FLOAT")

    def prepare():
        dirs_from_tree(tmp_path / "tree", tmp_path / "again", ["dev"], variant)
        validate_data_dir(tmp_path / "again/dev")

    with pytest.raises(InputError, match=f"{bad}: {message}"):
        prepare()
