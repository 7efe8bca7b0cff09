"""The notebooks of docs/: they run from top to bottom, show what they say, and hold no output of anybody's machine."""

import json
import re
import tempfile
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "docs/notebooks"
needs_kernel = pytest.mark.needs("nbclient", "ipykernel")


def run(name):
    """Runs a notebook in its folder, as Jupyter does; gives the type and text of each output."""
    import nbformat
    from jupyter_client import AsyncKernelManager
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    with tempfile.TemporaryDirectory() as sockets:  # no port for others on this machine; a socket's path must be short
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")
        NotebookClient(notebook, timeout=600, km=kernel, resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [kind for output in outputs for kind in output.get("data", {}) if kind != "text/plain"]
    return shown, "".join(output.get("text", "") for output in outputs)


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_it_is_kept_without_outputs_in_both_languages(path):
    text = path.read_text(encoding="utf-8")
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            assert re.search("[\u4e00-\u9fff]", source), source
            assert re.search("^[A-Z#]", source), source
        else:
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
    assert not re.search(r"/(home|root|work|Users)/", text)


@needs_kernel
def test_a_recording_is_separated_and_looked_at():
    shown, text = run("separate.ipynb")
    assert shown == ["text/html"] * 3 + ["image/png"]  # players, then the picture
    assert float(re.search(r"SI-SNRi ([-\d.]+) dB", text)[1]) > 6


@needs_kernel
@pytest.mark.needs("--all")
def test_a_model_is_trained_on_folders_and_its_curve_goes_up():
    shown, text = run("train.ipynb")
    assert shown == ["image/png"] + ["text/html"] * 3
    gains = [float(gain) for gain in re.findall(r"valid SI-SNRi ([-\d.]+) dB", text)]
    assert len(gains) == 6
    assert gains[-1] > gains[0] + 2
    assert float(re.findall(r"SI-SNRi ([-\d.]+) dB", text)[-1]) > 1
