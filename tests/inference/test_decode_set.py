"""Decoding of a set: what is written, what is kept, what is refused."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import kaldiio
import numpy as np
import pytest
import soundfile
from scp_forms import to_archives, to_pipes
from tiny_experiment import RATE, files_of, make_data, make_experiment, write_wav

from mindaudio_ext.bin.decode import main
from mindaudio_ext.config import save_config
from mindaudio_ext.data.audio import to_pcm16
from mindaudio_ext.errors import InputError
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.inference import decode_set as module
from mindaudio_ext.inference import separator
from mindaudio_ext.inference.decode_set import decode_set
from mindaudio_ext.inference.separator import Separator

ROOT = Path(__file__).parents[2]


def read_scp(path):
    return dict(line.split(" ", 1) for line in path.read_text().splitlines())


@pytest.fixture(scope="module")
def decoded(tmp_path_factory):
    """The paths of an experiment and a data directory that were decoded by the command, and the mixtures."""
    folder = tmp_path_factory.mktemp("decoded")
    make_experiment(folder / "exp")
    lengths = {"a": 1601, "b": 4003, "c": 16}
    mixtures = make_data(folder / "data" / "test", lengths)
    main(["--expdir", str(folder / "exp"), "--data", str(folder / "data" / "test"), "--nj", "2"])
    return folder, mixtures


def test_estimates_are_the_models_in_16_bits_at_the_mixtures_length(decoded):
    folder, mixtures = decoded
    separator = Separator.from_expdir(folder / "exp")
    for source in (1, 2):
        scp = read_scp(folder / "exp" / "separated_test" / f"spk{source}.scp")
        assert list(scp) == ["a", "b", "c"]
        for key, path in scp.items():
            assert path == str(folder / "exp" / "separated_test" / "wav" / f"{key}_s{source}.wav")
            info = soundfile.info(path)
            assert (info.samplerate, info.frames, info.subtype) == (RATE, len(mixtures[key]), "PCM_16")
            expected = separator(mixtures[key].astype(np.float32) / 32768)[source - 1]
            np.testing.assert_array_equal(soundfile.read(path, dtype="int16")[0], to_pcm16(expected))
            assert np.abs(expected).max() > 100 / 32768 or key == "c"


@pytest.mark.parametrize("change", [to_pipes, to_archives])
def test_pipes_and_archives_give_the_same_estimates(decoded, tmp_path, change, capsys):
    folder, _ = decoded
    make_experiment(tmp_path / "exp")
    make_data(tmp_path / "data" / "test", {"a": 1601, "b": 4003, "c": 16})
    change(tmp_path / "data" / "test")
    arguments = ["--expdir", str(tmp_path / "exp"), "--data", str(tmp_path / "data" / "test")]
    if change is to_pipes:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "wav.scp: a: is a command" in capsys.readouterr().err
    main([*arguments, "--allow_pipes", "true"])
    expected, found = (
        {name: data for name, data in files_of(where / "exp" / "separated_test").items() if name.startswith("wav/")}
        for where in (folder, tmp_path)
    )
    assert found == expected


def test_nothing_half_written_and_a_log(decoded):
    folder, _ = decoded
    files = files_of(folder / "exp" / "separated_test")
    wavs = {f"wav/{key}_s{source}.wav" for key in "abc" for source in (1, 2)}
    assert set(files) == wavs | {"spk1.scp", "spk2.scp", "made.jsonl", "decode.log", "decode.json"}
    log = files["decode.log"].decode()
    assert "3 of 3 mixtures" in log
    assert "RTF" in log
    assert "MB" in log


class FakeSeparator:
    """Splits a mixture as 3 to 1 and remembers the lengths; stops at one of the length `stop`."""

    def __init__(self):
        self.lengths, self.recordings, self.stop = [], [], None

    def separate(self, mixture, rate, *, name):
        self.recordings.append(len(mixture))
        return self(mixture, name=name)

    def __call__(self, mixture, *, name):
        if len(mixture) == self.stop:
            raise InputError(f"{name}: stop")
        self.lengths.append(len(mixture))
        return np.stack([0.75 * mixture, 0.25 * mixture])


FAKE = FakeSeparator()
LOAD = module._load.__wrapped__


@pytest.fixture
def fake(tmp_path, monkeypatch):
    make_experiment(tmp_path / "exp")
    make_data(tmp_path / "data" / "test", {"a": 160, "b": 401, "c": 32})
    monkeypatch.setattr(FAKE, "stop", None)
    monkeypatch.setattr(module, "_load", lambda model: FAKE)
    return tmp_path


def _decode(folder, **options):
    """Returns the lengths of the mixtures that were separated."""
    FAKE.lengths = []
    decode_set(folder / "exp", folder / "data" / "test", **options)
    return FAKE.lengths


def _without_log(folder):
    return {name: data for name, data in files_of(folder / "exp" / "separated_test").items() if name != "decode.log"}


def test_a_second_run_makes_nothing_and_changes_nothing(fake):
    assert _decode(fake) == [401, 160, 32]
    files = files_of(fake / "exp")
    assert _decode(fake) == []
    assert files_of(fake / "exp") == files


def test_only_the_work_counts_and_not_waiting_in_a_queue(fake, monkeypatch):
    """Each mixture waits for 1000 s and takes 2 s, in whichever process."""
    now = [0.0]

    class Slow:
        def __call__(self, mixture, *, name):
            now[0] += 2
            return FAKE(mixture, name=name)

    def queued(function, items, **_):
        for item in items:
            now[0] += 1000
            yield function(item)

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(module, "parallel_map", queued)
    monkeypatch.setattr(module, "_load", lambda model: Slow())
    cost = decode_set(fake / "exp", fake / "data" / "test")
    assert (cost.num_made, cost.audio_seconds, cost.seconds) == (3, 593 / RATE, 6.0)
    (fake / "exp" / "separated_test" / "wav" / "a_s2.wav").unlink()
    assert decode_set(fake / "exp", fake / "data" / "test").seconds == 2.0  # of what was made now


def test_a_model_for_conversations_tells_who_speaks_when(fake):
    make_experiment(fake / "exp", overrides="conversations=true loss=pit_thresholded_snr mixture_consistency=true")
    make_data(fake / "data" / "test", {"a": 8000, "b": 4000})
    assert _decode(fake) == [8000, 4000]
    rttm = fake / "exp/separated_test/rttm"
    turns = [("a 1 0.000 1.000", track) for track in ("s1", "s2")] + [
        ("b 1 0.000 0.500", track) for track in ("s1", "s2")
    ]
    both = "".join(f"SPEAKER {turn} <NA> <NA> {track} <NA> <NA>\n" for turn, track in turns)
    assert rttm.read_text() == both
    (fake / "exp/separated_test/wav/a.rttm").unlink()
    assert _decode(fake) == [8000]
    assert rttm.read_text() == both


def test_conversations_are_separated_as_recordings_are_with_any_model(fake):
    FAKE.recordings = []
    assert _decode(fake) == [401, 160, 32]
    assert FAKE.recordings == []
    make_data(fake / "data" / "test", {"a": 8000, "b": 4000})
    (fake / "data" / "test" / "rttm").write_text("SPEAKER a 1 0 1 <NA> <NA> x <NA> <NA>\n")
    assert _decode(fake) == [8000, 4000]
    assert FAKE.recordings == [8000, 4000]
    assert not (fake / "exp/separated_test/rttm").exists()  # such a model does not tell who speaks


def test_what_is_lost_or_cut_or_of_another_mixture_is_made_again(fake):
    _decode(fake)
    whole = _without_log(fake)
    wav = fake / "exp" / "separated_test" / "wav"
    (wav / "a_s2.wav").unlink()
    (wav / "c_s1.wav").write_bytes((wav / "c_s1.wav").read_bytes()[:-2])
    assert _decode(fake) == [160, 32]
    assert _without_log(fake) == whole
    write_wav(fake / "data" / "test" / "wav" / "b_wav.scp.wav", np.full(401, 4000, np.int16))
    assert _decode(fake) == [401]
    assert (soundfile.read(wav / "b_s1.wav", dtype="int16")[0] == 3000).all()


def test_another_checkpoint_makes_all_again_and_no_list_is_there_meanwhile(fake, monkeypatch):
    _decode(fake)
    make_experiment(fake / "exp", seed=1)
    monkeypatch.setattr(FAKE, "stop", 32)
    with pytest.raises(InputError, match=r"wav.scp: c: stop"):
        _decode(fake)
    assert not list((fake / "exp" / "separated_test").glob("*.scp"))
    monkeypatch.setattr(FAKE, "stop", None)
    assert _decode(fake) == [32]  # a and b are of the new checkpoint already
    make_experiment(fake / "exp", seed=1, overrides="mask_activation=sigmoid")
    assert _decode(fake) == [401, 160, 32]


def test_a_folder_that_decoding_did_not_make_stays(fake):
    out = fake / "exp" / "separated_test"
    (out / "wav").mkdir(parents=True)
    (out / "wav" / "a_s1.wav").write_text("mine")
    (out / "spk1.scp").write_text("mine\n")
    before = files_of(fake)
    with pytest.raises(InputError, match=r"separated_test: is not known to be made by this command .* holds spk1\.scp"):
        _decode(fake)
    assert files_of(fake) == before
    shutil.rmtree(out)
    _decode(fake)
    (out / "notes.txt").write_text("mine")
    (out / "spk_means.scp").write_text("mine")
    (out / ".made.json").unlink()  # as it was before there were marks
    make_experiment(fake / "exp", seed=1)
    assert _decode(fake) == [401, 160, 32]
    assert (out / "notes.txt").read_text() == (out / "spk_means.scp").read_text() == "mine"


def test_keys_that_are_gone_leave_the_lists(fake):
    _decode(fake)
    make_data(fake / "data" / "test", {"a": 160, "d": 50})
    assert _decode(fake) == [50]
    (fake / "exp" / "separated_test" / "spk3.scp").write_text("a x\n")  # of a model for three
    (fake / "exp" / "separated_test" / "wav" / "a_s1.wav").unlink()
    _decode(fake)
    for source in (1, 2):
        assert list(read_scp(fake / "exp" / "separated_test" / f"spk{source}.scp")) == ["a", "d"]
    assert not (fake / "exp" / "separated_test" / "spk3.scp").exists()


def test_half_a_line_of_the_journal_costs_its_mixture_only(fake):
    _decode(fake)
    journal = fake / "exp" / "separated_test" / "made.jsonl"
    whole = _without_log(fake)
    journal.write_text(journal.read_text()[:-9])
    assert _decode(fake) == [32]
    assert _without_log(fake) == whole
    journal.write_bytes(b"\xff")
    assert _decode(fake) == [401, 160, 32]


def test_a_key_may_hold_a_slash(fake):
    make_data(fake / "data" / "test", {"a": 160})
    for name in ("wav.scp", "spk1.scp", "spk2.scp", "utt2num_samples"):
        file = fake / "data" / "test" / name
        file.write_text(file.read_text().replace("a ", "x/%a ", 1))
    for name in ("utt2spk", "spk2utt"):
        (fake / "data" / "test" / name).write_text("x/%a x/%a\n")
    _decode(fake)
    assert read_scp(fake / "exp" / "separated_test" / "spk1.scp")["x/%a"].endswith("/wav/x%2F%25a_s1.wav")


def test_an_archive_is_read(fake):
    samples = np.arange(160, dtype=np.int16)
    kaldiio.save_ark(str(fake / "wav.ark"), {"a": (RATE, samples)}, scp=str(fake / "wav.scp"))
    make_data(fake / "data" / "test", {"a": 160})
    (fake / "data" / "test" / "wav.scp").write_text((fake / "wav.scp").read_text())
    _decode(fake)
    estimate = soundfile.read(fake / "exp" / "separated_test" / "wav" / "a_s1.wav", dtype="int16")[0]
    np.testing.assert_array_equal(estimate, samples * 3 // 4)


NAN = np.array([0.1, np.nan] * 80, np.float32)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.ones(160, np.int16), 16000, "is at 16000 Hz; 8000 Hz is expected"),
        (NAN, RATE, "has NaN or infinity at sample 1"),
        (np.ones((160, 2), np.int16), RATE, "has 2 channels"),
        (np.ones(0, np.int16), RATE, "is empty"),
        (np.ones(150, np.int16), RATE, "has 150 samples; utt2num_samples says 160"),
    ],
)
def test_a_mixture_that_cannot_be_separated_is_named_in_one_line(fake, capsys, samples, rate, message):
    path = fake / "data" / "test" / "wav" / "a_wav.scp.wav"
    write_wav(path, samples, rate)
    with pytest.raises(SystemExit) as status:
        main(["--expdir", str(fake / "exp"), "--data", str(fake / "data" / "test")])
    error = capsys.readouterr().err
    assert status.value.code == 2
    assert message in error
    assert "wav.scp: a: " in error
    assert error.count("\n") == 1
    assert not list((fake / "exp" / "separated_test").glob("spk*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"--nj": "0"}, "--nj: must be a whole number of 1 to 1024"),
        ({"--ngpu": "0"}, "--ngpu: must be a whole number of 1 to 1024"),
        ({"--shifts": "0"}, "argument --shifts: must be a whole number of 1 to 16"),
        ({"--data": "nowhere"}, "nowhere: no such data directory"),
        ({"--expdir": "nowhere"}, "nowhere: no such experiment folder"),
        ({"--model_path": "nowhere.ckpt"}, "nowhere.ckpt: no such checkpoint"),
    ],
)
def test_wrong_use_is_one_line(fake, capsys, options, message):
    given = {"--expdir": str(fake / "exp"), "--data": str(fake / "data" / "test")} | options
    with pytest.raises(SystemExit) as status:
        main([word for option in given.items() for word in option])
    error = capsys.readouterr().err
    assert (status.value.code, error.count("\n")) == (2, 1)
    assert message in error
    assert not (fake / "exp" / "separated_test").exists()


def test_the_runs_config_chooses_the_card(fake, monkeypatch, capsys):
    monkeypatch.setattr(module, "_load", module.functools.lru_cache(maxsize=1)(LOAD))
    cards = []

    def set_up_device(target, card, num_threads):
        cards.append((target, card))
        raise InputError("stop")

    monkeypatch.setattr(separator, "set_up_device", set_up_device)
    own = Experiment(fake / "exp").read_config()
    save_config(dataclasses.replace(own, device_id=3, device_target="Ascend"), fake / "run.yaml")
    save_config(dataclasses.replace(own, n_filters=4), fake / "other.yaml")
    arguments = ["--expdir", str(fake / "exp"), "--data", str(fake / "data" / "test"), "--reference_protocol", "false"]
    for more in ([], ["--config", str(fake / "run.yaml")]):
        with pytest.raises(SystemExit):
            main([*arguments, *more])
    assert cards == [("CPU", 0), ("Ascend", 3)]
    with pytest.raises(SystemExit):
        main([*arguments, "--config", str(fake / "other.yaml")])
    assert "was trained with n_filters: 8, not 4" in capsys.readouterr().err


def test_processes_get_enough_cores(monkeypatch, fake):
    config = Experiment(fake / "exp").read_config()
    for cores, nj, expected in [
        (2, 2, (1, None)),
        (7, 8, (1, None)),
        (8, 8, (2, 4)),
        (32, 3, (3, 10)),
        (8, 1, (1, None)),
    ]:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: range(cores))
        assert module._share_cores(nj, 1, config) == expected
    config = dataclasses.replace(config, device_target="Ascend")
    assert module._share_cores(1, 8, config) == (8, None)  # a process for each device


def test_a_task_of_a_cluster_has_the_cores_that_it_is_given(monkeypatch, tmp_path, fake):
    """Not a share of the cores of the machine where run.sh waits."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64))
    monkeypatch.setattr(module.Slurm, "from_environment", lambda: module.Slurm((), 4, tmp_path))
    assert module._share_cores(4, 1, Experiment(fake / "exp").read_config()) == (4, None)


def test_killed_and_run_again_by_any_number_of_processes_gives_the_same_bytes(decoded, tmp_path):
    folder, _ = decoded
    make_experiment(tmp_path / "exp")
    out = tmp_path / "exp" / "separated_test"
    code = (
        "import sys, time\nfrom mindaudio_ext.inference import decode_set as module\n"
        "from mindaudio_ext.bin.decode import main\n"
        "write, module.CORES_A_PROCESS = module.write_wav, int(sys.argv.pop(1))\n"
        "def slow(path, *rest):\n    write(path, *rest)\n    time.sleep(float(sys.argv[-1]))\n"
        "module.write_wav = slow\nmain(sys.argv[1:-1])"
    )

    def run(cores, wait):
        options = ["--expdir", str(tmp_path / "exp"), "--data", str(folder / "data" / "test"), "--nj", "2"]
        return subprocess.Popen(
            [sys.executable, "-c", code, cores, *options, wait], env=os.environ | {"PYTHONPATH": str(ROOT)}
        )

    process = run("4", "9")
    deadline = time.monotonic() + 300
    while not list(out.glob("wav/b_s1.wav")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (out / "wav" / "b_s1.wav").exists()
    assert not list(out.glob("*.scp"))
    assert run("1", "0").wait(timeout=120) == 0
    expected = {name: data for name, data in files_of(folder / "exp" / "separated_test").items() if "wav/" in name}
    assert {name: data for name, data in files_of(out).items() if "wav/" in name} == expected
    assert [json.loads(line).get("key") for line in (out / "made.jsonl").read_text().splitlines()] == [None, *"abc"]
