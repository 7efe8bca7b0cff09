"""The user's command: right files, and one line for every mistake."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from thorough import few
from tiny_experiment import RATE, files_of, make_experiment, write_wav

import mindaudio_ext
from mindaudio_ext.bin.separate import main
from mindaudio_ext.data.audio import to_pcm16
from mindaudio_ext.errors import InputError
from mindaudio_ext.inference import separate_file
from mindaudio_ext.inference.separator import Separator
from mindaudio_ext.inference.written import LIST

ROOT = Path(__file__).parents[2]
SPEECH = (3000 * np.random.default_rng(0).standard_normal(2345)).astype(np.int16)


@pytest.fixture(scope="module")
def expdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "exp"
    make_experiment(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def models():
    """A model is loaded and compiled once, for as many commands as use it."""
    real, loaded = Separator.from_expdir, {}

    def from_expdir(folder, model_path=None, **options):
        key = (str(folder), str(model_path), *options.items())
        if key not in loaded:
            loaded[key] = real(folder, model_path, **options)
        return loaded[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Separator, "from_expdir", from_expdir)
        yield


def _refused(capsys, *arguments):
    """Runs a command that must end with status 2; gives its one line."""
    with pytest.raises(SystemExit) as status:
        main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert (status.value.code, error.count("\n")) == (2, 1), error
    return error


def _separate(*arguments):
    main([str(argument) for argument in arguments])


def test_files_become_estimates_of_their_length_and_rate(expdir, tmp_path, capsys):
    mix, other = write_wav(tmp_path / "mix.wav", SPEECH), tmp_path / "other.one.flac"
    soundfile.write(other, SPEECH[:17], RATE, subtype="PCM_16")  # one sample more than the kernel
    out = tmp_path / "new" / "out"
    _separate(mix, other, "--model", expdir, "-o", out)
    expected = Separator.from_expdir(expdir)(SPEECH / np.float32(32768))
    assert sorted(files_of(out)) == ["mix_s1.wav", "mix_s2.wav", "other.one_s1.wav", "other.one_s2.wav"]
    for source in (1, 2):
        samples, rate = soundfile.read(out / f"mix_s{source}.wav", dtype="int16")
        assert rate == RATE
        np.testing.assert_array_equal(samples, to_pcm16(expected[source - 1]))
        assert soundfile.info(out / f"other.one_s{source}.wav").frames == 17
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(mix), str(other)]
    assert all(": exp, " in line and "RTF" in line and str(out) in line for line in lines)


def test_without_a_folder_the_voices_go_to_separated(expdir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "mix.wav", SPEECH)
    _separate("mix.wav", "--model", expdir / "checkpoints" / "best.ckpt")
    assert sorted(files_of(tmp_path / "separated")) == ["mix_s1.wav", "mix_s2.wav"]
    said = capsys.readouterr()
    assert said.out.startswith("mix.wav: exp (best.ckpt), ")
    assert said.err == ""


def test_own_outputs_are_replaced_and_nothing_else(expdir, tmp_path):
    mix = write_wav(tmp_path / "mix.wav", SPEECH)
    (tmp_path / "mix_s3.wav").write_text("mine")
    _separate(mix, "--model", expdir, "-o", tmp_path)
    write_wav(mix, SPEECH[:2000])
    _separate(mix, "--model", expdir, "-o", tmp_path)
    assert soundfile.info(tmp_path / "mix_s1.wav").frames == 2000
    assert (tmp_path / "mix_s3.wav").read_text() == "mine"
    np.testing.assert_array_equal(soundfile.read(mix, dtype="int16")[0], SPEECH[:2000])
    before = (tmp_path / LIST).read_bytes()
    assert len(before.splitlines()) == 4
    _separate(mix, "--model", expdir, "-o", tmp_path)
    assert (tmp_path / LIST).read_bytes() == before


@pytest.mark.parametrize("of_the_user", few(["reference", "changed", "link", "no list", "cut list"], "link"))
def test_a_users_file_is_replaced_only_when_asked(expdir, tmp_path, capsys, of_the_user):
    mix, other = write_wav(tmp_path / "mix.wav", SPEECH), write_wav(tmp_path / "other.wav", SPEECH)
    mine = tmp_path / "mix_s2.wav"
    if of_the_user == "reference":
        write_wav(mine, SPEECH // 2)
    elif of_the_user == "link":
        mine.symlink_to(write_wav(tmp_path / "clean.wav", SPEECH // 2))
    else:
        _separate(mix, "--model", expdir, "-o", tmp_path)
        if of_the_user == "changed":
            write_wav(mine, SPEECH // 2)
        elif of_the_user == "no list":
            (tmp_path / LIST).unlink()  # as written before there were lists
        else:
            (tmp_path / LIST).write_bytes((tmp_path / LIST).read_bytes()[:-9])
    before = files_of(tmp_path)
    capsys.readouterr()
    said = _refused(capsys, mix, other, "--model", expdir, "-o", tmp_path)
    first = tmp_path / "mix_s1.wav" if of_the_user == "no list" else mine
    assert said == (
        f"mindaudio-separate: error: {mix}: {first} is there and was not written by this command, or was changed "
        "since; --overwrite replaces it, or choose another -o\n"
    )
    after = files_of(tmp_path)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"other_s1.wav", "other_s2.wav"}
    _separate(mix, other, "--model", expdir, "-o", tmp_path, "--overwrite")
    assert not mine.is_symlink()
    assert soundfile.info(mine).frames == len(SPEECH)
    if of_the_user == "link":
        assert files_of(tmp_path)["clean.wav"] == before["clean.wav"]
    _separate(mix, other, "--model", expdir, "-o", tmp_path)


TIME = np.arange(192000 // 4) / 192000
ODD_NAMES = ["with space.wav", 'it\'s "quoted".wav', "two\nlines.wav", "[a]*.wav", "-dash.wav"]


def test_any_rate_channels_format_and_name(expdir, tmp_path, capsys):
    folder = tmp_path / "in put"
    folder.mkdir()
    sine = (0.2 * np.sin(2 * np.pi * 440 * TIME)).astype(np.float32)
    eight = np.stack([sine] + 7 * [np.zeros_like(sine)], axis=1)
    soundfile.write(folder / "high.wav", eight, 192000, subtype="FLOAT")
    soundfile.write(folder / "cd.ogg", sine[:11025], 44100)
    soundfile.write(folder / "small.mp3", sine[:16000], 16000)
    for name in ODD_NAMES:
        write_wav(folder / name, SPEECH[:200])
    out = tmp_path / "out"
    _separate(folder, "--model", expdir, "-o", out, "--channel", 1)
    stems = ["high", "cd", "small", *(name[:-4] for name in ODD_NAMES)]
    assert set(files_of(out)) == {f"{stem}_s{source}.wav" for stem in stems for source in (1, 2)}
    for name in ("high.wav", "cd.ogg", "small.mp3"):
        info, made = soundfile.info(folder / name), soundfile.info(out / f"{name[:-4]}_s1.wav")
        assert (made.frames, made.samplerate, made.channels) == (info.frames, info.samplerate, 1)
    printed = capsys.readouterr().out
    assert printed.count("\n") == len(stems)
    assert "channel 1 of 8 channels, 192000 Hz separated at 8000 Hz" in printed


def test_channels_are_averaged_and_that_is_said(expdir, tmp_path, capsys):
    left, right = SPEECH, SPEECH[::-1]
    write_wav(tmp_path / "stereo.wav", np.stack((left, right), axis=1))
    mean = (left.astype(np.float32) + right) / 65536
    _separate(tmp_path / "stereo.wav", "--model", expdir, "-o", tmp_path / "out")
    expected = Separator.from_expdir(expdir)(mean)
    np.testing.assert_array_equal(
        soundfile.read(tmp_path / "out" / "stereo_s2.wav", dtype="int16")[0], to_pcm16(expected[1])
    )
    assert "the mean of 2 channels" in capsys.readouterr().out


def test_folders_are_kept_and_patterns_and_standard_input_work(expdir, tmp_path, monkeypatch):
    for name in ("in/a/mix.wav", "in/b/mix.wav", "in/b/c/deep.flac", "one/same.wav", "two/same.wav"):
        write_wav(tmp_path / name, SPEECH[:100])
    (tmp_path / "in" / "notes.txt").write_text("no audio")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "one/same.wav").read_bytes())))
    _separate("in", "one/same.wav", "two/*.wav", "-", "--model", expdir, "-o", "in/out")
    expected = {
        f"{stem}_s{i}.wav" for stem in ("a/mix", "b/mix", "b/c/deep", "one/same", "two/same", "stdin") for i in (1, 2)
    }
    assert set(files_of(tmp_path / "in/out")) == expected
    before = files_of(tmp_path / "in/out")
    _separate("in", "--model", expdir, "-o", "in/out")  # its own output is not taken for input
    assert files_of(tmp_path / "in/out") == before
    _separate("in/b", "--model", expdir, "-o", "in/b")
    _separate("in/b", "--model", expdir, "-o", "in/b")
    assert sum(name.startswith("b/") for name in files_of(tmp_path / "in")) == 6


def bad_files(folder):
    """Writes files that cannot be separated; gives what is said of each."""
    (folder / "text.wav").write_bytes(b"no audio at all, just words")
    (folder / "nothing.wav").write_bytes(b"")
    write_wav(folder / "no samples.wav", np.zeros(0, np.int16))
    whole = write_wav(folder / "cut.wav", SPEECH).read_bytes()
    (folder / "cut.wav").write_bytes(whole[:-1000])
    soundfile.write(folder / "half.flac", SPEECH, RATE)
    (folder / "half.flac").write_bytes((folder / "half.flac").read_bytes()[:-1000])
    write_wav(folder / "nan.wav", np.array([0, np.nan] * 99, np.float32))
    write_wav(folder / "short.wav", SPEECH[:15])
    (folder / "empty folder").mkdir()
    return {
        "text.wav": "cannot be read as audio",
        "nothing.wav": "is empty",
        "no samples.wav": "is empty",
        "cut.wav": "is truncated",
        "half.flac": "truncated",
        "nan.wav": "has NaN or infinity at sample 1",
        "short.wav": "has 15 samples; the model needs at least 16",
        "gone.wav": "no such file",
        "empty folder": "has no audio",
        "*.aiff": "no file matches",
    }


def test_what_cannot_be_separated_is_named_in_a_line_and_the_rest_is_done(expdir, tmp_path, capsys):
    bad = bad_files(tmp_path)
    good = [write_wav(tmp_path / name, SPEECH[:99]) for name in ("first.wav", "last.wav")]
    files = [good[0], *(tmp_path / name for name in bad), good[1]]
    with pytest.raises(SystemExit) as status:
        _separate(*files, "--model", expdir, "-o", tmp_path / "out")
    assert status.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mindaudio-separate")]
    assert len(lines) == len(bad)
    for name, message in bad.items():
        line = next(line for line in lines if f"{tmp_path / name}: " in line)
        assert message in line
    assert set(files_of(tmp_path / "out")) == {f"{name}_s{i}.wav" for name in ("first", "last") for i in (1, 2)}


def test_a_bug_with_one_recording_ends_no_other(expdir, tmp_path, capsys, monkeypatch):
    """Status 1, one line; with --debug the traceback too. One sample at 48 kHz is none at the model's rate."""
    files = [write_wav(tmp_path / name, SPEECH[:99]) for name in ("a.wav", "b.wav", "c.wav", "d.wav")]
    soundfile.write(files[1], SPEECH[:1], 48000)
    as_it_is = separate_file.separate_file

    def separate(separator, recording, *args, **kwargs):
        if recording.name == str(files[2]):
            raise UnboundLocalError("cannot access\n'block'")
        return as_it_is(separator, recording, *args, **kwargs)

    monkeypatch.setattr(separate_file, "separate_file", separate)
    for options in ([], ["--debug"]):
        with pytest.raises(SystemExit) as status:
            _separate(*files, "--model", expdir, "-o", tmp_path / "out", *options)
        printed = capsys.readouterr()
        assert status.value.code == 1
        assert [line.split(": ")[0] for line in printed.out.splitlines()] == [str(files[0]), str(files[3])]
        lines = [line for line in printed.err.splitlines() if line.startswith("mindaudio-separate")]
        assert lines == [
            f"mindaudio-separate: error: {files[1]}: has 0 samples; the model needs at least 16 at 8000 Hz",
            f"mindaudio-separate: error: {files[2]}: internal error: UnboundLocalError: cannot access; "
            "--debug shows where",
        ]
        assert ("Traceback" in printed.err) == bool(options)


def test_every_file_of_a_folder_is_done_or_named(expdir, tmp_path, capsys):
    folder = tmp_path / "in"
    for name in ("mix.wav", "mix_s1.wav"):  # the latter is no estimate: those go elsewhere
        write_wav(folder / name, SPEECH[:99])
    (folder / "link.wav").symlink_to("mix.wav")
    (folder / "broken.wav").symlink_to("gone.wav")
    os.link(folder / "mix.wav", os.fsencode(folder) + b"/not utf-8 \xff.wav")
    with pytest.raises(SystemExit) as status:
        _separate(folder, "--model", expdir, "-o", tmp_path / "out")
    printed = capsys.readouterr()
    assert (status.value.code, printed.err.count("\n")) == (2, 1), printed.err
    assert f"{folder}/broken.wav: is a broken link" in printed.err
    stems = ("link", "mix", "mix_s1", "not utf-8 \udcff")
    assert set(files_of(tmp_path / "out")) == {f"{stem}_s{i}.wav" for stem in stems for i in (1, 2)}
    assert "not utf-8 \\udcff_s2.wav" in printed.out


def test_no_channel_of_that_number(expdir, tmp_path, capsys):
    write_wav(tmp_path / "stereo.wav", np.zeros((160, 2), np.int16))
    error = _refused(capsys, tmp_path / "stereo.wav", "--model", expdir, "-o", tmp_path / "out", "--channel", 3)
    assert "has 2 channels; there is no channel 3" in error


@pytest.mark.needs("mounts")
def test_a_full_or_read_only_disk_is_told(expdir, tmp_path):
    """In a mount namespace of its own."""
    script = (
        'set -e; cd "$1"; mkdir full locked; mount -t tmpfs -o size=20k full full; mount -t tmpfs -o ro locked locked\n'
        "for out in full locked; do status=0; python -m mindaudio_ext.bin.separate mix.wav tiny.wav "
        '--model "$2" -o $out || status=$?; echo $out $status $(ls -A $out); done'
    )
    write_wav(tmp_path / "mix.wav", np.tile(SPEECH, 5))
    write_wav(tmp_path / "tiny.wav", SPEECH[:100])
    command = ["unshare", "-rm", "bash", "-c", script, "bash", str(tmp_path), str(expdir)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    told = [line for line in run.stderr.splitlines() if line.startswith("mindaudio-separate")]
    assert len(told) == 2, run.stderr
    assert "mix.wav: " in told[0]
    assert "is the disk full?" in told[0]
    assert "-o locked: is not writable" in told[1]
    lines = [line for line in run.stdout.splitlines() if not line.startswith("tiny.wav: ")]
    assert lines == ["full 2 .mindaudio-separate.jsonl tiny_s1.wav tiny_s2.wav", "locked 2"]


def test_wrong_use_is_told(expdir, tmp_path, capsys, monkeypatch):
    mix = write_wav(tmp_path / "mix.wav", SPEECH)
    write_wav(tmp_path / "mix.flac", SPEECH)
    own = write_wav(tmp_path / "mix_s2.wav", SPEECH)
    out = ["-o", tmp_path / "out"]
    model = ["--model", expdir]
    monkeypatch.setattr("mindaudio_ext.inference.models.PRETRAINED", tmp_path / "pretrained")
    assert "needs files" in _refused(capsys, *model, *out)
    assert "--shifts: must be a whole number of 1 to 16, got '17'" in _refused(
        capsys, mix, *model, *out, "--shifts", "17"
    )
    assert "--shifts: a stream is separated once" in _refused(
        capsys, mix, *model, *out, "--shifts", "2", "--stream", "20"
    )
    assert "dprnn_2spk_8k_conversation is not in the package; name one with --model" in _refused(capsys, mix, *out)
    assert "model dprnn_2spk_8k_causal is not in the package" in _refused(capsys, mix, *out, "--stream", "20")
    short = write_wav(tmp_path / "short.wav", SPEECH[:3])
    soundfile.write(tmp_path / "short.flac", SPEECH, RATE)
    with pytest.raises(SystemExit):
        _separate(short, tmp_path / "short.flac", *model, *out)
    told = capsys.readouterr().err.splitlines()
    assert f"short.flac: would become {tmp_path / 'out' / 'short_s2.wav'}, as {short}" in told[0]
    assert "has 3 samples" in told[1]
    assert "is an input itself" in _refused(capsys, mix, own, *model, "-o", tmp_path)
    assert "cannot be made a folder" in _refused(capsys, mix, *model, "-o", mix)
    assert "cannot be made a folder" in _refused(capsys, mix, *model, "-o", mix / "below")
    assert "no such experiment folder" in _refused(capsys, mix, "--model", tmp_path / "none", *out)
    assert "config.yaml is missing" in _refused(capsys, mix, "--model", tmp_path, *out)
    assert "no config.yaml beside this checkpoint" in _refused(capsys, mix, "--model", mix, *out)
    assert "no such checkpoint" in _refused(capsys, mix, *model, *out, "--model_path", tmp_path / "x.ckpt")
    assert "device_target: Ascend" in _refused(capsys, mix, *model, *out, "--device_target", "Ascend")
    assert "--overlap: must be a number above 0" in _refused(capsys, mix, *model, *out, "--overlap", 0)
    assert "overlap must be above" in _refused(capsys, mix, *model, *out, "--overlap", 25)
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--longest_whole", "inf", "must be a number above 0 and at most 3600, got 'inf'"),
        ("--longest_whole", "nan", "must be a number above 0 and at most 3600, got 'nan'"),
        ("--chunk", "inf", "must be a number above 0 and at most 3600, got 'inf'"),
        ("--stream", "inf", "must be a number above 0 and at most 60000, got 'inf'"),
        ("--stream", "1e9", "must be a number above 0 and at most 60000, got '1e9'"),
        ("--chunk_batch", "1000000", "must be a whole number of 1 to 64, got '1000000'"),
        ("--channel", 5000 * "1", "must be a whole number of 1 to 1024, got '11111"),
        ("--model", "", "must not be empty"),
        ("-o", " ", "must not be empty"),
    ],
)
def test_numbers_have_bounds_and_names_are_not_empty(expdir, tmp_path, capsys, option, value, message):
    error = _refused(capsys, "mix.wav", "--model", expdir, "-o", tmp_path / "out", option, value)
    assert message in error
    assert len(error) < 300


def test_as_many_voices_as_people(expdir, tmp_path, capsys):
    mix, out = write_wav(tmp_path / "mix.wav", SPEECH), tmp_path / "out"
    assert "num_spks 3: exp gives 2 voices\n" in _refused(capsys, mix, "--model", expdir, "-o", out, "--num_spks", 3)
    fewer = _refused(capsys, mix, "--model", expdir, "-o", out, "--num_spks", 1)
    assert "num_spks 1: exp gives 2 voices, never fewer" in fewer
    none = _refused(capsys, mix, "-o", out, "--num_spks", 3)
    assert "num_spks 3: no model in the package does that (dprnn_2spk_8k_conversation gives 2, " in none
    assert "--num_spks: with --serve" in _refused(capsys, "--serve", "--num_spks", 2)
    assert not out.exists()
    _separate(mix, "--model", expdir, "-o", out, "--num_spks", 2)
    assert sorted(files_of(out)) == ["mix_s1.wav", "mix_s2.wav"]


def test_a_model_that_knows_silence_gives_the_loudest_of_its_voices(tmp_path):
    make_experiment(tmp_path / "three", overrides="num_spks=3 loss=pit_thresholded_snr")
    mix, out = write_wav(tmp_path / "mix.wav", SPEECH), tmp_path / "out"
    _separate(mix, "--model", tmp_path / "three", "-o", tmp_path / "all")
    _separate(mix, "--model", tmp_path / "three", "-o", out, "--num_spks", 2)
    voices = [soundfile.read(tmp_path / f"all/mix_s{number}.wav")[0] for number in (1, 2, 3)]
    quietest = np.argmin([np.sum(voice**2) for voice in voices])
    kept = [soundfile.read(out / f"mix_s{number}.wav")[0] for number in (1, 2)]
    assert sorted(files_of(out)) == ["mix_s1.wav", "mix_s2.wav"]
    np.testing.assert_array_equal(kept, np.delete(voices, quietest, axis=0))
    separator = Separator.load(tmp_path / "three", num_spks=2)
    np.testing.assert_allclose(separator.separate(SPEECH, RATE, num_spks=2), kept, atol=1e-4)
    with pytest.raises(InputError, match="num_spks 4: this model gives 3 voices"):
        separator.separate(SPEECH, RATE, num_spks=4)


@pytest.mark.parametrize("option", [("--num_spks", "auto"), ("--keep_residual",)])
def test_only_a_model_for_conversations_tells_who_speaks(expdir, tmp_path, capsys, option):
    mix = write_wav(tmp_path / "mix.wav", SPEECH)
    said = _refused(capsys, mix, "--model", expdir, "-o", tmp_path / "out", *option)
    assert f"{' '.join(option)}: exp does not tell who speaks" in said
    assert not (tmp_path / "out").exists()


def test_an_empty_argument_is_not_the_current_folder(expdir, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "mix.wav", SPEECH[:99])
    assert "FILE: must not be empty" in _refused(capsys, "", "--model", expdir, "-o", "out")
    assert set(files_of(tmp_path)) == {"mix.wav"}


def test_long_recordings_go_in_chunks(expdir, tmp_path, capsys):
    """Noise as the mixture; with chunks of 0.5 s, whatever their batch, the length stays and the samples agree."""
    noise = np.random.default_rng(0).standard_normal((44100 * 3 + 7, 2)) / 8
    soundfile.write(tmp_path / "long.wav", noise, 44100)
    lengths = ["--longest_whole", 1, "--chunk", 0.5, "--overlap", 0.1, "--model", expdir]
    estimates = []
    for batch in (1, 3):
        _separate(tmp_path / "long.wav", *lengths, "--chunk_batch", batch, "-o", tmp_path / f"out{batch}")
        estimates.append([soundfile.read(tmp_path / f"out{batch}" / f"long_s{i}.wav")[0] for i in (1, 2)])
        assert ", 8 chunks, " in capsys.readouterr().out
    assert np.shape(estimates) == (2, 2, 44100 * 3 + 7)
    np.testing.assert_allclose(estimates[1], estimates[0], atol=1e-5 + 1 / 32768)


def test_help_and_list_do_not_import_mindspore():
    code = (
        "import sys\nfrom mindaudio_ext.bin.separate import main\n"
        "try:\n    main([sys.argv[1]])\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'mindspore', 'numpy', 'soundfile'} & sys.modules.keys()"
    )
    for option, expected in (
        ("--help", "are replaced"),
        ("--list", "dprnn\n"),
        ("--list_models", "dprnn_2spk_8k "),
        ("--version", f"mindaudio-separate {mindaudio_ext.__version__}\n"),
    ):
        run = subprocess.run([sys.executable, "-c", code, option], cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert expected in run.stdout
