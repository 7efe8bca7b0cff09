"""What the sdist and the wheel hold: all that `mindaudio-separate`, a report and the 310 kit need, and no tests."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import mindaudio_ext

ROOT = Path(__file__).resolve().parents[1]
NAME = f"mindaudio_ext-{mindaudio_ext.__version__}"
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
LARGEST = 12e6  # bytes of the wheel, nearly all of which are models


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, made from the unpacked sdist as pip does it; the sdist is made from the files that git knows."""
    folder = tmp_path_factory.mktemp("package")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    with tarfile.open(folder / "tree.tar", "w") as tar:
        for file in files:
            if file.startswith(("mindaudio_ext/", "conf/")) or file in ("pyproject.toml", "README.md", "LICENSE"):
                tar.add(ROOT / file, file)
    (folder / "tree").mkdir()
    subprocess.run(["tar", "-xf", folder / "tree.tar", "-C", folder / "tree"], check=True)
    subprocess.run([sys.executable, "-c", BUILD, "build_sdist", folder], cwd=folder / "tree", check=True)
    subprocess.run(["tar", "-xf", folder / f"{NAME}.tar.gz", "-C", folder], check=True)
    subprocess.run([sys.executable, "-c", BUILD, "build_wheel", folder], cwd=folder / NAME, check=True)
    return folder / f"{NAME}-py3-none-any.whl"


def test_the_wheel_has_every_file_of_the_package_and_is_small(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "mindaudio_ext"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert set(tracked) - names == set()
    assert f"{NAME}.data/data/share/mindaudio_ext/base.yaml" in names
    assert not any(name.startswith(("tests/", "egs/")) for name in names)
    assert wheel.stat().st_size < LARGEST


def test_it_names_its_commands_and_extras(wheel):
    metadata = zipfile.ZipFile(wheel).read(f"{NAME}.dist-info/METADATA").decode()
    extras = {line.split(": ")[1] for line in metadata.splitlines() if line.startswith("Provides-Extra: ")}
    assert {"corpus", "pesq", "onnx", "demo", "completion", "diarization", "rooms"} <= extras
    commands = zipfile.ZipFile(wheel).read(f"{NAME}.dist-info/entry_points.txt").decode()
    assert "mindaudio-separate = mindaudio_ext.bin.separate:main" in commands
