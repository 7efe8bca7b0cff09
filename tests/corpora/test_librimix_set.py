"""A set folder in LibriMix's layout becomes a data directory."""

import pytest
from tiny_experiment import make_librimix_set

from mindaudio_ext.corpora.librimix_set import make_librimix_data, mixture_folder
from mindaudio_ext.data.kaldi_dir import read_data_dir
from mindaudio_ext.data.validate_data_dir import validate_data_dir
from mindaudio_ext.errors import InputError


def test_keys_are_the_names_and_everything_adds_up(tmp_path):
    folder = make_librimix_set(tmp_path / "min" / "test", lengths={"9-1_2-1": 100, "10-3_4-1": 200}, num_spks=3)
    make_librimix_data(folder, tmp_path / "data", num_spks=3)
    data = read_data_dir(tmp_path / "data")
    assert data.num_samples == {"10-3_4-1": 200, "9-1_2-1": 100}
    assert data.sources[2]["9-1_2-1"] == str(folder / "s3" / "9-1_2-1.wav")
    assert validate_data_dir(tmp_path / "data").num_spks == 3
    assert (tmp_path / "data" / "corpus.txt").read_text() == "test, a set in LibriMix's layout, mix_clean\n"


def test_the_mixture_without_noise_is_preferred(tmp_path):
    folder = make_librimix_set(tmp_path / "test", lengths={"a": 100}, mixtures=("mix_both",))
    assert mixture_folder(folder).name == "mix_both"
    make_librimix_set(folder, lengths={"a": 100})
    assert mixture_folder(folder).name == "mix_clean"
    assert mixture_folder(tmp_path) is None


def test_what_is_missing_is_named(tmp_path):
    folder = make_librimix_set(tmp_path / "test", lengths={"a": 100, "b": 100})
    (folder / "s2" / "b.wav").unlink()
    with pytest.raises(InputError, match=r"s2/b.wav: no such file, but there is a mixture"):
        make_librimix_data(folder, tmp_path / "data", num_spks=2)
    (folder / "mix_clean" / "b.wav").write_bytes(b"text")
    (folder / "s2" / "b.wav").write_bytes(b"text")
    with pytest.raises(InputError, match=r"mix_clean/b.wav: cannot be read as audio"):
        make_librimix_data(folder, tmp_path / "data", num_spks=2)
    (tmp_path / "none" / "mix_clean").mkdir(parents=True)
    with pytest.raises(InputError, match=r"mix_clean: has no .wav file"):
        make_librimix_data(tmp_path / "none", tmp_path / "data", num_spks=2)
    with pytest.raises(InputError, match="neither mix_clean/ nor mix_both/"):
        make_librimix_data(tmp_path, tmp_path / "data", num_spks=2)
