"""What stage 3 notes for RESULTS.md, and the windows it makes for the reference protocol."""

import json

import pytest
from tiny_experiment import make_data, make_experiment

from mindaudio_ext.bin.decode import main
from mindaudio_ext.data.kaldi_dir import read_scp
from mindaudio_ext.inference.decode_info import describe_device


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An experiment and two mixtures, of 4.5 s (two windows) and 1 s (none), separated by the command."""
    folder = tmp_path_factory.mktemp("made")
    make_experiment(folder / "exp")
    make_data(folder / "data" / "test", {"long": 36000, "short": 8000})
    main(["--expdir", str(folder / "exp"), "--data", str(folder / "data" / "test")])
    return folder


def test_whole_utterances_and_windows_are_separated(made):
    assert list(read_scp(made / "exp/separated_test/spk1.scp")) == ["long", "short"]
    windows = ["long_0000000", "long_0004000"]
    assert list(read_scp(made / "data/test_reference/wav.scp")) == windows
    assert list(read_scp(made / "exp/separated_test_reference/spk2.scp")) == windows


def test_notes(made):
    noted = json.loads((made / "exp/separated_test/decode.json").read_text())
    assert noted["audio_seconds"] == 5.5
    assert noted["seconds"] > 0
    assert noted["peak_memory"] > 1e8
    assert noted["device"] == describe_device("CPU")
    # 3999 frames of 4 s and the chunks over them; the exact sum is counted in tests/models.
    assert 1e6 < noted["multiply_adds_per_second"] < 5e6
    assert json.loads((made / "exp/separated_test_reference/decode.json").read_text())["audio_seconds"] == 8.0


def test_windows_are_left_out_when_asked(made, capsys):
    before = (made / "exp/separated_test/decode.json").read_bytes()
    arguments = ["--expdir", str(made / "exp"), "--data", str(made / "data" / "test")]
    main([*arguments, "--reference_protocol", "false"])
    assert "windows" not in capsys.readouterr().out
    assert (made / "exp/separated_test/decode.json").read_bytes() == before  # nothing was separated anew
