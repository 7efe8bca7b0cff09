"""Journals: what is read of one that a kill cut off, and how it goes on."""

from mindaudio_ext.journal import appended_journal, read_journal


def test_entries_come_back_and_a_cut_line_costs_itself_alone(tmp_path):
    path = tmp_path / "made.jsonl"
    assert read_journal(path) == []
    with appended_journal(path) as add:
        add({"key": "é"})
        assert path.read_bytes() == b'{"key": "\\u00e9"}\n'  # on the disk at once
        add({"key": "b"})
    path.write_bytes(path.read_bytes()[:-5])
    assert read_journal(path) == [{"key": "é"}]
    with appended_journal(path) as add:
        add({"key": "c"})
    assert path.read_bytes() == b'{"key": "\\u00e9"}\n{"key": \n{"key": "c"}\n'
    assert read_journal(path) == [{"key": "é"}, {"key": "c"}]


def test_bytes_that_are_no_text_are_no_entry(tmp_path):
    (tmp_path / "made.jsonl").write_bytes(b"\xff\n" + b"[" * 100_000 + b"\n[1]\n")
    assert read_journal(tmp_path / "made.jsonl") == [[1]]
