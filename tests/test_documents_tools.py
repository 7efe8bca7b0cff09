"""The tools of the documents: the picture of the READMEs, and the checks of the site."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from tiny_experiment import make_experiment, write_wav

ROOT = Path(__file__).parents[1]


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_picture_of_two_utterances(tmp_path, capsys):
    make_experiment(tmp_path / "exp")
    rng = np.random.default_rng(0)
    for name in "ab":
        write_wav(tmp_path / f"{name}.wav", 0.1 * rng.standard_normal(8000))
    files = [str(tmp_path / name) for name in ("a.wav", "b.wav", "picture.png")]
    tool("picture").main([*files, "--model", str(tmp_path / "exp")])
    assert imread(files[2]).shape[:2] == (280, 900)
    assert Path(files[2]).stat().st_size < 100_000
    assert "picture.png: SI-SNR improvement " in capsys.readouterr().out


def test_utterances_are_mixed_at_one_level():
    short, long = np.array([1.0, -1, 1, -1]), 10 * np.array([1.0, 1, -1, -1, 5])
    sources = tool("picture").mixed_at_one_level([short, long])
    assert sources == pytest.approx(np.array([[0.45, -0.45, 0.45, -0.45], [0.45, 0.45, -0.45, -0.45]]))


def test_pages_that_differ_in_the_two_languages_are_named(tmp_path):
    unlike_pages = tool("docs_hooks").unlike_pages
    assert unlike_pages(ROOT / "docs") == []
    for name in ("limits", "api"):
        for ending in (".md", ".zh.md"):
            shutil.copy(ROOT / "docs" / f"{name}{ending}", tmp_path)
    (tmp_path / "api.zh.md").unlink()
    (tmp_path / "new.zh.md").write_text("# 新\n")
    with (tmp_path / "limits.md").open("a") as file:
        file.write("\n```\n# no heading\n```\n\n## One more\n")
    assert unlike_pages(tmp_path) == [
        "api.md has no counterpart api.zh.md",
        "new.zh.md has no counterpart new.md",
        "limits.md and limits.zh.md do not have the same headings and list items",
    ]


@pytest.mark.slow
@pytest.mark.needs("docs")
def test_a_dead_link_fails_the_site(tmp_path):
    for name in ("docs", "mindaudio_ext", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.ckpt", "__pycache__"))
    for name in ("mkdocs.yml", "pyproject.toml", "path.sh", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "tools").mkdir()
    for name in ("docs.sh", "common.sh", "docs_hooks.py", "setup.sh"):
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools")
    (tmp_path / "tools/docs_venv").symlink_to(ROOT / "tools/docs_venv")
    for page, link in (("limits", "nowhere.md"), ("limits.zh", "config.zh.md#nowhere")):
        with (tmp_path / f"docs/{page}.md").open("a") as file:
            file.write(f"\n[there]({link})\n")
    result = subprocess.run([tmp_path / "tools/docs.sh"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert [line.split("'")[3] for line in result.stderr.splitlines() if line.startswith("WARNING")] == [
        "nowhere.md",
        "config.zh.md#nowhere",
    ]
    assert result.stderr.endswith("docs.sh: error: the site was not built: see above\n")
