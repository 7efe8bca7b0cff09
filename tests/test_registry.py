"""Registries: names come from the folder, options from the constructor, and what is ambiguous is refused."""

import importlib
import subprocess
import sys
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge

from mindaudio_ext import registry
from mindaudio_ext.errors import InputError
from mindaudio_ext.registry import REQUIRED, Option, Registry, near, options_of

SHAPES = """
from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge

from shapes import SHAPES


@SHAPES.register("square")
class Square:
    def __init__(self, depth: int, *, width: Annotated[int, Ge(2)] = 3, kind: Literal["a", "b"] = "a"):
        pass
"""
NAMELESS = """
class Other:
    pass
"""


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """A registry of a folder with the modules square, nameless and _base, and where that folder is."""
    folder = tmp_path / "shapes"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from mindaudio_ext.registry import Registry\nSHAPES = Registry('shape', 'shapes', n_given=0)\n"
    )
    (folder / "square.py").write_text(SHAPES)
    (folder / "nameless.py").write_text(NAMELESS)
    (folder / "_base.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("shapes").SHAPES
    registry._entry_points.cache_clear()
    for name in [name for name, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


def _package(folder, entry_points):
    info = folder / "package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[shapes]\n{entry_points}\n")
    registry._entry_points.cache_clear()


def test_a_file_in_the_folder_is_a_name_and_is_not_imported_for_it(shapes):
    assert shapes.names() == ["nameless", "square"]
    assert "shapes.square" not in sys.modules
    assert shapes.get("square").__name__ == "Square"
    assert shapes.name_of(shapes.get("square")) == "square"


def test_names_are_found_whatever_the_case(shapes):
    assert shapes.find("SQUARE") == "square"
    assert shapes.get("Square") is shapes.get("square")


def test_a_file_that_registers_nothing_is_named(shapes):
    with pytest.raises(InputError, match=r"shape 'nameless': shapes\.nameless does not register it"):
        shapes.get("nameless")


def test_options_come_from_the_constructor_with_their_limits(shapes):
    assert shapes.options("square") == {
        "depth": Option(int, REQUIRED),
        "width": Option(Annotated[int, Ge(2)], 3),
        "kind": Option(Literal["a", "b"], "a"),
    }


def test_options_of_inherited_and_of_open_constructors():
    class Base:
        def __init__(self, size, *, width: int = 3):
            pass

    class Child(Base):
        pass

    class Open:
        def __init__(self, size, **options):
            pass

    assert options_of(Child, 1) == {"width": Option(int, 3)}
    assert options_of(Child) == {"width": Option(int, 3)}  # keyword-only ones
    assert options_of(Child, 0) == {"size": Option(Any, REQUIRED), "width": Option(int, 3)}
    assert options_of(Open, 1) is None


def test_types_that_only_a_type_checker_knows_are_any(tmp_path, monkeypatch):
    (tmp_path / "checked.py").write_text("def shape(size: 'Unknown', *, width: 'Unknown' = 3):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert options_of(importlib.import_module("checked").shape) == {"width": Option(Any, 3)}


def test_decorator_registers_and_refuses_a_second(shapes):
    @shapes.register("mine")
    class Mine:
        pass

    assert "mine" in shapes.names()
    assert "mine" not in shapes.built_in()
    assert shapes.get("mine") is Mine
    assert shapes.register("mine")(Mine) is Mine  # the same class again, as when a module is imported twice
    with pytest.raises(InputError, match=r"shape 'mine' is already .*Mine"):
        shapes.register("mine")(type("Other", (), {}))
    with pytest.raises(InputError, match=r"shape 'square' is already shapes\.square"):
        shapes.register("square")(Mine)


def test_entry_points_of_other_packages_are_found(shapes, tmp_path):
    (tmp_path / "plugin.py").write_text("class Round:\n    def __init__(self, *, radius: int = 3):\n        pass\n")
    _package(tmp_path, "round = plugin:Round\nlost = plugin:Lost\ngone = no_such_module:Gone")
    assert shapes.names() == ["gone", "lost", "nameless", "round", "square"]
    assert shapes.options("round") == {"radius": Option(int, 3)}
    with pytest.raises(InputError, match=r"shape 'gone' \(no_such_module:Gone\) cannot be imported"):
        shapes.get("gone")
    with pytest.raises(InputError, match=r"shape 'lost' \(plugin:Lost\) cannot be imported"):
        shapes.get("lost")


def test_entry_point_with_a_taken_name_is_refused(shapes, tmp_path):
    _package(tmp_path, "square = thief:Square")
    with pytest.raises(InputError, match=r"'square' is shapes\.square and thief:Square; rename or remove one"):
        shapes.names()


def test_unknown_name_lists_the_known_and_a_near_one(shapes):
    with pytest.raises(InputError, match=r"no shape 'sqare' \(did you mean 'square'\?\); known: nameless, square"):
        shapes.get("sqare")
    assert near("sqare", ["round"]) == ""


def test_modules_may_be_named_one_by_one():
    registry_of_two = Registry("model", "nowhere", {"a.b": "shapes.square", "c": "shapes.square"})
    assert registry_of_two.names() == ["a.b", "c"]


def test_separators_are_listed_without_mindspore():
    code = (
        "import sys; sys.modules['mindspore'] = None\n"
        "from mindaudio_ext.registry import list_separators\n"
        "print({'dprnn', 'dptnet', 'rnn', 'tcn'} <= set(list_separators()))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "True\n"
