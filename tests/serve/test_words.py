"""The words of the page: all there in both languages, and what a recording is refused for is said in both."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sound_files import encode, voice

from mindaudio_ext.errors import InputError, describe_error
from mindaudio_ext.inference.recording import Recording
from mindaudio_ext.inference.separator import require_length
from mindaudio_ext.serve import words
from mindaudio_ext.serve.jobs import MOST_AT_ONCE, Jobs
from mindaudio_ext.serve.words import in_both, page_words

SERVE = Path(words.__file__).parent


def test_the_page_has_the_words_it_shows_and_no_others():
    page, program = ((SERVE / name).read_text(encoding="utf-8") for name in ("page.html.j2", "page.js"))
    shown = set(re.findall(r'data-words="(\w+)"', page)) | set(re.findall(r"WORDS\[\w+\]\.(\w+)", program))
    shown |= set(re.findall(r'(?:say\((?:element\("\w+"\)|\w+), |complain\(|number \? )"(\w+)"', program)) | {"mixture"}
    shown |= set(re.findall(r'told\.state === "(\w+)"', program)) - {"done"}
    assert {key for said in page_words().values() for key in said} == shown
    for key in shown:
        english, chinese = (set(re.findall(r"\{\w+\}", page_words()[language][key])) for language in ("en", "zh"))
        assert english == chinese, key


@pytest.mark.parametrize("both", words._words()["server"], ids=lambda both: both["en"])
def test_what_differs_in_a_message_is_named_in_both_languages(both):
    told = {language: set(re.findall(r"\{\w+\}", both[language])) for language in ("en", "zh")}
    assert told["zh"] <= told["en"]
    example = re.sub(r"\{\w+\}", "7", both["en"])
    assert in_both(example)["en"] == example
    if both["en"] != "{message}":
        assert "出错：" not in in_both(example)["zh"]


def _two_files():
    return encode(voice(8000), "VORBIS") + encode(voice(4000, 8000), "VORBIS", 8000)


@pytest.mark.parametrize(
    ("data", "chinese"),
    [
        (b"", "a.wav：是空文件"),
        (b"text", "a.wav：不是能识别的音频格式"),
        (encode(voice(8000), "WAV")[:5000], "a.wav：不完整，文件头声明的采样数多于实际"),
        (encode(voice(8000), "VORBIS")[:-100], "a.wav：不完整，结尾被截断"),
        (_two_files(), "a.wav：由几个格式不同的文件相接而成，先是 16000 Hz、1 个声道"),
        (b"RIFF\x04\0\0\0AVI ", "a.wav：不是声音文件"),
    ],
)
def test_what_a_file_is_refused_for_is_said_in_chinese(tmp_path, data, chinese):
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(InputError) as refused:
        list(Recording(tmp_path / "a.wav", name="a.wav").blocks())
    assert in_both(str(refused.value))["zh"].startswith(chinese)


def test_so_are_rates_lengths_and_samples(tmp_path):
    soundfile.write(tmp_path / "slow.wav", np.zeros(9), 50)
    soundfile.write(tmp_path / "nan.wav", np.float32([0, np.nan]), 8000, subtype="FLOAT")
    said = []
    for name in ("slow.wav", "nan.wav"):
        with pytest.raises(InputError) as refused:
            list(Recording(tmp_path / name, name=name).blocks())
        said.append(in_both(str(refused.value))["zh"])

    class config:
        kernel_size, sample_rate = 16, 8000

    with pytest.raises(InputError) as refused:
        require_length(3, config, name="short.wav")
    said.append(in_both(str(refused.value))["zh"])
    assert said == [
        "slow.wav：采样率必须在 100 至 10000000 Hz 之间，现为 50 Hz",
        "nan.wav：第 1 个采样不是有限的数",
        "short.wav：太短，只有 3 个采样，模型在 8000 Hz 下至少需要 16 个",
    ]


def test_so_are_errors_of_the_server_and_the_machine(tmp_path):
    jobs = Jobs(tmp_path, load=None)
    for _ in range(MOST_AT_ONCE):
        jobs.new("mix.wav")
    with pytest.raises(InputError) as refused:
        jobs.new("mix.wav")
    assert in_both(str(refused.value))["zh"] == "正在分离 8 个录音，请等其中一个完成后再试"
    assert in_both(describe_error(KeyError("x")))["zh"] == "内部错误：KeyError: 'x'"
    assert in_both(describe_error(OSError(28, "No space left on device", "/x")))["zh"] == "/x：磁盘已满"
    assert in_both("what nobody foresaw {}")["zh"] == "出错：what nobody foresaw {}"
