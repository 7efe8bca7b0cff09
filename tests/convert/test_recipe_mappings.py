"""The mapping in the recipe of SepReformer takes checkpoints as its authors write them, a small one here."""

import gzip
import importlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from mindaudio_ext.bin.convert import main
from mindaudio_ext.convert.transfer import read_model

ROOT = Path(__file__).parents[2]
OPTIONS = {"bottleneck_size": 4, "n_stages": 2, "n_heads": 2, "kernel_size": 9, "max_distance": 40}


@pytest.mark.needs("speech_data")
def test_parameters_are_the_checkpoints(tmp_path, speech_data, monkeypatch):
    text = (ROOT / "egs/librimix/sepreformer/mapping.yaml").read_text().replace("encoder.4", "encoder.2")
    mapping = yaml.safe_load(text)
    mapping["config"] |= {"separator_conf": OPTIONS, "n_filters": 12}
    (tmp_path / "mapping.yaml").write_text(yaml.safe_dump(mapping))
    source = tmp_path / "epoch.pth"
    source.write_bytes(gzip.decompress((speech_data / "newer_golden" / "sepreformer_2spk.pth.gz").read_bytes()))
    main([str(source), str(tmp_path / "out"), "--mapping", str(tmp_path / "mapping.yaml")])
    _, parameters = read_model(tmp_path / "out")
    monkeypatch.syspath_prepend(ROOT / "tests" / "separators")
    stored = importlib.import_module("test_sepreformer").golden("sepreformer_2spk")
    expected = stored.of_kind("param") | stored.of_kind("buffer")
    assert parameters.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(parameters[key], value.reshape(parameters[key].shape))
