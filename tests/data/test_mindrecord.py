"""MindRecord directories."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zlib
from dataclasses import asdict
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
import pytest
import soundfile
from scp_forms import to_archives, to_pipes
from thorough import UNDER_ALL

from mindaudio_ext.bin import dump as command
from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.kaldi_dir_writer import write_data_dir
from mindaudio_ext.data.mindrecord import check_mindrecord, decode_row, read_manifest
from mindaudio_ext.data.mindrecord_writer import _require_rows, dump
from mindaudio_ext.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
DUMP = [sys.executable, "-m", "mindaudio_ext.bin.dump"]
LENGTHS = {"b": 1500, "a": 1000, "d": 1501, "c": 700}


def _make(folder, *, num_spks=2, seed=0, lengths=LENGTHS):
    """A data directory; the last samples are zeros, which `|S` arrays would lose."""
    rng = np.random.default_rng(seed)
    names = [f"s{i}" for i in range(1, num_spks + 1)]
    scps = {name: {} for name in ("mix", *names)}
    signals = {}
    for key, length in lengths.items():
        sources = rng.integers(-3000, 3000, (num_spks, length)).astype(np.int16)
        sources[:, -5:] = 0
        signals[key] = sources
        for name, samples in zip(("mix", *names), (sources.sum(axis=0, dtype=np.int16), *sources)):
            scps[name][key] = str(folder / "wav" / name / f"{key}.wav")
            write_wav(scps[name][key], samples, 8000)
    write_data_dir(folder / "train", mixtures=scps["mix"], sources=[scps[name] for name in names], num_samples=lengths)
    return folder / "train", signals


def _bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _rows(manifest):
    files = [str(file) for file in manifest.files]
    return list(ds.MindDataset(files, shuffle=False).create_dict_iterator(num_epochs=1, output_numpy=True))


@pytest.mark.parametrize(("num_spks", "shard_bytes", "files"), [(2, 1 << 30, 1), (3, 18_000, 3)])
def test_what_goes_in_comes_out(tmp_path, num_spks, shard_bytes, files):
    data, signals = _make(tmp_path, num_spks=num_spks)
    manifest, written = dump(data, tmp_path / "dump" / "train", nj=2, shard_bytes=shard_bytes)
    assert written
    assert len(manifest.files) == files
    assert manifest.keys == ("a", "b", "c", "d")
    assert manifest.num_samples == [1000, 1500, 700, 1501]
    assert (manifest.set_name, manifest.sample_rate, manifest.num_spks) == ("train", 8000, num_spks)
    rows = _rows(manifest)
    assert [str(row["key"]) for row in rows] == ["a", "b", "c", "d"]
    assert [int(row["index"]) for row in rows] == [0, 1, 2, 3]
    for row, crc32 in zip(rows, manifest.crc32):
        mixture, sources = decode_row(row)
        np.testing.assert_array_equal(sources, signals[str(row["key"])])
        np.testing.assert_array_equal(mixture, sources.sum(axis=0))
        assert int(row["crc32"]) == crc32 == zlib.crc32(mixture.tobytes() + sources.tobytes())
        assert int(row["sample_rate"]) == 8000


def test_files_of_very_different_rows_are_read_together(tmp_path):
    data, signals = _make(tmp_path, lengths={"a": 300, "b": 90_000, "c": 200_000, "d": 300})
    manifest, _ = dump(data, tmp_path / "dump" / "train", shard_bytes=600_000)
    assert len(manifest.files) == 3
    rows = _rows(manifest)
    assert [decode_row(row)[1].tolist() for row in rows] == [signals[key].tolist() for key in "abcd"]


def test_the_manifest_is_the_contracts(tmp_path):
    data, _ = _make(tmp_path)
    dump(data, tmp_path / "dump" / "train")
    fields = json.loads((tmp_path / "dump" / "train" / "manifest.json").read_text())
    assert (fields["format"], fields["set"], fields["num_utts"], fields["num_samples"]) == (2, "train", 4, 4701)
    assert (fields["sample_rate"], fields["num_spks"]) == (8000, 2)
    assert [entry["name"] for entry in fields["files"]] == ["train.mindrecord", "train.mindrecord.db"]
    assert [utt[:2] for utt in fields["utts"]] == [["a", 1000], ["b", 1500], ["c", 700], ["d", 1501]]
    assert sum(entry["bytes"] for entry in fields["files"]) < 1 << 22


def test_the_same_data_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        data, _ = _make(tmp_path / name)
        dump(data, tmp_path / name / "dump" / "train")
    assert _bytes(tmp_path / "one" / "dump" / "train") == _bytes(tmp_path / "two" / "dump" / "train")
    assert [path.name for path in (tmp_path / "one" / "dump").iterdir()] == ["train"]


def test_it_is_made_again_only_when_the_data_changed(tmp_path):
    data, _ = _make(tmp_path)
    out = tmp_path / "dump" / "train"
    first, _ = dump(data, out)
    again, written = dump(data, out)
    assert not written
    assert asdict(again) == asdict(first)

    _make(tmp_path, seed=1)  # the same keys and lengths, other samples
    changed, written = dump(data, out)
    assert written
    assert changed.crc32 != first.crc32
    assert not dump(data, out)[1]

    file = out / "train.mindrecord"
    file.write_bytes(file.read_bytes()[:-1])
    assert dump(data, out)[1]
    assert check_mindrecord(out).crc32 == changed.crc32


@pytest.mark.parametrize("change", [to_pipes, to_archives])
def test_pipes_and_archives_give_the_same_rows(tmp_path, change):
    data, _ = _make(tmp_path)
    expected, _ = dump(data, tmp_path / "paths" / "train")
    change(data)
    found, _ = dump(data, tmp_path / "dump" / "train", nj=2, allow_pipes=True)
    assert found.crc32 == expected.crc32
    assert not dump(data, tmp_path / "dump" / "train", allow_pipes=True)[1]
    changed = tmp_path / "wav" / "s1" / "c.wav" if change is to_pipes else data / "spk1.ark"
    os.utime(changed)
    assert dump(data, tmp_path / "dump" / "train", allow_pipes=True)[1]


def test_bad_data_leave_the_old_dump_alone(tmp_path):
    data, _ = _make(tmp_path)
    out = tmp_path / "dump" / "train"
    dump(data, out)
    before = _bytes(out)
    write_wav(tmp_path / "wav" / "s1" / "c.wav", np.zeros(699, np.int16), 8000)
    with pytest.raises(InputError, match=r"spk1\.scp: c: has 699 samples"):
        dump(data, out)
    assert _bytes(out) == before
    assert [path.name for path in (tmp_path / "dump").iterdir()] == ["train"]


def test_left_overs_of_a_killed_dump_are_removed(tmp_path):
    data, _ = _make(tmp_path)
    begun = tmp_path / "dump" / ".tmp.train"
    (begun / "new").mkdir(parents=True)
    (begun / ".made.json").write_text('{"format": 1, "what": "unfinished folder", "files": {}}')
    (begun / "new" / "train.mindrecord").write_bytes(b"half")
    dump(data, tmp_path / "dump" / "train")
    assert [path.name for path in (tmp_path / "dump").iterdir()] == ["train"]
    check_mindrecord(tmp_path / "dump" / "train")


@pytest.mark.parametrize("new_is_there", [True, False])
def test_a_dump_killed_while_it_took_its_name_is_kept(tmp_path, new_is_there):
    data, _ = _make(tmp_path)
    out, begun = tmp_path / "dump" / "train", tmp_path / "dump" / ".tmp.train"
    first, _ = dump(data, out)
    begun.mkdir()
    (begun / ".made.json").write_text('{"format": 1, "what": "unfinished folder", "files": {}}')
    if new_is_there:
        shutil.copytree(out, begun / "old")
    else:
        out.rename(begun / "old")
    again, written = dump(data, out)
    assert not written
    assert asdict(again) == asdict(first)
    os.utime(tmp_path / "wav" / "s1" / "c.wav")
    assert dump(data, out)[1]
    assert [path.name for path in (tmp_path / "dump").iterdir()] == ["train"]


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("no manifest", r"manifest\.json: no such file; stage 1"),
        ("no files", r"manifest\.json: is damaged \(its files are not files of this folder\)"),
        ("a file elsewhere", r"manifest\.json: is damaged \(its files are not files of this folder\)"),
        ("half a manifest", r"manifest\.json: is damaged"),
        ("no file", r"train\.mindrecord: is missing"),
        ("no db", r"train\.mindrecord\.db: is missing"),
        ("short", r"train\.mindrecord: has \d+ bytes instead of \d+"),
        ("flipped", r"train\.mindrecord: is damaged"),
    ],
)
def test_damage_is_named(tmp_path, harm, says):
    data, _ = _make(tmp_path)
    out = tmp_path / "dump" / "train"
    dump(data, out)
    file = out / "train.mindrecord"
    whole = file.read_bytes()
    if harm == "no manifest":
        (out / "manifest.json").unlink()
    elif harm in ("no files", "a file elsewhere"):
        fields = json.loads((out / "manifest.json").read_text())
        fields["files"] = [] if harm == "no files" else [{**fields["files"][0], "name": "../train.mindrecord"}]
        (out / "manifest.json").write_text(json.dumps(fields))
    elif harm == "half a manifest":
        (out / "manifest.json").write_text((out / "manifest.json").read_text()[:200])
    elif harm == "no file":
        file.unlink()
    elif harm == "no db":
        (out / "train.mindrecord.db").unlink()
    elif harm == "short":
        file.write_bytes(whole[:-1])
    else:
        middle = len(whole) // 2
        file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(InputError, match=says):
        check_mindrecord(out)
    assert dump(data, out)[1]
    check_mindrecord(out)


def test_a_flipped_bit_in_a_row_is_seen(tmp_path):
    data, _ = _make(tmp_path)
    manifest, _ = dump(data, tmp_path / "dump" / "train")
    row = _rows(manifest)[0]
    sources = bytearray(np.asarray(row["sources"]).tobytes())
    sources[100] ^= 1
    with pytest.raises(InputError, match="a: its samples are damaged"):
        decode_row({**row, "sources": np.array(bytes(sources))})


def test_an_unknown_format_is_refused(tmp_path):
    data, _ = _make(tmp_path)
    out = tmp_path / "dump" / "train"
    dump(data, out)
    text = (out / "manifest.json").read_text().replace('"format": 2', '"format": 3')
    (out / "manifest.json").write_text(text)
    with pytest.raises(InputError, match="is of format 3, 2 is expected"):
        read_manifest(out)


def test_files_can_be_read_by_others(tmp_path):
    data, _ = _make(tmp_path)
    manifest, _ = dump(data, tmp_path / "dump" / "train")
    modes = {os.stat(manifest.path / name).st_mode for name in (*manifest.digests, "manifest.json")}
    assert len(modes) == 1


def test_shards_in_each_others_place_are_named(tmp_path):
    data, _ = _make(tmp_path, lengths=dict.fromkeys("abcd", 1000))
    out = tmp_path / "dump" / "train"
    manifest, _ = dump(data, out, shard_bytes=9_000)
    assert len({size for size, _ in manifest.digests.values()}) < len(manifest.digests) == 8
    one, two = manifest.files[:2]
    one.rename(out / "x")
    two.rename(one)
    (out / "x").rename(two)
    with pytest.raises(InputError, match=r"train\.mindrecord0: is damaged, its checksum differs; run stage 1 again"):
        check_mindrecord(out)


def test_rows_are_read_back(tmp_path):
    data, _ = _make(tmp_path)
    manifest, _ = dump(data, tmp_path / "dump" / "train")
    rows = [[*utt] for utt in zip(manifest.keys, manifest.num_samples, manifest.crc32)]
    _require_rows(manifest.files[0], rows)
    with pytest.raises(OSError, match="has 4 rows, 4 of them whole; 5 were written"):
        _require_rows(manifest.files[0], [*rows, ["e", 1, 1]])
    with pytest.raises(OSError, match="has 4 rows, 3 of them whole; 3 were written"):
        _require_rows(manifest.files[0], rows[:3])
    mixture = _rows(manifest)[2]["mixture"].tobytes()
    whole = bytearray(manifest.files[0].read_bytes())
    whole[whole.index(mixture) + 500] ^= 1
    manifest.files[0].write_bytes(whole)
    with pytest.raises(OSError, match="row 2, c, is not what was written"):
        _require_rows(manifest.files[0], rows)


@pytest.mark.needs("mounts")
@pytest.mark.parametrize(
    ("mount", "status", "says"),
    [
        ("size=1m", 1, r"train\.mindrecord: could not be written: .*; \d\.\d MB are free"),
        ("ro", 2, "/dump: Read-only file system$"),
    ],
)
def test_a_full_disk_and_a_read_only_folder_get_one_line(tmp_path, mount, status, says):
    data, _ = _make(tmp_path)
    disk = tmp_path / "disk"
    disk.mkdir()
    dump_there = [*DUMP, "--data", data, "--out", disk / "dump" / "train"]
    script = f'mount -t tmpfs -o {mount} tmpfs "$0" && "$@"; status=$?; find "$0" -type f; exit $status'
    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, disk, *dump_there],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert ended.returncode == status
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("dump train: ")]
    assert len(lines) == 1
    assert re.search(f"^dump: error: .*{says}", lines[0])
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("rate", r"spk2\.scp: c: .*c\.wav: is at 16000 Hz; 8000 Hz is expected"),
        ("rate of all", r"train: c is at 16000 Hz, a at 8000 Hz"),
        ("empty", r"spk2\.scp: c: .*c\.wav: is empty"),
        ("nan", r"spk2\.scp: c: .*c\.wav: has NaN or infinity at sample 3"),
        ("no file", r"spk2\.scp: c: .*c\.wav: no such file"),
    ],
)
def test_faults_of_the_data_are_named(tmp_path, fault, says, capsys):
    data, signals = _make(tmp_path)
    path = tmp_path / "wav" / "s2" / "c.wav"
    if fault == "rate":
        write_wav(path, signals["c"][1], 16000)
    elif fault == "rate of all":
        for name, samples in zip(("mix", "s1", "s2"), (signals["c"].sum(axis=0, dtype=np.int16), *signals["c"])):
            write_wav(tmp_path / "wav" / name / "c.wav", samples, 16000)
    elif fault == "empty":
        write_wav(path, np.zeros(0, np.int16), 8000)
    elif fault == "nan":
        samples = signals["c"][1] / np.float32(32768)
        samples[3] = np.nan
        soundfile.write(path, samples, 8000, subtype="FLOAT")
    else:
        path.unlink()
    with pytest.raises(SystemExit) as caught:
        command.main(["--data", str(data), "--out", str(tmp_path / "dump" / "train"), "--nj", "2"])
    assert caught.value.code == 2
    assert re.search(says, capsys.readouterr().err.splitlines()[-1])
    assert not (tmp_path / "dump").exists()


def _refused(capsys, *arguments):
    """Runs the command, which must end with status 2; gives its line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as status:
        command.main([str(argument) for argument in arguments])
    lines = capsys.readouterr().err.splitlines()
    assert (status.value.code, len(lines)) == (2, 1), lines
    return lines[0]


@pytest.mark.parametrize("what", ["thesis", "corpus", "data directory", "its own data directory", "file", "pipe"])
def test_what_stage_1_did_not_make_stays(tmp_path, capsys, what):
    data, _ = _make(tmp_path)
    _make(tmp_path / "other")
    out = {
        "thesis": tmp_path / "thesis",
        "corpus": tmp_path / "wav",
        "data directory": tmp_path / "other" / "train",
        "its own data directory": data,
        "file": tmp_path / "thesis" / "chapter.tex",
        "pipe": tmp_path / "thesis" / "pipe",
    }[what]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    os.mkfifo(tmp_path / "thesis" / "pipe")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    says = _refused(capsys, "--data", data, "--out", out)
    assert re.search(
        "is a data directory, which a MindRecord directory does not replace"
        if "directory" in what
        else f"{out}: (is not known to be made by this command .* holds (chapter.tex|mix);|is there and is no folder;)",
        says,
    )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert (tmp_path / "thesis" / "pipe").is_fifo()


@pytest.mark.parametrize("name", ["../../esc", "a/b", "", ".", "a b"])
def test_the_name_of_the_files_is_no_path(tmp_path, capsys, name):
    data, _ = _make(tmp_path)
    says = _refused(capsys, "--data", data, "--out", tmp_path / "dump" / "train", "--name", name)
    plain = f"dump: error: --name: expected a plain name (letters, digits, . _ -), got '{name}'"
    assert says == (plain if name else "dump: error: argument --name: must not be empty; --help lists the options")
    assert not (tmp_path / "dump").exists()


def test_a_users_file_in_a_dump_stays(tmp_path, capsys):
    data, _ = _make(tmp_path)
    out = tmp_path / "dump" / "train"
    dump(data, out)
    (out / "notes.txt").write_text("mine")
    assert not dump(data, out)[1]
    os.utime(tmp_path / "wav" / "s1" / "c.wav")
    assert "train/notes.txt: was not made with" in _refused(capsys, "--data", data, "--out", out)
    assert (out / "notes.txt").read_text() == "mine"
    check_mindrecord(out)


def test_a_dump_from_before_there_were_marks_is_replaced(tmp_path):
    data, _ = _make(tmp_path)
    out = tmp_path / "dump" / "train"
    dump(data, out)
    (out / ".made.json").unlink()
    assert not dump(data, out)[1]
    os.utime(tmp_path / "wav" / "s1" / "c.wav")
    assert dump(data, out)[1]
    assert (out / ".made.json").is_file()


@UNDER_ALL
def test_killed_at_random_moments_it_ends_with_the_same_files(tmp_path):
    lengths = {f"{i:03d}": 40_000 + 100 * i for i in range(200)}
    data, _ = _make(tmp_path, lengths=lengths)
    command = [*DUMP, "--data", str(data), "--nj", "2", "--out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole" / "train")], check=True, env=environment, capture_output=True)
    took = time.monotonic() - started
    out = tmp_path / "dump" / "train"
    rng = np.random.default_rng()
    caught_at_work = 0
    for _ in range(10):
        with subprocess.Popen([*command, str(out)], env=environment, stderr=subprocess.DEVNULL) as process:
            time.sleep(rng.uniform(0.2, 0.95) * took)
            process.kill()
        caught_at_work += (out.parent / ".tmp.train").exists()
        if out.exists():
            check_mindrecord(out)
            shutil.rmtree(out)
    assert caught_at_work
    subprocess.run([*command, str(out)], check=True, env=environment, capture_output=True)
    assert _bytes(out) == _bytes(tmp_path / "whole" / "train")
    assert [path.name for path in out.parent.iterdir()] == ["train"]


@pytest.mark.parametrize("content", ['{"files": [{"name": "thesis.tex"}]}', "[]", "no json"])
def test_a_folder_with_a_manifest_of_something_else_is_not_replaced(tmp_path, content):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    (out / "manifest.json").write_text(content)
    with pytest.raises(InputError, match="is not known to be made by this command"):
        dump(_make(tmp_path)[0], out)
    assert (out / "thesis.tex").read_text() == "mine"
