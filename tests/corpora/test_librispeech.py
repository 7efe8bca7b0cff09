"""Folders in LibriSpeech's layout."""

import pytest

from mindaudio_ext.corpora.librispeech import find_utterances, list_subsets, read_sexes, split_speakers
from mindaudio_ext.errors import InputError


def _touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_utterances_are_found_by_subset(tmp_path):
    _touch(tmp_path, "a/1/10/1-10-0000.flac", "a/1/10/1-10.trans.txt", "a/2/3/0001.WAV", "b/9/9/9-9-0000.wav")
    _touch(tmp_path, "a/2/3/.hidden.wav", "docs/readme.txt", "c/4/0/4-0-1.ogg", "c/4/0/4-0-2.opus", "c/4/0/4-0-3.mp3")
    assert list_subsets(tmp_path) == ["a", "b", "c"]
    assert [u.key for u in find_utterances(tmp_path, ["c"])] == ["4-0-1", "4-0-2", "4-0-3"]
    found = find_utterances(tmp_path, ["a"])
    assert [(u.key, u.speaker) for u in found] == [("1-10-0000", "1"), ("2-3-0001", "2")]
    assert found[0].path == str(tmp_path.resolve() / "a/1/10/1-10-0000.flac")
    assert [u.key for u in find_utterances(tmp_path, ["b", "a"])] == ["1-10-0000", "2-3-0001", "9-9-0000"]


def test_the_folder_of_one_subset_will_do(tmp_path):
    _touch(tmp_path, "dev-clean/1/10/1-10-0000.flac")
    root = tmp_path / "dev-clean"
    assert list_subsets(root) == ["."]
    assert find_utterances(root, ["."]) == find_utterances(root, ["dev-clean"])


def test_what_is_there_is_listed_when_a_subset_is_not(tmp_path):
    _touch(tmp_path, "mine/1/10/1-10-0000.flac", "yours/1/10/1-10-0001.flac")
    with pytest.raises(InputError, match=r"no subset 'dev-clean'; there is: mine, yours.*--dev_subsets"):
        find_utterances(tmp_path, ["dev-clean"])


@pytest.mark.parametrize("files", [(), ("x.wav",), ("a/1/x.txt",)])
def test_a_folder_without_speech_is_refused(tmp_path, files):
    _touch(tmp_path, *files)
    with pytest.raises(InputError, match="no speech found"):
        list_subsets(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        list_subsets(tmp_path / "nowhere")


def test_names_that_make_no_key_are_refused(tmp_path):
    _touch(tmp_path, "a/1/10/my file.wav")
    with pytest.raises(InputError, match=r"my file\.wav: '1-10-my file' cannot be a key: it has white space"):
        find_utterances(tmp_path, ["a"])
    _touch(tmp_path, "b/1/10/1-10-0000.wav", "b/1/10/1-10-0000.flac")
    with pytest.raises(InputError, match="has the same name as"):
        find_utterances(tmp_path, ["b"])


def test_speakers_are_split_without_overlap(tmp_path):
    _touch(tmp_path, *[f"all/{speaker}/1/{speaker}-1-000{i}.wav" for speaker in range(40) for i in range(2)])
    utterances = find_utterances(tmp_path, ["all"])
    parts = {name: split_speakers(utterances, name, 0) for name in ("train", "dev", "test")}
    speakers = {name: {u.speaker for u in part} for name, part in parts.items()}
    assert {name: len(found) for name, found in speakers.items()} == {"train": 32, "dev": 4, "test": 4}
    assert len(speakers["train"] | speakers["dev"] | speakers["test"]) == 40
    assert sum(len(part) for part in parts.values()) == 80
    assert {u.speaker for u in split_speakers(utterances[:12], "dev", 0)} < {u.speaker for u in utterances[:12]}
    with pytest.raises(InputError, match="5 speakers are too few"):
        split_speakers(utterances[:10], "dev", 0)
    with pytest.raises(InputError, match="got 'eval'"):
        split_speakers(utterances, "eval", 0)


def test_sexes_come_from_either_table(tmp_path):
    root = tmp_path / "LibriSpeech"
    root.mkdir()
    assert read_sexes(root) == {}
    (tmp_path / "SPEAKERS.csv").write_text("speaker,sex,subset\n652,M,dev-clean\n7,F,x\n")
    assert read_sexes(root) == {"652": "m", "7": "f"}
    (root / "SPEAKERS.TXT").write_text(";ID  |SEX| SUBSET\n14   | F | train-clean-360  | 25.03 | Kristin\n")
    assert read_sexes(root) == {"14": "f"}
