"""`mindaudio-separate --serve`: the page in a browser, two windows at once, and what the server refuses."""

import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import soundfile
from browser import browse
from tiny_experiment import BASE, RATE, make_experiment, write_wav

from mindaudio_ext.bin.separate import main
from mindaudio_ext.config import load_config, save_config
from mindaudio_ext.inference.models import Model
from mindaudio_ext.inference.separator import Separator
from mindaudio_ext.serve.app import make_app
from mindaudio_ext.serve.jobs import Jobs, Turns
from mindaudio_ext.serve.pictures import COLUMNS, draw

MINUTES = 20
LARGEST = 25  # MB; 20 minutes have 19.2
needs_server = pytest.mark.needs("starlette", "uvicorn")


class Window:
    """What a window asks the server at an address."""

    def __init__(self, address):
        self.address = address

    def ask(self, method, path, body=None, **headers):
        """Returns the status and the body of an answer."""
        connection = http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=30)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def told(self, job):
        """Returns what is said of a job."""
        return json.loads(self.ask("GET", f"/jobs/{job}")[1])

    def wait(self, job, states):
        """Waits until a job is in one of the states; gives what is said of it then."""
        end = time.monotonic() + 60
        while (told := self.told(job))["state"] not in states:
            assert time.monotonic() < end, told
            time.sleep(0.05)
        return told

    def separate(self, path):
        """Returns what is said of a recording when it is done."""
        job = json.loads(self.ask("POST", f"/jobs?name={path.name}", path.read_bytes())[1])
        return self.wait(job["id"], ["done", "failed"])


class Server(Window):
    """The command in a process of its own."""

    def __init__(self, expdir, temporary):
        command = [sys.executable, "-m", "mindaudio_ext.bin.separate", "--serve", "--port", "0", "--model", str(expdir)]
        command += ["--largest_file", str(LARGEST)]
        environment = os.environ | {"TMPDIR": str(temporary)}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        super().__init__(self.process.stdout.readline().split()[0])
        self.model = str(expdir)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    make_experiment(folder / "exp")
    (folder / "tmp").mkdir()
    server = Server(folder / "exp", folder / "tmp")
    yield server
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(20) == 130
    assert server.process.stderr.read() == ""
    assert list((folder / "tmp").glob("mindaudio_*")) == []


@pytest.fixture(scope="module")
def mix(tmp_path_factory):
    rng = np.random.default_rng(0)
    return write_wav(
        tmp_path_factory.mktemp("sound") / "mix.wav", (3000 * rng.standard_normal(3 * RATE)).astype(np.int16)
    )


@needs_server
@pytest.mark.needs("chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_recording_is_separated_played_and_kept(server, mix, tmp_path, width):
    text = tmp_path / "notes.wav"
    text.write_text("no sound\n")
    with browse(tmp_path) as page:
        page.open(server.address, width=width)
        assert page.ask("document.getElementById('model').value") == server.model
        page.choose_file("#file", mix)
        page.wait("!document.getElementById('result').hidden")
        tracks = "[...document.querySelectorAll('audio')]"
        page.wait(f"{tracks}.length === 3 && {tracks}.every((one) => one.duration === 3)")
        assert page.ask("document.querySelectorAll('.wave path').length") == 3
        assert page.ask("document.querySelectorAll('img')[2].naturalWidth") == COLUMNS
        assert page.ask("document.querySelectorAll('.speech i').length") >= 3

        page.ask("document.querySelectorAll('.signal')[0].click()")
        page.wait(f"{tracks}[0].currentTime > 0.3")
        page.ask("document.querySelectorAll('.signal')[2].click()")  # the second voice, from the same moment on
        page.wait(f"{tracks}[2].currentTime > 0.5")
        assert page.ask(f"{tracks}.map((one) => one.paused)") == [True, True, False]
        assert page.ask(f"{tracks}.map((one) => one.hidden)") == [True, True, False]
        page.ask("document.querySelectorAll('.signal')[2].click()")
        assert page.ask(f"{tracks}[2].paused")

        kept = page.ask(
            "fetch(document.querySelectorAll('.signals .keep')[1].href).then(async (answer) => "
            "[answer.headers.get('content-disposition'), (await answer.arrayBuffer()).byteLength])"
        )
        assert kept == ['attachment; filename="mix_voice_1.wav"', 44 + 2 * 3 * RATE]

        page.ask("document.getElementById('language').click()")
        assert page.ask("document.querySelector('h1').textContent") == "分离录音"
        page.choose_file("#file", text)
        page.wait("!document.getElementById('error').hidden")
        error = "document.getElementById('error').textContent"
        assert page.ask(error) == "无法分离这个文件：notes.wav：不是能识别的音频格式"
        page.ask("document.getElementById('language').click()")
        assert page.ask(error).startswith("This file cannot be separated: notes.wav: cannot be read as audio")
        assert page.ask("document.documentElement.scrollWidth <= innerWidth")
        assert page.errors == []


@needs_server
@pytest.mark.needs("chromium")
def test_the_microphone_and_a_file_that_is_too_large(server, tmp_path):
    large = tmp_path / "large.wav"
    large.write_bytes(bytes(LARGEST * 1_000_000 + 1))
    with browse(tmp_path) as page:
        page.open(server.address, width=1280)
        page.ask("document.getElementById('record').click()")
        page.wait("document.getElementById('record').textContent.includes('(2\u00a0s)')")
        page.ask("document.getElementById('record').click()")
        page.wait("!document.getElementById('result').hidden")
        page.wait("document.querySelector('audio').duration > 0.5")
        assert page.ask("document.getElementById('done').textContent") == "recording.wav"
        page.choose_file("#file", large)
        page.wait("!document.getElementById('error').hidden")
        assert (
            page.ask("document.getElementById('error').textContent")
            == "large.wav has 25\u00a0MB; at most 25\u00a0MB are taken."
        )
        assert page.errors == []


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    noise = np.random.default_rng(0).integers(-9000, 9000, MINUTES * 60 * RATE).astype(np.int16)
    return write_wav(tmp_path_factory.mktemp("sound") / "long.wav", noise)


@needs_server
@pytest.mark.needs("chromium")
def test_a_long_recording_shows_how_far_it_is_and_is_stopped_while_another_window_works(server, long, mix, tmp_path):
    with browse(tmp_path) as one:
        other = one.another()
        one.open(server.address, width=1280)
        other.open(server.address, width=390)
        one.choose_file("#file", long)
        one.wait("document.getElementById('progress').value > 0")
        other.choose_file("#file", mix)
        other.wait("!document.getElementById('result').hidden")
        assert one.ask("document.getElementById('state').textContent").startswith("Separating: ")
        assert 0 < one.ask("document.getElementById('progress').value") < 1
        one.ask("document.getElementById('stop').click()")
        assert one.ask("document.getElementById('state').textContent") == "Stopped."
        assert one.ask("document.getElementById('stop').hidden")
        one.choose_file("#file", mix)  # and the window can be used again
        one.wait("!document.getElementById('result').hidden")
        assert other.ask("document.querySelectorAll('audio').length") == 3
        assert one.errors + other.errors == []


@needs_server
def test_a_long_recording_does_not_keep_another_window_waiting(server, mix, long):
    first = json.loads(server.ask("POST", "/jobs?name=long.wav", long.read_bytes())[1])
    begun = server.wait(first["id"], ["working"])
    second = json.loads(server.ask("POST", "/jobs?name=mix.wav", mix.read_bytes())[1])
    assert [one["file"] for one in server.wait(second["id"], ["done"])["signals"]] == [
        "mixture.wav", "voice_1.wav", "voice_2.wav",
    ]  # fmt: skip
    between = server.told(first["id"])
    assert begun["progress"] <= between["progress"] < 1
    assert between["state"] == "working"
    assert server.ask("DELETE", f"/jobs/{first['id']}")[0] == 204
    assert server.ask("GET", f"/jobs/{first['id']}")[0] == 404
    assert server.told(second["id"])["state"] == "done"


@needs_server
def test_what_is_refused(server, mix):
    told = json.loads(server.ask("POST", "/jobs?name=a.txt", b"text")[1])
    error = server.wait(told["id"], ["failed"])["error"]
    assert error["en"].startswith("a.txt: cannot be read as audio")
    assert error["zh"] == "a.txt：不是能识别的音频格式"
    assert server.ask("POST", "/jobs", b"", **{"Content-Length": "25000001"})[0] == 413
    parts = (bytes(1_000_000) for _ in range(LARGEST + 1))  # of a length that is not told
    assert server.ask("POST", "/jobs", parts)[0] == 413
    status, answer = server.ask("POST", "/jobs?model=/etc", b"")
    assert (status, json.loads(answer)["error"]["zh"]) == (400, "没有名为 /etc 的模型")
    assert server.ask("GET", "/", Host="elsewhere.example")[0] == 400
    assert server.ask("POST", "/jobs", mix.read_bytes(), **{"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert server.ask("GET", "/jobs/x/mixture.wav")[0] == 404
    assert server.ask("GET", f"/jobs/{told['id']}/input")[0] == 404


class Talkers(Separator):
    """A model for conversations: what is above 0 is the first's, what is below the second's; a tenth leaks."""

    class config:
        num_spks, sample_rate, kernel_size, conversations, has_levels = 2, RATE, 2, True, True

    def __init__(self):
        pass

    def separate_batch(self, mixtures, *, name):
        parts = np.maximum(mixtures, 0), np.minimum(mixtures, 0)
        return np.stack((0.9 * parts[0] + 0.1 * parts[1], 0.1 * parts[0] + 0.9 * parts[1]), axis=1)


@pytest.fixture
def talkers(tmp_path):
    """What asks a server in this process whose only model is `Talkers`."""
    import uvicorn

    jobs = Jobs(tmp_path, lambda name: Talkers())
    model = Model("talkers", 2, RATE, None, None)
    app = make_app(jobs, {"talkers": model}, first="talkers", largest=10**7, hosts=("127.0.0.1",))
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    yield Window(f"http://127.0.0.1:{listener.getsockname()[1]}")
    server.should_exit = True
    thread.join(20)


def conversation(folder, *turns):
    """Writes 4 s in which somebody speaks in each turn (sign, start, end in seconds)."""
    samples = np.zeros(4 * RATE, np.float32)
    for sign, start, end in turns:
        samples[round(start * RATE) : round(end * RATE)] = 0.3 * sign
    return write_wav(folder / "our talk.wav", samples)


TWO = ((1, 0.5, 2), (-1, 2.5, 3.5))
CONVERSATIONS = "conversations=true loss=pit_thresholded_snr mixture_consistency=true"


@needs_server
def test_a_model_for_conversations_tells_turns_and_silences_tracks(talkers, tmp_path):
    mix = conversation(tmp_path, *TWO)
    job = json.loads(talkers.ask("POST", "/jobs?name=our%20talk.wav", mix.read_bytes())[1])["id"]
    told = talkers.wait(job, ["done"])
    mixture, *voices = (signal["speech"] for signal in told["signals"])
    np.testing.assert_allclose(voices, [[(0.5, 2)], [(2.5, 3.5)]], atol=0.06)
    assert mixture == [*voices[0], *voices[1]]
    said = told["speech"]
    assert (said["speakers"], said["several"], said["file"]) == (2, 0, "turns.rttm")
    assert 62 <= said["one"] <= 65
    assert said["one"] + said["nobody"] == 100
    status, rttm = talkers.ask("GET", f"/jobs/{job}/turns.rttm")
    fields = [line.split() for line in rttm.decode().splitlines()]
    assert (status, [(line[1], line[7]) for line in fields]) == (200, [("our_talk", "s1"), ("our_talk", "s2")])
    assert [[float(line[3]), float(line[3]) + float(line[4])] for line in fields] == [
        pytest.approx(turn, abs=1e-3) for turn in mixture
    ]
    second, _ = soundfile.read(io.BytesIO(talkers.ask("GET", f"/jobs/{job}/voice_2.wav")[1]))
    assert not second[: round(2.4 * RATE)].any()
    np.testing.assert_allclose(second[round(2.6 * RATE) : round(3.4 * RATE)], -0.27, atol=1e-3)


@needs_server
def test_the_page_has_a_voice_for_each_who_speaks(talkers, tmp_path):
    for turns, files, n_speakers in (
        (TWO[1:], ["mixture.wav", "voice_1.wav"], 1),
        ((), ["mixture.wav", "voice_1.wav", "voice_2.wav"], 0),
    ):
        told = talkers.separate(conversation(tmp_path, *turns).rename(tmp_path / "talk.wav"))
        assert [signal["file"] for signal in told["signals"]] == files
        assert told["speech"]["speakers"] == n_speakers
    assert all(signal["speech"] == [] for signal in told["signals"])
    assert talkers.ask("GET", f"/jobs/{told['id']}/turns.rttm") == (200, b"")


@needs_server
@pytest.mark.needs("chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_turns_are_shown_and_kept(talkers, tmp_path, width):
    mix = conversation(tmp_path, *TWO)
    with browse(tmp_path) as page:
        page.open(talkers.address, width=width)
        page.choose_file("#file", mix)
        page.wait("!document.getElementById('result').hidden")
        page.wait("document.querySelectorAll('.speech i').length === 4")
        heard = "document.getElementById('heard').textContent"
        assert page.ask(heard).startswith("2\u00a0speakers were heard. One speaks 6")
        bars = page.ask("[...document.querySelectorAll('.speech i')].map((bar) => parseFloat(bar.style.left))")
        np.testing.assert_allclose(bars, [12.5, 62.5, 12.5, 62.5], atol=1.5)
        kept = page.ask(
            "fetch(document.getElementById('turns').href).then(async (answer) => "
            "[answer.headers.get('content-disposition'), (await answer.text()).split('\\n').length])"
        )
        assert kept == ["attachment; filename*=utf-8''our%20talk.rttm", 3]
        page.ask("document.getElementById('language').click()")
        assert page.ask(heard).startswith("听到 2\u00a0个人说话")
        assert page.ask("document.documentElement.scrollWidth <= innerWidth")
        assert page.errors == []


@pytest.mark.parametrize("is_trained", [False, pytest.param(True, marks=pytest.mark.needs("--all"))])
def test_the_page_writes_what_the_command_writes(tmp_path, monkeypatch, is_trained):
    """2 s of noise with a pause, through `Talkers` or a tiny network for conversations."""
    if is_trained:
        make_experiment(tmp_path / "exp", overrides=CONVERSATIONS)
    else:
        save_config(load_config(BASE, None, [CONVERSATIONS]), tmp_path / "exp" / "config.yaml")
        (tmp_path / "exp" / "checkpoints").mkdir()
        (tmp_path / "exp" / "checkpoints" / "best.ckpt").touch()
        monkeypatch.setattr(Separator, "from_expdir", lambda *_, **__: Talkers())
    noise = (3000 * np.random.default_rng(0).standard_normal(2 * RATE)).astype(np.int16)
    noise[RATE // 2 : RATE] = 0
    mix = write_wav(tmp_path / "mix.wav", noise)
    main([str(mix), "--model", str(tmp_path / "exp"), "-o", str(tmp_path / "out")])
    jobs = Jobs(tmp_path, lambda name: Separator.from_expdir(tmp_path / "exp"))
    job = jobs.new("mix.wav")
    shutil.copy(mix, job.input)
    jobs._run(job, "exp")
    assert job.state == "done", job.error
    voices = [signal["file"] for signal in job.signals[1:]]
    written = sorted((tmp_path / "out").glob("*.wav"))
    assert [(job.folder / name).read_bytes() for name in voices] == [path.read_bytes() for path in written]
    assert (job.folder / "turns.rttm").read_text() == (tmp_path / "out/mix.rttm").read_text()
    assert [one["speech"] for one in job.signals[1:]] == [list(map(list, own)) for own in job.speech.turns]
    assert not soundfile.read(written[0])[0][round(0.6 * RATE) : round(0.9 * RATE)].any()


def test_without_the_extra_it_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SystemExit) as end:
        main(["--serve"])
    error = capsys.readouterr().err
    assert (end.value.code, error.count("\n")) == (2, 1)
    assert 'pip install "mindaudio-ext[demo]"' in error


def test_those_that_wait_have_their_turn_before_the_next_of_the_same():
    turns, order, both_wait = Turns(), [], threading.Event()

    def work(name):
        with turns.turn():
            both_wait.wait(10)
            for _ in range(3):
                order.append(name)
                turns.pass_on()

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
        while len(turns._queue) < 1 + threads.index(thread):
            time.sleep(0.001)
    both_wait.set()
    for thread in threads:
        thread.join(10)
    assert order == list("ababab")


def test_pictures_are_of_the_whole_and_say_when_somebody_speaks(tmp_path):
    samples = np.zeros(4 * RATE)
    samples[RATE : 2 * RATE] = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="PCM_16")
    (drawn,) = draw([tmp_path / "a.wav"])
    assert drawn["speech"] == [[1.0, 2.0]]
    assert drawn["waveform"].count("M") == COLUMNS
    assert drawn["spectrogram"].startswith("data:image/jpeg;base64,")
    soundfile.write(tmp_path / "one.wav", np.zeros(1), RATE)
    (drawn,) = draw([tmp_path / "one.wav"])
    assert drawn["speech"] == []
    mixture, voice = draw([tmp_path / "a.wav"] * 2, turns=[[(0.5, 0.75), (3.0, 4.0)]])
    assert mixture["speech"] == voice["speech"] == [[0.5, 0.75], [3.0, 4.0]]  # whatever is loud
