"""The list of what was written into a folder: read once, whoever else adds to it."""

import json

import pytest

from mindaudio_ext.errors import InputError
from mindaudio_ext.inference import written
from mindaudio_ext.inference.written import LIST, note, refuse_others


def write(folder, name, text):
    (folder / name).write_text(text)
    note([folder / name], [folder / name])
    return folder / name


def test_the_list_is_read_once_for_many_recordings(tmp_path, monkeypatch):
    parsed, parse_json = [], written.parse_json
    monkeypatch.setattr(written, "parse_json", lambda line: parsed.append(line) or parse_json(line))
    paths = [write(tmp_path, f"{number}.wav", "a") for number in range(100)]
    for path in paths:
        refuse_others([path], "mix.wav")
    assert len(parsed) == 100
    written._list_of.cache_clear()  # as in another process
    refuse_others(paths, "mix.wav")
    assert len(parsed) == 200


def test_what_another_process_adds_is_known(tmp_path):
    path = write(tmp_path, "a.wav", "a")
    (tmp_path / "b.wav").write_text("b")
    with pytest.raises(InputError, match=r"mix\.wav: .*b\.wav is there and was not written by this command"):
        refuse_others([path, tmp_path / "b.wav"], "mix.wav")
    digest = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"  # of "b"
    line = json.dumps({"name": "b.wav", "sha256": digest})
    with open(tmp_path / LIST, "a") as file:
        file.write(line[:20])
    with pytest.raises(InputError, match=r"b\.wav is there"):
        refuse_others([tmp_path / "b.wav"], "mix.wav")
    with open(tmp_path / LIST, "a") as file:
        file.write(line[20:])
    refuse_others([path, tmp_path / "b.wav"], "mix.wav")


def test_a_list_that_was_replaced_or_removed_is_read_anew(tmp_path):
    path = write(tmp_path, "a.wav", "a")
    (tmp_path / "other").write_text(json.dumps({"name": "x", "sha256": "y" * 100}) + "\n")
    (tmp_path / "other").replace(tmp_path / LIST)
    with pytest.raises(InputError, match=r"a\.wav is there"):
        refuse_others([path], "mix.wav")
    note([path], [path])
    refuse_others([path], "mix.wav")
    (tmp_path / LIST).unlink()
    with pytest.raises(InputError, match=r"a\.wav is there"):
        refuse_others([path], "mix.wav")


@pytest.mark.parametrize("line", ["[" * 9999, "null", '{"name": [], "sha256": []}', '{"name": "a.wav"}', "\xff"])
def test_lines_of_somebody_else_are_passed_over(tmp_path, line):
    (tmp_path / LIST).write_text(line)
    refuse_others([write(tmp_path, "a.wav", "a")], "mix.wav")
