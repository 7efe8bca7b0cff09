"""PyTorch files: those of torch.save and our own are read, and what is hostile or broken is refused."""

import base64
import importlib.util
import io
import os
import pickle
import re
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from mindaudio_ext.convert.torch_file import read_torch_file
from mindaudio_ext.convert.torch_writer import write_torch_file
from mindaudio_ext.errors import InputError

FOLDER = Path(__file__).parent  # its files are of write_torch_files.py
GOLDEN = Path(__file__).parents[1] / "golden"
# Written by PyTorch 2.13, _use_new_zipfile_serialization=False, x = arange(6.).reshape(2, 3):
# {"t": x.t(), "s": x[1:], "p": Parameter(x), "n": 7, "e": zeros(0, 2)}
LEGACY = zlib.decompress(
    base64.b64decode(
        "eNp9kUtv1DAQx53H7oKhpbwK5dkHj7SHVXe1bLsnekC9WDwaLrmgKM1aTVCIM86kEkiV9rS0/QwcOPar9SMgcWCcFAmJBcse2ZPJ"
        "//cfe2Kf8uznt90fyx/P3i11J/brc4fiETAvWGCMFVqhilUWHkpdpioHiwqCOfqSpYiZDGU+TqMc7OOAUxI/FzIs0y+yBOcIXC9o"
        "UbJMlEZoCTtw6JTmCG3hBq7RUPkBdIRbVb+ZlhEBK0al46QbVphmJQ+13K/SbByizEulw8M+B9vzgo4Rp8roQILT/MJ3MxXh+ybJ"
        "wQ3mqWY06I96Wy9G24PhaLgJrdpHXFTko/0GobMnmHCEPYVLwhLOFC6fxNRyJmOkjkv+Vo+lluNXaYwc+LoPVxCu+jBXmy1hPiEv"
        "iZPMZF1LGsbCHhFq8etmM4UbJ4mRuolwy4fbtVQBi//ou4h09Emi1Bzu/I9294K2ZDqyDe1eQ7vf0B4gPPTh0XF9ePwVln1YqdE5"
        "rIpOvZOw9jdhuNXvbW4PekN4QgRGhKeGwMydPSMQEZ43BA+B4oZ5zw/mPWdIWLOc27LLLkab/TkmLyns0KQ1ofV95xeTl6+C"
    )
)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.pth")), ids=lambda path: path.stem)
def test_what_torch_wrote_is_the_same_after_writing_and_reading(path, tmp_path):
    content = read_torch_file(path)
    write_torch_file(tmp_path / "again.pth", content)
    again = read_torch_file(tmp_path / "again.pth")
    assert list(again) == list(content)
    assert again["model_args"] == content["model_args"]
    assert isinstance(again["state_dict"], OrderedDict)
    assert list(again["state_dict"]) == list(content["state_dict"])
    for name, value in content["state_dict"].items():
        other = again["state_dict"][name]
        assert (other.dtype, other.shape, other.tobytes()) == (value.dtype, value.shape, value.tobytes())
    write_torch_file(tmp_path / "twice.pth", again)
    assert (tmp_path / "twice.pth").read_bytes() == (tmp_path / "again.pth").read_bytes()


def test_plain_values_and_all_kinds_of_tensors(tmp_path):
    values = {"i": [1, -5, 2**40, -(2**70), True, None, 1.5], "t": ("ü", ()), "d": {}}
    arrays = [np.arange(6, dtype=d).reshape(2, 3).T for d in (np.float64, np.float16, np.int64, np.uint8)]
    arrays += [np.array([True, False]), np.array(3, np.float32), np.zeros((0, 2), np.float32)]
    write_torch_file(tmp_path / "x.pth", {"values": values, "arrays": arrays})
    content = read_torch_file(tmp_path / "x.pth")
    assert content["values"] == values
    assert [type(x) for x in content["values"]["i"]] == [type(x) for x in values["i"]]
    for array, other in zip(arrays, content["arrays"]):
        assert other.dtype == array.dtype
        np.testing.assert_array_equal(other, array)


if importlib.util.find_spec("torch"):  # no requirement of ours; what it reads is held by the bytes' round trip

    def test_torch_reads_what_we_write(tmp_path):
        import torch

        array = np.arange(6, dtype=np.float32).reshape(2, 3)
        write_torch_file(tmp_path / "x.pth", {"state_dict": OrderedDict(a=array), "n": 3})
        content = torch.load(tmp_path / "x.pth", weights_only=True)
        assert content["n"] == 3
        np.testing.assert_array_equal(content["state_dict"]["a"].numpy(), array)


def test_other_types_are_not_written(tmp_path):
    with pytest.raises(TypeError, match="set cannot be written"):
        write_torch_file(tmp_path / "x.pth", {"a": {1}})
    with pytest.raises(TypeError, match="complex64 cannot be written"):
        write_torch_file(tmp_path / "x.pth", np.zeros(2, np.complex64))
    assert list(tmp_path.iterdir()) == []


def test_older_format(tmp_path):
    (tmp_path / "old.pth").write_bytes(LEGACY)
    content = read_torch_file(tmp_path / "old.pth")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for name, value in {"t": x.T, "s": x[1:], "p": x, "e": np.zeros((0, 2), np.float32)}.items():
        np.testing.assert_array_equal(content[name], value)
    assert content["n"] == 7


def test_what_asteroid_publishes_has_numpys_scalars():
    for name, prefix in (("published.pth", ""), ("published_parallel.pth", "module.")):
        content = read_torch_file(FOLDER / name)
        metrics = content["infos"]["final_metrics"]
        assert metrics == {
            "si_sdr": 14.5, "stoi": 0.25, "count": 3000, "whole": True, "big": 2.5, "set": "test", "kind": "f4",
        }  # fmt: skip
        assert [type(value) for value in metrics.values()][:6] == [float, float, int, bool, float, str]
        assert content["infos"]["uploader"] == "Ü"
        expected = read_torch_file(GOLDEN / "dprnn_gln_lstm_k2.pth")["state_dict"]
        assert list(content["state_dict"]) == [prefix + name for name in expected]
        for name, value in expected.items():
            np.testing.assert_array_equal(content["state_dict"][prefix + name], value)


def test_what_lightning_saves_has_attribute_dicts_and_may_be_bfloat16():
    content = read_torch_file(FOLDER / "lightning.ckpt")
    assert content["hyper_parameters"] == {"lr": 0.001, "size": (2, 3)}
    assert content["datamodule"] == {"epochs": 200}
    expected = read_torch_file(GOLDEN / "dprnn_gln_lstm_k2.pth")["state_dict"]
    for name, value in expected.items():
        found = content["state_dict"][f"model.{name}"]
        assert found.dtype == np.float32
        assert not (found.view(np.uint32) & 0xFFFF).any()  # 16 bits of it
        np.testing.assert_allclose(found, value, rtol=2**-8)


def test_every_cut_and_flipped_byte_is_one_line_or_harmless(tmp_path):
    path = tmp_path / "cut.pth"
    whole = (GOLDEN / "dprnn_gln_lstm_k2.pth").read_bytes()
    contents = [whole[:size] for size in (0, 3, 100, 5000, len(whole) - 1)] + [LEGACY[: 7 * i] for i in range(98)]
    flipped = bytearray(LEGACY)
    for position in range(0, len(LEGACY), 5):
        flipped[position] ^= 0x55
        contents.append(bytes(flipped))
        flipped[position] ^= 0x55
    for content in contents:
        path.write_bytes(content)
        message = failure(path)
        if message is None:  # a flipped bit in a value or in a name
            assert len(content) == len(LEGACY)
        else:
            assert message.startswith(f"{path}: not a whole PyTorch checkpoint")
            assert "\n" not in message


def failure(path):
    try:
        read_torch_file(path)
    except InputError as error:
        return str(error)
    return None


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("hostile_was_here",)


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_hostile_pickle_is_not_run(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hostile = pickle.dumps({"state_dict": Hostile()}, protocol=2)
    if kind == "zip":
        with zipfile.ZipFile("x.pth", "w") as archive:
            archive.writestr("archive/data.pkl", hostile)
    else:
        start = io.BytesIO(LEGACY)
        for _ in range(2):
            pickle.load(start)
        Path("x.pth").write_bytes(LEGACY[: start.tell()] + pickle.dumps({"little_endian": True}) + hostile)
    with pytest.raises(InputError, match=r"holds a (posix|nt)\.mkdir, which is not read"):
        read_torch_file(Path("x.pth"))
    assert not Path("hostile_was_here").exists()


def scalar(dtype, content, *, module="numpy"):
    """Pickles what NumPy's scalars are made of: a call of numpy's `scalar` with a dtype and bytes."""
    kind = b"c%s\ndtype\n" % module.encode() + b"(U%s\ntR" % dtype.encode()
    return b"\x80\x03cnumpy.core.multiarray\nscalar\n(" + kind.replace(b"(U", b"(V") + content + b"tR."


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        (scalar("O", b"C\x08" + b"\x01" * 8), "holds a numpy.dtype 'O', which is not read"),
        (scalar("f8,O", b"C\x08" + b"\x01" * 8), "holds a numpy.dtype 'f8,O', which is not read"),
        (scalar("V8", b"C\x08" + b"\x01" * 8), "holds a numpy.dtype 'V8', which is not read"),
        (scalar("f8", b"C\x04" + b"\x01" * 4), "buffer size must be a multiple of element size"),
        (scalar("f8", b"C\x10" + b"\x01" * 16), "too many values to unpack"),
        (scalar("f8", b"C\x00", module="numpy.core"), "holds a numpy.core.dtype, which is not read"),
        (b"cnumpy.core.multiarray\nscalar\n(Vf8\nC\x08" + b"\x01" * 8 + b"tR.", "scalar of no dtype"),
        (b"c_codecs\nencode\n(Vx\nVrot13\ntR.", "holds bytes as rot13, which is not read"),
        (b"cnumpy\nload\n(Vx\ntR.", "holds a numpy.load, which is not read"),
        (b"cpytorch_lightning\nTrainer\n(tR.", "holds a pytorch_lightning.Trainer, which is not read"),
    ],
)
def test_the_list_of_what_is_allowed_is_strict(hostile, message, tmp_path):
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", hostile)
    with pytest.raises(InputError, match=re.escape(message)):
        read_torch_file(path)


def test_a_small_file_does_not_become_a_large_array(tmp_path):
    write_torch_file(tmp_path / "x.pth", {"a": np.zeros((1, 5, 7), np.float32)})
    with zipfile.ZipFile(tmp_path / "x.pth") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    shape = members["archive/data.pkl"]
    large = shape.replace(b"(J\x01\x00\x00\x00J\x05", b"(J\x00\x00\x00\x40J\x05", 1)
    large = large.replace(b"(J\x23\x00\x00\x00J\x07", b"(J\x00\x00\x00\x00J\x07", 1)  # the strides
    assert len({shape, large}) == 2
    for content, how, message in (
        (large, zipfile.ZIP_STORED, "a tensor has more values than are stored"),
        (shape, zipfile.ZIP_DEFLATED, "the zip file is compressed, which torch.save's are not"),
    ):
        with zipfile.ZipFile(tmp_path / "y.pth", "w", how) as archive:
            for name, value in {**members, "archive/data.pkl": content}.items():
                archive.writestr(name, value)
        with pytest.raises(InputError, match=message):
            read_torch_file(tmp_path / "y.pth")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_torch_file(tmp_path / "none.pth")
    with pytest.raises(InputError, match="is a folder"):
        read_torch_file(tmp_path)
