"""Fixing a data directory."""

import pytest
from tiny_experiment import files_of, make_data

from mindaudio_ext.bin import fix_data_dir as command
from mindaudio_ext.data.fix import fix_data_dir
from mindaudio_ext.data.validate_data_dir import validate_data_dir
from mindaudio_ext.errors import InputError


@pytest.fixture
def folder(tmp_path):
    make_data(tmp_path / "test", {"a": 100, "b": 110, "c": 120, "d": 130})
    (tmp_path / "test" / "src2spk").write_text("a 1 2\nb 2 3\nc 3 4\nd 5 6\n")
    (tmp_path / "test" / "spk2gender").write_text("1 f\n2 m\n3 f\n4 m\n5 f\n6 m\n")
    return tmp_path / "test"


def _lists(folder):
    return {name: data for name, data in files_of(folder).items() if not name.startswith("wav/")}


def test_a_good_one_stays_as_it_is(folder, capsys):
    before = files_of(folder)
    command.main([str(folder)])
    assert files_of(folder) == before
    assert capsys.readouterr().out == f"{folder}: kept all 4 mixtures, nothing to change\n"


def test_only_what_all_files_have_is_kept(folder, capsys):
    before = _lists(folder)
    lines = before["spk2.scp"].decode().splitlines(keepends=True)
    spoilt = {
        "spk2.scp": "".join([lines[2], lines[0], lines[3], lines[0]]),  # b is missing, a is there twice, unsorted
        "utt2num_samples": "d 130 \r\nd 131\nc 120\n\nb 110\na 100\nnonsense\n",  # two values for d
        "spk2utt": "x x\n",
    }
    for name, text in spoilt.items():
        (folder / name).write_text(text, newline="")
    command.main([str(folder)])
    said = capsys.readouterr()
    assert "kept 2 of 4 mixtures, changed " in said.out
    assert f"old files are in {folder}/.backup" in said.out
    assert f"{folder}/utt2num_samples:2: d has another value than before" in said.err
    assert f"{folder}/utt2num_samples:7: 'nonsense' is not '<key> <value>'" in said.err
    assert validate_data_dir(folder).num_utts == 2
    assert (folder / "utt2num_samples").read_text() == "a 100\nc 120\n"
    assert (folder / "spk2utt").read_text() == "a a\nc c\n"
    assert (folder / "spk2gender").read_text() == "1 f\n2 m\n3 f\n4 m\n"
    for name, data in before.items():
        assert (folder / ".backup" / name).read_bytes() == spoilt.get(name, data.decode()).encode()
    after = files_of(folder)
    assert fix_data_dir(folder).changed == ()
    assert files_of(folder) == after


def test_a_byte_order_mark_costs_no_mixture(folder):
    before = _lists(folder)
    (folder / "wav.scp").write_bytes(b"\xef\xbb\xbf" + before["wav.scp"])
    with pytest.raises(InputError, match=r"wav\.scp: begins with a byte order mark"):
        validate_data_dir(folder)
    fixed = fix_data_dir(folder)
    assert (fixed.kept, fixed.total, fixed.changed) == (4, 4, ("wav.scp",))
    assert (folder / "wav.scp").read_bytes() == before["wav.scp"]


def test_a_second_fix_leaves_the_copies_of_the_first(folder):
    first = _lists(folder)["spk1.scp"]
    (folder / "spk2.scp").write_text("".join((folder / "spk2.scp").read_text().splitlines(keepends=True)[:3]))
    fix_data_dir(folder)
    second = _lists(folder)["spk1.scp"]
    (folder / "spk2.scp").write_text("".join((folder / "spk2.scp").read_text().splitlines(keepends=True)[:2]))
    fix_data_dir(folder)
    assert (folder / ".backup" / "spk1.scp").read_bytes() == first
    assert (folder / ".backup" / "spk1.scp.2").read_bytes() == second


def test_a_killed_one_is_gone_on_with(folder, monkeypatch):
    """What was changed before the kill is not backed up again over what it was."""
    from mindaudio_ext.data import fix

    (folder / "spk1.scp").write_text("".join((folder / "spk1.scp").read_text().splitlines(keepends=True)[:3]))
    before = _lists(folder)
    write, written = fix.write_text, []

    def killed(path, text):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, text)

    monkeypatch.setattr(fix, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        fix_data_dir(folder)
    monkeypatch.undo()
    assert fix_data_dir(folder).kept == 3
    assert validate_data_dir(folder).num_utts == 3
    assert (folder / ".backup" / "wav.scp").read_bytes() == before["wav.scp"]


def test_it_takes_a_data_directory(folder, tmp_path):
    (folder / "spk1.scp").write_text("x 1\n")
    before = files_of(folder)
    with pytest.raises(InputError, match=r"no mixture is in all of wav\.scp, spk1\.scp, .*; nothing was changed"):
        fix_data_dir(folder)
    assert files_of(folder) == before
    with pytest.raises(InputError, match=r"nowhere/wav\.scp: no such file"):
        fix_data_dir(tmp_path / "nowhere")


def test_recordings_that_no_segment_is_of_are_left_out(folder):
    values = {scp: scp.read_text().splitlines() for scp in folder.glob("*.scp")}
    for scp, lines in values.items():
        scp.write_text("".join(f"r{line}\n" for line in lines))
    (folder / "segments").write_text("d rd 0 -1\nc x 0 -1\nb rb 0 -1\na ra 0 -1\n")
    (folder / "utt2spk").write_text("d d\nb b\nc c\n")
    fixed = fix_data_dir(folder)
    assert (fixed.kept, fixed.total) == (2, 4)
    assert (folder / "segments").read_text() == "b rb 0 -1\nd rd 0 -1\n"
    assert [line.split()[0] for line in (folder / "spk2.scp").read_text().splitlines()] == ["rb", "rd"]
    assert validate_data_dir(folder).num_utts == 2
