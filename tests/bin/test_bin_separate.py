"""The user's command: right files, and one line for every mistake."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_experiment import RATE, files_of, make_experiment, write_wav

from mindaudio_ext.bin.separate import main
from mindaudio_ext.data.audio import to_pcm16
from mindaudio_ext.decode.separate import Separator

ROOT = Path(__file__).parents[2]
SPEECH = (3000 * np.random.default_rng(0).standard_normal(2345)).astype(np.int16)


@pytest.fixture(scope="module")
def expdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "exp"
    make_experiment(folder)
    return folder


def _refused(capsys, *arguments):
    """Runs a command that must end with status 2; gives its one line."""
    with pytest.raises(SystemExit) as status:
        main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert (status.value.code, error.count("\n")) == (2, 1), error
    return error


def test_files_become_estimates_of_their_length_and_rate(expdir, tmp_path, capsys):
    mix, other = write_wav(tmp_path / "mix.wav", SPEECH), tmp_path / "other.one.flac"
    soundfile.write(other, SPEECH[:16], RATE, subtype="PCM_16")
    out = tmp_path / "new" / "out"
    main([str(mix), str(other), "--model", str(expdir), "-o", str(out)])
    expected = Separator.from_expdir(expdir)(SPEECH / np.float32(32768))
    assert sorted(files_of(out)) == ["mix_s1.wav", "mix_s2.wav", "other.one_s1.wav", "other.one_s2.wav"]
    for source in (1, 2):
        samples, rate = soundfile.read(out / f"mix_s{source}.wav", dtype="int16")
        assert rate == RATE
        np.testing.assert_array_equal(samples, to_pcm16(expected[source - 1]))
        assert soundfile.info(out / f"other.one_s{source}.wav").frames == 16
    assert capsys.readouterr().out.split() == [str(out / name) for name in sorted(files_of(out))]


def test_own_outputs_are_replaced_and_nothing_else(expdir, tmp_path):
    mix = write_wav(tmp_path / "mix.wav", SPEECH)
    (tmp_path / "mix_s1.wav").write_text("old")
    (tmp_path / "mix_s3.wav").write_text("mine")
    main([str(mix), "--model", str(expdir), "-o", str(tmp_path)])
    assert soundfile.info(tmp_path / "mix_s1.wav").frames == len(SPEECH)
    assert (tmp_path / "mix_s3.wav").read_text() == "mine"
    np.testing.assert_array_equal(soundfile.read(mix, dtype="int16")[0], SPEECH)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(0, np.int16), RATE, "is empty"),
        (np.zeros((160, 2), np.int16), RATE, "has 2 channels"),
        (SPEECH, 44100, "is at 44100 Hz; 8000 Hz is expected"),
        (np.array([0, np.nan] * 99, np.float32), RATE, "has NaN or infinity at sample 1"),
        (SPEECH[:15], RATE, "has 15 samples; the model needs at least 16"),
        (b"no audio", None, "cannot be read as audio"),
        (None, None, "no such file"),
    ],
)
def test_a_bad_file_is_named_before_anything_is_written(expdir, tmp_path, capsys, samples, rate, message):
    good, bad = write_wav(tmp_path / "good.wav", SPEECH), tmp_path / "bad.wav"
    if isinstance(samples, bytes):
        bad.write_bytes(samples)
    elif samples is not None:
        write_wav(bad, samples, rate)
    error = _refused(capsys, good, bad, "--model", expdir, "-o", tmp_path / "out")
    assert message in error
    assert str(bad) in error
    assert not (tmp_path / "out").exists()


def test_wrong_use_is_told(expdir, tmp_path, capsys):
    mix = write_wav(tmp_path / "mix.wav", SPEECH)
    twin = write_wav(tmp_path / "twin" / "mix.wav", SPEECH)
    own = write_wav(tmp_path / "mix_s2.wav", SPEECH)
    out = ["-o", tmp_path / "out"]
    model = ["--model", expdir]
    assert "needs files" in _refused(capsys, *model, *out)
    assert "needs files" in _refused(capsys, mix, *out)
    assert "would both become" in _refused(capsys, mix, twin, *model, *out)
    assert "is an input itself" in _refused(capsys, mix, own, *model, "-o", tmp_path)
    assert "cannot be made a folder" in _refused(capsys, mix, *model, "-o", mix)
    assert "cannot be made a folder" in _refused(capsys, mix, *model, "-o", mix / "below")
    assert "no such experiment folder" in _refused(capsys, mix, "--model", tmp_path / "none", *out)
    assert "config.yaml is missing" in _refused(capsys, mix, "--model", tmp_path, *out)
    assert "no such checkpoint" in _refused(capsys, mix, *model, *out, "--model_path", tmp_path / "x.ckpt")
    assert "device_target: Ascend" in _refused(capsys, mix, *model, *out, "--device_target", "Ascend")
    assert not list((tmp_path / "out").glob("*"))


def test_help_and_list_do_not_import_mindspore():
    code = (
        "import sys\nfrom mindaudio_ext.bin.separate import main\n"
        "try:\n    main([sys.argv[1]])\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'mindspore', 'numpy', 'soundfile'} & sys.modules.keys()"
    )
    for option, expected in (("--help", "are replaced"), ("--list", "dprnn\n")):
        run = subprocess.run([sys.executable, "-c", code, option], cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert expected in run.stdout
