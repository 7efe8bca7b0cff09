"""Data that is quickly learnt."""

import numpy as np
import pytest

from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.kaldi_dir_writer import write_data_dir
from mindaudio_ext.data.mindrecord_writer import dump


@pytest.fixture(scope="session")
def sets(tmp_path_factory):
    """Two sets of mixtures of a low and a high tone: 8 in train, 3 in dev."""
    folder = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)
    for name, n_utts in (("train", 8), ("dev", 3)):
        paths, lengths = {"mix": {}, "s1": {}, "s2": {}}, {}
        for i in range(n_utts):
            key, length = f"utt{i}", 2000 + 37 * i
            low, high = (
                0.3 * np.sin(2 * np.pi * rng.uniform(*band) * np.arange(length) / 8000)
                for band in ((100, 300), (1500, 2500))
            )
            for part, value in (("mix", low + high), ("s1", low), ("s2", high)):
                paths[part][key] = str(folder / name / f"{key}_{part}.wav")
                write_wav(paths[part][key], value.astype(np.float32), 8000)
            lengths[key] = length
        write_data_dir(
            folder / "data" / name, mixtures=paths["mix"], sources=[paths["s1"], paths["s2"]], num_samples=lengths
        )
        dump(folder / "data" / name, folder / "dump" / name)
    return folder / "dump"
