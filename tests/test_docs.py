"""The documents: both READMEs say the same, and what they say of options, keys, defaults, paths and code is so."""

import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import yaml

from mindaudio_ext import registry
from mindaudio_ext.config import ALIASES, MODEL_OPTIONS, SCHEDULER_OPTIONS, load_config, save_config

ROOT = Path(__file__).resolve().parent.parent
READMES = ("README.md", "README_CN.md")
DATA_SCRIPTS = tuple(f"local/{name}_data.sh" for name in ("mini", "mini_librimix", "librimix", "wsj0_2mix", "folders"))
FILLED_BY_ENGINE = {"data", "nj", "sample_rate", "num_spks", "debug"}
OF_PIP = {"no-deps", "no-build-isolation"}
# Of converter_lite (up to their first capital), cmake and the C++ runner.
OF_THE_310 = {"fmk", "model", "output", "save", "optimize", "config", "build", "inputs", "outputs"}
GENERATED = ("data/", "dump/", "exp/", "tools/venv")
ELSEWHERE = ("my_separators/",)  # the reader's own
LIBRIMIX = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("egs/librimix/*"))
SEPARATORS = ("dprnn", "dptnet", "rnn", "tcn")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def code_blocks(text, language):
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [block for found, block in blocks if found == language]


def tables(text):
    """All tables of a text, each a list of rows of cells, the line under the heads left out."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        found.append([rows[0], *rows[2:]])
    return found


def table_of(text, first):
    """The body of the table whose first body cell is `first`."""
    return next(table[1:] for table in tables(text) if table[1][0] == first)


def quoted(cell):
    return re.findall(r"`([^`]*)`", cell)


def option_block(script):
    """The options a script declares: name -> default."""
    block = read(script).partition("/parse_options.sh")[0]
    return dict(re.findall(r"^([a-z][a-z0-9_]*)=(.*?) +# ", block, flags=re.MULTILINE))


def inline_code(text):
    return re.findall(r"`([^`\n]+)`", without_code(text))


def headings(text):
    return [len(marks) for marks in re.findall(r"^(#+) ", without_code(text), flags=re.MULTILINE)]


def test_both_readmes_have_one_outline():
    english, chinese = (headings(read(name)) for name in READMES)
    assert english == chinese
    assert english[0] == 1
    assert english.count(2) > 10


@pytest.mark.parametrize("language", ["bash", "python", "toml", "yaml"])
def test_both_readmes_have_the_same_code(language):
    english, chinese = (
        [re.sub(r" *# .*", "", block) if language == "bash" else block for block in code_blocks(read(name), language)]
        for name in READMES
    )
    assert english == chinese
    assert english


def test_both_readmes_have_the_same_tables():
    english, chinese = (tables(read(name)) for name in READMES)
    shapes = [[[len(row) for row in table] for table in readme] for readme in (english, chinese)]
    assert shapes[0] == shapes[1]
    for ours, theirs in zip(english, chinese):
        for row, other in zip(ours, theirs):
            for cell, same in zip(row, other):
                fact = r"@@\w+@@|-?\d+(?:\.\d+)?|`[^`]*`"  # languages order them differently
                assert sorted(re.findall(fact, cell)) == sorted(re.findall(fact, same)), (cell, same)


@pytest.mark.parametrize("name", READMES)
def test_results_are_filled_in(name):
    assert re.findall(r"@@\w+@@", read(name)) == []


@pytest.mark.parametrize("name", READMES)
def test_options_of_the_engine(name):
    rows = [(quoted(row[0])[0][2:], "".join(quoted(row[1]))) for row in table_of(read(name), "`--stage`")]
    assert rows == list(option_block("run.sh").items())


@pytest.mark.parametrize("name", READMES)
def test_options_of_the_data_scripts(name):
    rows = {quoted(row[0])[0][2:]: row[1:] for row in table_of(read(name), "`--librispeech`")}
    for column, script in enumerate(DATA_SCRIPTS):
        told = {option: "".join(quoted(row[column])) for option, row in rows.items() if row[column] != "-"}
        declared = option_block(script)
        assert told == {option: declared[option] for option in declared if option not in FILLED_BY_ENGINE}


@pytest.mark.parametrize("name", READMES)
def test_every_option_named_exists(name):
    from mindaudio_ext.bin import convert, export, infer_310, make_librimix, separate

    commands = (separate._parser(), convert.parser(), make_librimix._parser(), export._parser(), infer_310.parser())
    known = {option[2:] for parser in commands for action in parser._actions for option in action.option_strings}
    known.add("debug")
    for script in ("run.sh", *DATA_SCRIPTS):
        known |= option_block(script).keys()
    # `--name`, `--some-name` and `--some_name` stand for any option.
    known |= OF_PIP | OF_THE_310 | {"help", "name", "some-name", "some_name"}
    named = set(re.findall(r"(?<![\w-])--([a-z][a-z0-9_-]*)", read(name)))
    assert len(named) > 20
    assert named - known == set()


@pytest.mark.parametrize("name", [*READMES, "docs/contracts.md", *(f"{recipe}/README.md" for recipe in LIBRIMIX)])
def test_every_path_named_exists(name):
    text = read(name)
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / name).parent.joinpath(link).exists()] == []
    words = [word.removeprefix("./") for code in inline_code(text) for word in code.split()]
    paths = [word for word in words if re.fullmatch(r"\.?[a-z][\w.-]*/[\w./-]*|[\w-]+\.(sh|md|toml|txt)", word)]
    places = (ROOT, ROOT / "egs/mini_librimix/dprnn", *(ROOT / recipe for recipe in LIBRIMIX))
    missing = [
        path
        for path in paths
        if not path.startswith(GENERATED + ELSEWHERE) and not any((place / path).exists() for place in places)
    ]
    of_the_reference = {"run_standalone_train.sh", "run_distribute_train.sh", "run_eval.sh", "run_infer_310.sh"}
    of_folders = {
        "corpus.txt",
        "wav/",
        "checkpoints/",
        "conf/x",
        "local/x",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "checkpoints/average.ckpt",
        "plots/curves.png",
        "tensorboard/",
        "examples/",
    }
    of_the_kit = {"inputs.txt", "outputs.txt", "outputs/", "runner/", "runner/infer_310"}
    of_the_kit |= {"mix_clean/", "s1/", "s2/", "infer_test/inputs_16000/", "infer_test/lite/"}
    assert set(missing) - of_the_reference - of_folders - of_the_kit == set()


@pytest.mark.parametrize("name", READMES)
def test_layout_is_the_tree(name):
    block = next(block for block in code_blocks(read(name), "") if block.startswith("run.sh"))
    told, parent = set(), ""
    for line in block.splitlines():
        entry = line.split()[0]
        if not line.startswith(" "):
            parent = entry
        told.add(entry if entry == parent else parent + entry)
    assert sorted(entry for entry in told if not (ROOT / entry).exists()) == []
    for folder in ("tools", "mindaudio_ext"):
        here = {
            f"{folder}/{path.name}" + "/" * path.is_dir()
            for path in (ROOT / folder).iterdir()
            if path.suffix in (".py", ".sh") or (path / "__init__.py").is_file()
        }
        assert here - told == {"mindaudio_ext/__init__.py"} & here


@pytest.mark.parametrize("name", READMES)
def test_config_keys(name):
    base = yaml.safe_load(read("conf/base.yaml"))
    rows = table_of(read(name), "`sample_rate`")
    assert [(quoted(row[0])[0], yaml.safe_load(quoted(row[2])[0])) for row in rows] == list(base.items())
    told = {alias: quoted(row[0])[0] for row in rows for alias in quoted(row[1])}
    assert told == {alias: key for alias, key in ALIASES.items() if "." not in key} | {"out_channels": "n_filters"}


def test_librimix_recipes_are_told_with_their_configs():
    rows = [quoted(row[0] + row[1]) for row in table_of(read("README.md"), "`egs/librimix/dprnn`")]
    told, recipe = set(), ""
    for *first, config in rows:
        recipe = first[0] if first else recipe
        told.add(f"{recipe}/{config}")
    assert told == {f"{recipe}/{path}" for recipe in LIBRIMIX for path in configs_of(recipe)}


def configs_of(recipe):
    return [str(path.relative_to(ROOT / recipe)) for path in (ROOT / recipe).glob("conf/*.yaml")]


def table_below(text, heading):
    """The heads and the body of the first table below the heading that has all of these words."""
    below = re.split(r"^#+ (.*)$", text, flags=re.MULTILINE)
    section = next(body for title, body in zip(below[1::2], below[2::2]) if all(word in title for word in heading))
    return tables(section)[0]


@pytest.mark.parametrize("name", READMES)
@pytest.mark.parametrize("separator", SEPARATORS)
def test_separator_options(name, separator):
    heads, *rows = table_below(read(name), ("`separator_conf`", f"`{separator}`"))
    options = registry.separator_options(separator)
    defaults = [(option, spec.default) for option, spec in options.items()]
    column = 2 if separator == "dprnn" else 1  # after the reference's names, which are DPRNN's
    assert len(heads) == column + 3
    assert [(quoted(row[0])[0], yaml.safe_load(quoted(row[column])[0])) for row in rows] == defaults
    if separator == "dprnn":
        told = {alias: f"separator_conf.{quoted(row[0])[0]}" for row in rows for alias in quoted(row[1])}
        assert told == {alias: key for alias, key in ALIASES.items() if "." in key}


@pytest.mark.parametrize("name", READMES)
def test_names_of_separators_and_norms(name):
    from mindaudio_ext.config import SEPARATOR_LIMITS
    from mindaudio_ext.layers.norm import NORMS

    assert sorted(quoted(row[0])[0] for row in table_of(read(name), "`dprnn`")) == list(SEPARATORS)
    norms = [quoted(row[0])[0] for row in table_of(read(name), "`gLN`")]
    assert norms == list(NORMS)
    for separator in SEPARATORS:
        for row in table_below(read(name), ("`separator_conf`", f"`{separator}`"))[1:]:
            limits = SEPARATOR_LIMITS[separator].get(quoted(row[0])[0])
            if limits and limits.choices:
                assert quoted(row[-1]) == list(limits.choices)


@pytest.mark.parametrize("name", READMES)
def test_mindaudio_options(name):
    told = {}
    for row in table_of(read(name), "`mindaudio.conv_tasnet`"):
        pairs = [yaml.safe_load(option) for option in quoted(row[1])]
        told[quoted(row[0])[0]] = {key: value for pair in pairs for key, value in pair.items()}
    assert told == {
        model: {key: option.default for key, (option, _) in options.items()}
        for model, options in MODEL_OPTIONS.items()
        if options
    }


@pytest.mark.parametrize("name", READMES)
def test_scheduler_options(name):
    told = {}
    for row in table_of(read(name), "`constant`"):
        pairs = [yaml.safe_load(option) for option in quoted(row[1])]
        told[quoted(row[0])[0]] = {key: value for pair in pairs for key, value in pair.items()}
    assert told == {
        scheduler: {key: option.default for key, (option, _) in options.items()}
        for scheduler, options in SCHEDULER_OPTIONS.items()
    }


@pytest.fixture
def _own_separator(tmp_path, monkeypatch):
    """The separator of the README, installed: its module and its entry point, as pip leaves them."""
    module = next(block for block in code_blocks(read("README.md"), "python") if "class BLSTM" in block)
    project = code_blocks(read("README.md"), "toml")[0]
    (tmp_path / "blstm.py").write_text(module)
    group, entry = re.search(r'^\[project.entry-points."([\w.]+)"\]\n(.*)$', project, flags=re.MULTILINE).groups()
    info = tmp_path / "my_separators-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-separators\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n")
    monkeypatch.setattr(registry, "_classes", {})
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    registry._entry_points.cache_clear()
    yield
    registry._entry_points.cache_clear()


@pytest.mark.usefixtures("_own_separator")
def test_own_separator_of_the_readme_works(tmp_path):
    command = next(block for block in code_blocks(read("README.md"), "bash") if "separator=blstm" in block)
    overrides = re.search(r'--train_args "([^"]*)"', command)[1]
    config = load_config(ROOT / "conf/base.yaml", ROOT / "conf/mini.yaml", [overrides])
    assert config.separator_conf == {"hidden_size": 32}
    import mindspore as ms

    from mindaudio_ext.models.tasnet import build_model

    mixture = np.random.default_rng(0).standard_normal((3, 8001)).astype(np.float32)
    estimates = build_model(config)(ms.Tensor(mixture))
    assert estimates.shape == (3, 2, 8001)
    assert np.isfinite(estimates.asnumpy()).all()


def test_python_of_the_readme_works(tmp_path, monkeypatch):
    import mindspore as ms

    from mindaudio_ext.data.audio import read_wav, write_wav
    from mindaudio_ext.models.checkpoint import save_parameters
    from mindaudio_ext.models.tasnet import build_model

    overrides = ["separator_conf.hidden_size=4 separator_conf.bottleneck_size=4 separator_conf.n_blocks=1"]
    config = load_config(ROOT / "conf/base.yaml", ROOT / "conf/mini.yaml", overrides)
    ms.set_seed(0)
    save_config(config, tmp_path / "exp/mini/config.yaml")
    save_parameters(build_model(config), tmp_path / "exp/mini/checkpoints/best.ckpt")
    mixture = 0.1 * np.random.default_rng(0).standard_normal(8001).astype(np.float32)
    write_wav(tmp_path / "mix.wav", mixture, 8000)

    code = next(block for block in code_blocks(read("README.md"), "python") if "separator.separate(" in block)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), types.ModuleType("readme").__dict__)
    estimates = [read_wav(f"mix_s{number}.wav", sample_rate=8000) for number in (1, 2)]
    assert [len(estimate) for estimate in estimates] == [8001, 8001]
    assert all(np.abs(estimate).max() > 0 for estimate in estimates)
    assert sorted(path.name for path in tmp_path.glob("*.wav")) == ["mix.wav", "mix_s1.wav", "mix_s2.wav"]


def test_mindaudio_script_of_the_readme_works(tmp_path):
    """In a process of its own, as MindAudio's list of models is changed; MindSpore wants a file to read graphs from."""
    code = next(block for block in code_blocks(read("README.md"), "python") if "register_with_mindaudio" in block)
    (tmp_path / "script.py").write_text(f"{code}print(estimates.shape)\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOG_v": "3"}
    command = [sys.executable, tmp_path / "script.py"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.stdout.splitlines() == ["(1, 2, 8000)"], result.stderr


def test_conf_for_mindaudios_models_is_whole(tmp_path):
    (tmp_path / "theirs.yaml").write_text(code_blocks(read("README.md"), "yaml")[0])
    config = load_config(ROOT / "conf/base.yaml", tmp_path / "theirs.yaml")
    assert (config.model, config.model_conf["R"], config.kernel_size) == ("mindaudio.conv_tasnet", 2, 20)


@pytest.mark.parametrize("argument", [["--check", "nowhere"], ["nowhere.pth"]])
def test_comparison_with_asteroid_says_what_is_missing(argument, tmp_path):
    command = [sys.executable, ROOT / "tools/compare_asteroid.py", *argument]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("compare_asteroid.py: nowhere")
    assert result.stderr.count("\n") == 1
