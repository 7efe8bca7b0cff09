"""The registry reads without importing, and refuses what is ambiguous."""

import subprocess
import sys

import pytest

from mindaudio_ext import registry
from mindaudio_ext.errors import InputError
from mindaudio_ext.registry import REQUIRED, Option, get_separator, list_separators, register, separator_options

NEVER_IMPORTED = """
raise RuntimeError("imported")

class Fancy:
    def __init__(self, input_size: int, num_spks: int, depth: int, *, width: int = 3, name: str | None = None):
        pass
"""
IMPORTABLE = """
class Base:
    def __init__(self, input_size: int, num_spks: int, *, width: int = 3):
        pass

class Child(Base):
    pass

class Any:
    def __init__(self, input_size, num_spks, **options):
        pass
"""


@pytest.fixture
def separators(monkeypatch, tmp_path):
    """Gives a function that installs a module and names separators of it; all is undone after the test."""
    monkeypatch.setattr(registry, "_targets", dict(registry._targets))
    monkeypatch.setattr(registry, "_classes", {})
    monkeypatch.syspath_prepend(tmp_path)

    def install(module, source, **names):
        (tmp_path / f"{module}.py").write_text(source)
        registry._targets.update({name: f"{module}:{cls}" for name, cls in names.items()})

    yield install
    registry._entry_points.cache_clear()
    for name in [name for name, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


def _package(folder, package, entry_points):
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[mindaudio_ext.separators]\n{entry_points}\n")
    registry._entry_points.cache_clear()


def test_options_come_from_the_source_and_nothing_is_imported(separators):
    separators("fancy_module", NEVER_IMPORTED, fancy="Fancy")
    assert separator_options("fancy") == {
        "depth": Option("int", REQUIRED),
        "width": Option("int", 3),
        "name": Option("str | None", None),
    }
    with pytest.raises(RuntimeError, match="imported"):
        get_separator("fancy")


def test_inherited_constructor_is_found_by_importing(separators):
    separators("child_module", IMPORTABLE, child="Child")
    assert separator_options("child") == {"width": Option("int", 3)}
    assert get_separator("child").__name__ == "Child"


def test_constructor_that_takes_any_option(separators):
    separators("any_module", IMPORTABLE, anything="Any")
    assert separator_options("anything") is None


def test_decorator_registers_and_refuses_a_second(separators):
    @register("mine")
    class Mine:
        def __init__(self, input_size, num_spks, *, width=3):
            pass

    assert "mine" in list_separators()
    assert get_separator("mine") is Mine
    assert separator_options("mine") == {"width": Option("", 3)}
    assert register("mine")(Mine) is Mine  # the same class again, as when a module is imported twice
    with pytest.raises(InputError, match=r"separator 'mine' is already .*Mine"):
        register("mine")(type("Other", (), {}))
    with pytest.raises(InputError, match=r"'dprnn' is already mindaudio_ext\.separators\.dprnn:DPRNN"):
        register("dprnn")(Mine)


def test_entry_points_of_other_packages_are_found(separators, tmp_path):
    separators("plugin_module", IMPORTABLE)
    _package(tmp_path, "plugin", "plugged = plugin_module:Base")
    assert "plugged" in list_separators()
    assert separator_options("plugged") == {"width": Option("int", 3)}
    assert get_separator("plugged").__name__ == "Base"


def test_entry_point_with_a_taken_name_is_refused(separators, tmp_path):
    _package(tmp_path, "thief", "dprnn = thief:DPRNN")
    with pytest.raises(InputError, match=r"'dprnn' is mindaudio_ext\.separators\.dprnn:DPRNN and thief:DPRNN"):
        list_separators()


def test_unknown_name_lists_the_known_and_a_near_one():
    with pytest.raises(InputError, match=r"no separator 'dprn' \(did you mean 'dprnn'\?\); known: .*dprnn"):
        get_separator("dprn")


def test_module_that_is_not_there_is_named(separators):
    registry._targets["gone"] = "no_such_module:Gone"
    with pytest.raises(InputError, match=r"'gone' \(no_such_module:Gone\) cannot be imported"):
        separator_options("gone")


def test_dprnn_is_known_without_mindspore():
    code = (
        "import sys; sys.modules['mindspore'] = None\n"
        "from mindaudio_ext.registry import list_separators, separator_options\n"
        "assert 'dprnn' in list_separators()\n"
        "print(separator_options('dprnn')['chunk_size'].default)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "250\n"
