"""A folder with one of everything that the commands read, with what is hostile beside it, for `test_hostile.py`."""

import io
import json
import os
import pickle
import shutil
import stat
import zipfile
from pathlib import Path

import numpy as np
import soundfile
from librimix_corpus import make_corpus
from tiny_experiment import RATE, make_data, make_experiment, make_kit, write_wav

from mindaudio_ext.data.mindrecord_writer import dump

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "dprnn_gln_lstm_k2.pth"
LONG = "x" * 255  # bytes, as many as a name may have
DIGITS = "9" * 401

# In place of any value.
TEXTS = (
    "", " ", "inf", "nan", "-1", "0", "-inf", "1e400", DIGITS, f"-{DIGITS}", "9223372036854775808", "1.5", "0x10",
    "true", "../x", "../../x", "~", "~root", "$(touch executed)", "`touch executed`", "*", "**", "-", "--", "-x",
    "--help me", "a b", "a\nb", "a'b\"c", "a\\b", "a=b", "a,b", "a/b", "é", "\udcff\udcfe", "\x1b[31m", "%s%n", "{}",
    "[", "|", ";touch executed", "x" * 5000,
)  # fmt: skip

YAML = {
    "empty": "",
    "junk": bytes(range(256)),
    "brackets": "a: " + "[" * 2000,
    "closed_brackets": "lr: " + "[" * 2000 + "]" * 2000,
    "braces": "{a: " * 2000,
    "laughs": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi")),
    "laughs_in_a_key": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi"))
    + "lr: *i\n",
    "itself": "lr: &a [*a]",
    "python": "lr: !!python/object/apply:os.system ['touch executed']",
    "python_name": "!!python/name:os.system",
    "binary": "lr: !!binary '////'",
    "date": "lr: 2026-99-99",
    "digits": f"seed: {DIGITS}",
    "more_digits": f"seed: {'9' * 5000}",
    "nan": "lr: .nan",
    "inf": "lr: 1e999",
    "minus": "epochs: -1",
    "list": "- a\n- b\n",
    "word": "hello",
    "null_key": "null: 1",
    "list_key": "? [a, b]\n: 1",
    "twice": "lr: 1\nlr: 2\n",
    "tab": "a:\n\tb: 1",
    "utf16": "lr: 1".encode("utf-16"),
    "latin": "corpus_dir: é".encode("latin-1"),
    "nul": "corpus_dir: 'a\0b'",
    "merge": "<<: {lr: 1}\n<<: 3\n",
    "anchor": "lr: *nowhere",
    "directive": "%YAML 9.9\n---\nlr: 1",
    "documents": "lr: 1\n---\nlr: 2\n",
    "path": "train_set: ../../x",
    "newline": 'dump_dir: "a\\nb"',
    "sets": "test_sets: [a, a]",
    "conf": "separator_conf: 3",
    "unknown": "x" * 5000 + ": 1",
}
JSON = {
    "empty": "",
    "junk": bytes(range(256)),
    "brackets": "[" * 100_000,
    "cut": '{"format": 2, "set": "tr',
    "null": "null",
    "list": "[]",
    "object": "{}",
    "number": "1e999",
    "digits": '{"format": ' + "9" * 5000 + "}",
    "nan": '{"format": NaN}',
    "wrong": '{"format": 2, "set": 3, "files": 3, "utts": [[[]]]}',
}


class Evil:
    """Makes a folder when a pickle of it is read by Python's own reader."""

    def __reduce__(self):
        return os.mkdir, ("evil",)


def torch_files() -> dict[str, bytes]:
    """What may come in place of a PyTorch file or a checkpoint, by name."""
    whole = GOLDEN.read_bytes()
    evil, arrays, nested = io.BytesIO(), io.BytesIO(), io.BytesIO()
    for file, content in ((evil, pickle.dumps(Evil(), 2)), (nested, b"]" * 100_000 + b"a" * 99_999 + b".")):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", content)
    np.savez(arrays, a=np.zeros(3))
    return {
        "empty": b"",
        "junk": bytes(range(256)) * 9,
        "cut": whole[:5000],
        "evil": evil.getvalue(),
        "nested": nested.getvalue(),
        "npz": arrays.getvalue(),
        "cut_npz": arrays.getvalue()[:100],
        "pickle": pickle.dumps(Evil(), 2),
        "text": b"hello\n",
    }


def audio_files() -> dict[str, bytes]:
    """What may come in place of a recording, by file name."""
    rng = np.random.default_rng(0)
    whole = {}
    for kind in ("wav", "flac", "ogg"):
        file = io.BytesIO()
        soundfile.write(file, 0.1 * rng.standard_normal(4000), RATE, format=kind.upper())
        whole[kind] = file.getvalue()
    wav = whole["wav"]
    files = {f"cut.{kind}": content[: len(content) * 2 // 3] for kind, content in whole.items()}
    files |= {f"head.{kind}": content[:30] for kind, content in whole.items()}
    files |= {
        "empty.wav": b"",
        "junk.wav": bytes(range(256)) * 9,
        "text.wav": b"hello\n",
        "rate.wav": wav[:24] + b"\0\0\0\0" + wav[28:],
        "channels.wav": wav[:22] + b"\0\0" + wav[24:],
        "many_channels.wav": wav[:22] + b"\xff\xff" + wav[24:],
        "large.wav": wav[:40] + b"\xff\xff\xff\x7f" + wav[44:],
    }
    for name, samples in (("nan.wav", np.full(900, np.nan)), ("one.wav", np.zeros(1)), ("silent.wav", np.zeros(900))):
        file = io.BytesIO()
        soundfile.write(file, samples, RATE, format="WAV", subtype="FLOAT")
        files[name] = file.getvalue()
    return files


# A line of a data directory's file in place of the first, or the file's whole content.
DATA = {
    "pipe": ("wav.scp", "a touch executed |"),
    "offset": ("wav.scp", "a wav.ark:9223372036854775808"),
    "minus": ("wav.scp", "a wav.ark:-1"),
    "digits": ("wav.scp", "a wav.ark:" + "9" * 5000),
    "folder": ("wav.scp", "a thesis"),
    "null": ("wav.scp", "a /dev/null"),
    "zeros": ("wav.scp", "a /dev/zero"),
    "fifo": ("wav.scp", "a hostile/fifo"),
    "loop": ("wav.scp", "a hostile/loop"),
    "missing": ("spk1.scp", "a nowhere.wav"),
    "junk": ("spk2.scp", "a hostile/junk.wav"),
    "cut": ("wav.scp", "a hostile/cut.flac"),
    "nan": ("wav.scp", "a hostile/nan.wav"),
    "one": ("wav.scp", "a hostile/one.wav"),
    "silent": ("spk1.scp", "a hostile/silent.wav"),
    "key": ("wav.scp", "../../../x mix.wav"),
    "dots": ("wav.scp", ".. mix.wav"),
    "long_key": ("wav.scp", "x" * 300 + " mix.wav"),
    "nul_key": ("wav.scp", "a\0b mix.wav"),
    "long_path": ("wav.scp", "a " + "x" * 5000),
    "no_value": ("wav.scp", "a"),
    "blank": ("wav.scp", ""),
    "twice": ("wav.scp", "b mix.wav"),
    "samples": ("utt2num_samples", "a " + "9" * 5000),
    "no_samples": ("utt2num_samples", "a -1"),
    "speaker": ("utt2spk", "a ../x"),
    "latin": ("wav.scp", b"a \xe9.wav\n"),
    "utf16": ("wav.scp", "a mix.wav".encode("utf-16")),
    "empty": ("wav.scp", b""),
    "binary": ("spk1.scp", bytes(range(256))),
    "csv": ("mix.csv", b"key,sample_rate,mode,type\na,inf,min,mix_clean\n"),
    "binary_csv": ("mix.csv", bytes(range(256))),
}


class World:
    """The folder, what is in it, and by kind what may come in place of a thing of that kind.

    Attributes:
        folder: commands run here; nothing of `folder.parent` may change.
        hostile: paths by kind: path, out, audio, data, yaml, torch, ckpt, exp, dump, kit.
    """

    def __init__(self, parent: Path) -> None:
        self.parent, self.folder = parent, parent / "world"
        self.folder.mkdir()
        os.chdir(self.folder)
        self._make_right()
        self.hostile: dict[str, list[str]] = {}
        self._make_paths()
        self._make_files()
        self._make_folders()
        self.before = self.state()

    def _make_right(self) -> None:
        """What the commands take."""
        write_wav(Path("thesis/chapter.wav"), np.zeros(900, np.int16))
        Path("thesis/notes.txt").write_text("years of work\n")
        write_wav(Path("mix.wav"), np.random.default_rng(1).integers(-4000, 4000, 2400).astype(np.int16))
        shutil.copy(GOLDEN, "model.pth")
        Path("recipe.yaml").write_text("lr: 0.5\n")
        Path("mapping.yaml").write_text("config: {}\nnames: [[a, b]]\n")
        for name in ("train", "dev", "test"):
            make_data(Path("data", name), {"a": 1600, "b": 2400})
        for name in ("train", "dev"):
            dump(f"data/{name}", f"dump/{name}", name=None, nj=1)
        make_experiment(Path("exp/tiny"), overrides="batch_size=2")
        shutil.copytree("exp/tiny", "exp/scored")
        for source in (1, 2):
            lines = Path(f"data/test/spk{source}.scp").read_text()
            write_lines(Path(f"exp/scored/separated_test/spk{source}.scp"), lines)
        make_kit(Path("exp/tiny"))
        write_lines(Path("inputs/inputs.txt"), "inputs 1 float32 100 2\na 000000.bin 100 1\n")
        Path("inputs/000000.bin").write_bytes(bytes(400))
        for name in ("mix", "s1", "s2"):
            for key in ("one", "two"):
                write_wav(Path("folders", name, f"{key}.wav"), np.zeros(900, np.int16) + (2 if name == "mix" else 1))
        make_corpus(Path("corpus"), n_mixtures=2, sets=("dev-clean",))
        files = sorted(Path("corpus/LibriSpeech/dev-clean").rglob("*.flac"))
        part = {"start": 0, "orig_start": 0, "orig_stop": 1, "lvl": -30}
        one, two = (
            [part | {"file": str(Path(*file.parts[-3:])), "spk_id": file.parts[-3]}] for file in (files[0], files[-1])
        )
        Path("sparse.json").write_text(json.dumps([{"mixture_name": "one", "s1": one, "s2": two}]))

    def _make_paths(self) -> None:
        """Paths that are hostile in place of any file or folder."""
        hostile = Path("hostile")
        hostile.mkdir()
        (hostile / "folder").mkdir()
        os.mkfifo(hostile / "fifo")
        for link, target in (("loop", "loop"), ("dangling", "nowhere"), ("to_thesis", "../thesis"), ("up", "..")):
            (hostile / link).symlink_to(target)
        device(hostile / "null")
        paths = [".", "..", "thesis", "thesis/notes.txt", "mix.wav/below", LONG, f"x{LONG}", "x/" * 3000]
        paths += [str(hostile / name) for name in ("folder", "fifo", "loop", "dangling", "to_thesis", "null")]
        shared = [*TEXTS, *paths]
        self.hostile["path"] = [*shared, "/dev/null"]
        self.hostile["out"] = [*shared, "data", "data/test", "data/test/wav.scp", "exp", "exp/tiny", "model.pth"]
        self.hostile["out"] += ["recipe.yaml", "corpus", "folders/mix", "dump/train", "hostile/up/thesis"]

    def _make_files(self) -> None:
        makers = {"audio": audio_files(), "torch": torch_files(), "yaml": YAML, "json": JSON}
        for kind, contents in makers.items():
            self.hostile[kind] = []
            for name, content in contents.items():
                path = f"hostile/{name}" if kind == "audio" else f"hostile/{kind}_{name}"
                Path(path).write_bytes(content if isinstance(content, bytes) else content.encode())
                self.hostile[kind].append(path)
        whole = Path("mix.wav").read_bytes()
        for name in ("new\nline", "a 'b\" $(touch executed) ;", "\udcff\udcfe", "-x", "*", "x" * 251):
            Path(f"hostile/{name}.wav").write_bytes(whole)
            self.hostile["audio"].append(f"hostile/{name}.wav")

    def _make_folders(self) -> None:
        """Data directories, experiments, dumps and kits with one thing wrong in each."""
        self.hostile["data"] = []
        for name, (file, content) in DATA.items():
            folder = self._copy("data/test", f"hostile/data_{name}", "data")
            lines = (folder / file).read_text().splitlines(keepends=True) if (folder / file).exists() else []
            (folder / file).write_bytes(
                content if isinstance(content, bytes) else "".join([f"{content}\n", *lines[1:]]).encode()
            )
        for name, change in (("a_folder", Path.mkdir), ("a_fifo", os.mkfifo), ("no_file", lambda path: None)):
            folder = self._copy("data/test", f"hostile/data_{name}", "data")
            (folder / "wav.scp").unlink()
            change(folder / "wav.scp")
        for name in ("new\nline", "\udcff\udcfe", "a 'b\" $(touch executed)", "x" * 255):
            self._copy("data/test", f"hostile/{name}", "data")
        for kind, source, file, contents in (
            ("exp", "exp/scored", "config.yaml", YAML),
            ("ckpt", "exp/scored", "checkpoints/best.ckpt", torch_files()),
            ("facts", "exp/scored", "model.json", JSON),
            ("dump", "dump/train", "manifest.json", JSON),
            ("kit", "exp/tiny/export", "manifest.json", JSON),
        ):
            for name, content in contents.items():
                folder = self._copy(source, f"hostile/{kind}_{name}", {"ckpt": "exp", "facts": "exp"}.get(kind, kind))
                (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())

    def _copy(self, source: str, to: str, kind: str) -> Path:
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("wav", "export"))
        self.hostile.setdefault(kind, []).append(to)
        return Path(to)

    def state(self) -> dict[str, bytes | str]:
        """What is at every path: a file's content, a link's target, or the kind of it."""
        found: dict[str, bytes | str] = {}
        folders = [str(self.parent)]
        while folders:
            for entry in os.scandir(folders.pop()):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    found[entry.path] = self._content(entry.path, status)
                elif stat.S_ISLNK(status.st_mode):
                    found[entry.path] = f"link to {os.readlink(entry.path)}"
                else:
                    found[entry.path] = f"of type {stat.S_IFMT(status.st_mode)}"
                    folders += [entry.path] if stat.S_ISDIR(status.st_mode) else []
        return found

    def _content(self, path: str, status: os.stat_result) -> bytes:
        """Reads a file unless nothing can have changed it since it was last read."""
        self._read = getattr(self, "_read", {})
        mark = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if self._read.get(path, (None,))[0] != mark:
            self._read[path] = (mark, Path(path).read_bytes())
        return self._read[path][1]

    def changes(self, *, moved_to: str | None = None) -> list[str]:
        """Names what was there and is another thing now, and what only hostile input makes; brings all back.

        A file whose content is now in the folder `moved_to` beside it is not named.
        """
        now = self.state()
        changed = [path for path in now if os.path.basename(path) in ("executed", "evil")]
        for path in sorted(now.keys() - self.before.keys(), key=len):
            if os.path.lexists(path):
                shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        for path in sorted(self.before, key=len):
            if now.get(path) != self.before[path]:
                kept = moved_to and os.path.join(os.path.dirname(path), moved_to, os.path.basename(path))
                changed += [] if kept and now.get(kept) == self.before[path] else [path]
                self._restore(path, self.before[path])
        return [os.path.relpath(path, self.folder) for path in changed]

    def _restore(self, path: str, what: bytes | str) -> None:
        if os.path.islink(path) or os.path.isfile(path):
            os.unlink(path)
        elif os.path.isdir(path) and what != f"of type {stat.S_IFDIR}":
            shutil.rmtree(path)
        if isinstance(what, bytes):
            Path(path).write_bytes(what)
        elif what == f"of type {stat.S_IFDIR}":
            os.makedirs(path, exist_ok=True)
        elif what.startswith("link to "):
            os.symlink(what.removeprefix("link to "), path)
        elif what == f"of type {stat.S_IFIFO}":
            os.mkfifo(path)
        else:
            device(Path(path))


def device(path: Path) -> None:
    """Makes a device like /dev/null, which must not become a file; where that is forbidden a link to it."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        path.symlink_to("/dev/null")


def write_lines(path: Path, text: str) -> None:
    """Writes a text file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
