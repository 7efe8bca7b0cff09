"""The documents say the same in both languages, and what they say of options, keys, defaults, paths and code is so."""

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

from mindaudio_ext import registry
from mindaudio_ext.config import load_config, save_config
from mindaudio_ext.registry import MODELS, SEPARATORS

ROOT = Path(__file__).resolve().parent.parent
READMES = ("README.md", "README_CN.md")
PAGES = sorted(path.name.removesuffix(".md") for path in ROOT.glob("docs/*.md") if not path.name.endswith(".zh.md"))
PAIRS = [READMES, *((f"docs/{page}.md", f"docs/{page}.zh.md") for page in PAGES)]
DOCUMENTS = [name for pair in PAIRS for name in pair]
OPTIONS, DEVELOPERS, MODELS_PAGE = (
    [f"docs/{page}.md", f"docs/{page}.zh.md"] for page in ("options", "developers", "models")
)
DATA_SCRIPTS = tuple(f"local/{name}_data.sh" for name in ("mini", "mini_librimix", "librimix", "wsj0_2mix", "folders"))
FILLED_BY_ENGINE = {"data", "nj", "sample_rate", "num_spks", "debug"}
OF_ESPNET = {"enh_config", "enh_args", "max_epoch"}
OF_PIP = {"no-deps", "no-build-isolation", "shell", "prog"}  # and of shtab
OF_SBATCH = {"requeue", "cpus-per-task", "mem", "time", "wrap"}
# Of converter_lite (up to their first capital), cmake and the C++ runner.
OF_THE_310 = {"fmk", "model", "output", "save", "optimize", "config", "build", "inputs", "outputs"}
GENERATED = ("data/", "dump/", "exp/", "build/", "tools/venv", "tools/lite", "tools/docs_venv")
ELSEWHERE = ("my_separators/",)  # the reader's own
LIBRIMIX = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("egs/librimix/*"))


# Every command of the READMEs, without its comment: the test that runs it, on data of its own; setup.sh with a pip that
# only notes.
RUN_BY = {
    "tools/venv/bin/python tools/picture.py LibriSpeech/test-clean/1221/135766/1221-135766-0000.flac "
    "LibriSpeech/test-clean/260/123286/260-123286-0000.flac docs/images/separation.png": (
        "tests/test_documents_tools.py::test_a_picture_of_two_utterances"
    ),
    "tools/setup.sh": "tests/test_shell.py::test_setup_passes_over_launchers_that_fail_and_is_quick_the_second_time",
    "tools/venv/bin/mindaudio-separate mix.wav -o separated": (
        "tests/bin/test_bin_separate.py::test_without_a_folder_the_voices_go_to_separated"
    ),
    'tools/venv/bin/mindaudio-separate "$(ls data/wav/test/mix/*.wav | head -n 1)" --model exp/mini -o exp/separated': (
        "tests/bin/test_bin_separate.py::test_files_become_estimates_of_their_length_and_rate"
    ),
    "./run.sh --stage 3 --stop_stage 4": "tests/test_shell.py::test_engine_separates_and_scores_again",
    "./run.sh --config my.yaml --data_script local/folders_data.sh --train /path/to/train --dev /path/to/dev "
    "--test /path/to/test": "tests/test_data_scripts.py::test_any_folders",
    './run.sh --stage 2 --expdir exp/blstm --train_args "separator=blstm separator_conf.hidden_size=32"': (
        "tests/test_docs.py::test_own_separator_of_the_readme_works"
    ),
    "./run.sh": "tests/test_recipes.py::test_killed_in_every_stage",
    "tools/new_recipe.sh mycorpus dprnn": "tests/test_shell.py::test_new_recipe",
}
# Those that no test runs, and why.
LIBRISPEECH = "egs/mini_librimix/dprnn/run.sh --librispeech /path/to/LibriSpeech"
NOT_RUN = {
    "PYTHON=python3.12 tools/setup.sh": "wants a Python 3.12 and 1 GB from PyPI; Pythons that are refused are tested",
    LIBRISPEECH: "wants LibriSpeech and 40 minutes; its RESULTS.md is what it wrote",
    f"{LIBRISPEECH} --pretrained dprnn_2spk_8k": "wants LibriSpeech; its numbers are in the model's card",
    f"{LIBRISPEECH} --pretrained dprnn_2spk_8k_causal": "wants LibriSpeech; its numbers are in the model's card",
    f"{LIBRISPEECH} --pretrained dprnn_2spk_8k_conversation": "wants LibriSpeech; its numbers are in the model's card",
    "tools/venv/bin/pip install --no-deps --no-build-isolation -e my_separators": (
        "changes the environment of the tests, which lay the files down as pip would"
    ),
    "pip install .": "changes the environment; tools/package.sh installs the wheel in one of its own",
    'pip install ".[corpus]"': "changes the environment; tools/package.sh has pip resolve every extra",
    'pip install ".[pesq]"': "as the one before",
}


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


def outline(text):
    """The marks of headings and list items."""
    return re.findall(r"^(#+|-|\d+\.) ", without_code(text), flags=re.MULTILINE)


def test_the_readmes_are_short():
    assert [name for name in READMES if len(read(name).splitlines()) > 250] == []


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_both_languages_have_one_outline(ours, theirs):
    english, chinese = outline(read(ours)), outline(read(theirs))
    assert english == chinese
    assert (english[0], english.count("#")) == ("#", 1)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_both_languages_have_the_same_code(ours, theirs):
    for language in ("bash", "python", "toml", "yaml"):
        english, chinese = (
            [re.sub(r" *# .*", "", block) if language == "bash" else block for block in code_blocks(text, language)]
            for text in (read(ours), read(theirs))
        )
        assert english == chinese


@pytest.mark.parametrize(("ours", "theirs"), [pair for pair in PAIRS if pair[0] != "docs/config.md"])
def test_both_languages_have_the_same_tables(ours, theirs):
    english, chinese = (tables(read(name)) for name in (ours, theirs))
    shapes = [[[len(row) for row in table] for table in page] for page in (english, chinese)]
    assert shapes[0] == shapes[1]
    for one, other in zip(english, chinese):
        for row, same_row in zip(one, other):
            for cell, same in zip(row, same_row):
                assert facts(cell) == facts(same), (cell, same)


def facts(cell):
    """The numbers and names of a cell, which languages order differently."""
    without_targets = re.sub(r"\]\([^)]*\)", "]", cell)
    return sorted(re.findall(r"@@\w+@@|-?\d+(?:\.\d+)?|`[^`]*`", without_targets))


@pytest.mark.parametrize("name", READMES)
def test_every_command_is_run_by_a_test_or_said_not_to_be(name):
    lines = [line for block in code_blocks(read(name), "bash") for line in block.splitlines()]
    commands = {re.sub(r" +# .*", "", line) for line in lines if line and not line.startswith("#")}
    commands |= {code for code in inline_code(read(name)) if code.startswith("pip install")}
    assert commands == RUN_BY.keys() | NOT_RUN.keys()
    for where in RUN_BY.values():
        file, _, test = where.partition("::")
        assert f"\ndef {test}(" in read(file), where


def test_limits_name_tests_that_exist():
    rows = table_of(read("docs/limits.md"), "1")
    assert [row[0] for row in rows] == [str(number) for number in range(1, 26)]
    for row in rows:
        assert "limit" in row[3] or quoted(row[3]), row
        for name in quoted(row[3]):
            file, _, test = name.partition("::")
            assert f"\ndef {test}(" in read(file), name


@pytest.mark.parametrize("name", DOCUMENTS)
def test_results_are_filled_in(name):
    assert re.findall(r"@@\w+@@", read(name)) == []


@pytest.mark.parametrize("name", OPTIONS)
def test_options_of_the_engine(name):
    rows = [(quoted(row[0])[0][2:], "".join(quoted(row[1]))) for row in table_of(read(name), "`--stage`")]
    assert rows == list(option_block("run.sh").items())


@pytest.mark.parametrize("name", OPTIONS)
def test_options_of_separate(name):
    from mindaudio_ext.bin.separate import parser

    told = {quoted(row[0])[0]: "".join(quoted(row[1])) for row in table_of(read(name), "`--model`")}
    options = [option for option in parser()._actions if option.option_strings and option.default != "==SUPPRESS=="]
    defaults = {option.option_strings[-1]: str(option.default or "").removesuffix(".0") for option in options}
    assert told == defaults | {"--version": "", "--debug": ""}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_of_the_data_scripts(name):
    rows = {quoted(row[0])[0][2:]: row[1:] for row in table_of(read(name), "`--librispeech`")}
    for column, script in enumerate(DATA_SCRIPTS):
        told = {option: "".join(quoted(row[column])) for option, row in rows.items() if row[column] != "-"}
        declared = option_block(script)
        assert told == {option: declared[option] for option in declared if option not in FILLED_BY_ENGINE}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_option_named_exists(name):
    from mindaudio_ext.bin import convert, export, infer_310, make_librimix, separate

    commands = (separate.parser(), convert.parser(), make_librimix.parser(), export.parser(), infer_310.parser())
    known = {
        option
        for tool in (*ROOT.glob("tools/*.py"), *ROOT.glob("tools/bench/*.py"))
        for option in re.findall(r'"--([\w-]+)"', tool.read_text())
    }
    known |= {option[2:] for parser in commands for action in parser._actions for option in action.option_strings}
    known.add("debug")
    for script in ("run.sh", *(str(file.relative_to(ROOT)) for file in ROOT.glob("local/*_data.sh"))):
        known |= option_block(script).keys()
    # `--name`, `--some-name` and `--some_name` stand for any option.
    known |= (
        OF_PIP | OF_SBATCH | OF_THE_310 | OF_ESPNET | {"help", "framework", "step_us", "name", "some-name", "some_name"}
    )
    named = set(re.findall(r"(?<![\w-])--([a-z][a-z0-9_-]*)", read(name)))
    assert named - known == set()


@pytest.mark.parametrize("name", [*DOCUMENTS, *(f"{recipe}/README.md" for recipe in LIBRIMIX)])
def test_every_path_named_exists(name):
    text = read(name)
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / name).parent.joinpath(link).exists()] == []
    words = [word.removeprefix("./") for code in inline_code(text) for word in code.split()]
    paths = [word for word in words if re.fullmatch(r"\.?[a-z][\w.-]*/[\w./-]*|[\w-]+\.(sh|md|toml|txt)", word)]
    places = (ROOT, ROOT / "mindaudio_ext", ROOT / "egs/mini_librimix/dprnn", *(ROOT / recipe for recipe in LIBRIMIX))
    missing = [
        path
        for path in paths
        if not path.startswith(GENERATED + ELSEWHERE) and not any((place / path).exists() for place in places)
    ]
    of_the_reference = {"run_standalone_train.sh", "run_distribute_train.sh", "run_eval.sh", "run_infer_310.sh"}
    of_espnet = {"local/data.sh", "conf/tuning/x.yaml"}
    of_folders = {
        "conf/x.yaml",
        "corpus.txt",
        "wav/",
        "log/",
        "checkpoints/",
        "conf/x",
        "local/x",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "checkpoints/average.ckpt",
        "plots/",
        "plots/curves.png",
        "separated/mix_s1.wav",
        "separated/mix_s2.wav",
        "tensorboard/",
        "examples/",
    }
    of_the_kit = {
        "inputs.txt",
        "outputs.txt",
        "outputs/",
        *(f"runner/{name}" for name in ("", "infer_310", "infer_310.py", "convert.py")),
    }
    of_the_kit |= {"mix_clean/", "s1/", "s2/", "infer_test/inputs_16000/", "infer_test/lite/"}
    assert set(missing) - of_the_reference - of_espnet - of_folders - of_the_kit == set()


@pytest.mark.parametrize("name", DEVELOPERS)
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


def test_librimix_recipes_are_told_with_their_configs():
    rows = [quoted(row[0] + row[1]) for row in table_of(read("docs/corpora.md"), "`egs/librimix/dprnn`")]
    told, recipe = set(), ""
    for *first, config in rows:
        recipe = first[0] if first else recipe
        told.add(f"{recipe}/{config}")
    assert told == {f"{recipe}/{path}" for recipe in LIBRIMIX for path in configs_of(recipe)}


def configs_of(recipe):
    return [str(path.relative_to(ROOT / recipe)) for path in (ROOT / recipe).glob("conf/*.yaml")]


@pytest.mark.parametrize("name", MODELS_PAGE)
def test_names_of_norms_and_of_mindaudios_models(name):
    from mindaudio_ext.layers.norm import NORMS

    assert [quoted(row[0])[0] for row in table_of(read(name), "`gLN`")] == list(NORMS)
    models = [quoted(row[0])[0] for row in table_of(read(name), "`mindaudio.conv_tasnet`")]
    assert [*models, "tasnet"] == MODELS.built_in()


@pytest.fixture
def _own_separator(tmp_path, monkeypatch):
    """The separator of the README, installed: its module and its entry point, as pip leaves them."""
    module = next(block for block in code_blocks(read("README.md"), "python") if "class BLSTM" in block)
    project = code_blocks(read("docs/developers.md"), "toml")[0]
    (tmp_path / "blstm.py").write_text(module)
    group, entry = re.search(r'^\[project.entry-points."([\w.]+)"\]\n(.*)$', project, flags=re.MULTILINE).groups()
    info = tmp_path / "my_separators-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-separators\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n")
    monkeypatch.setattr(SEPARATORS, "_registered", dict(SEPARATORS._registered))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    registry._entry_points.cache_clear()
    yield
    registry._entry_points.cache_clear()


@pytest.mark.usefixtures("_own_separator")
def test_own_separator_of_the_readme_works(tmp_path):
    command = next(block for block in code_blocks(read("README.md"), "bash") if "separator=blstm" in block)
    assert code_blocks(read("docs/developers.md"), "python") == [
        block for block in code_blocks(read("README.md"), "python") if "class BLSTM" in block
    ]
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

    from mindaudio_ext.data.audio import read_audio, write_wav
    from mindaudio_ext.models.parameters import save_parameters
    from mindaudio_ext.models.tasnet import build_model

    overrides = ["separator_conf.hidden_size=4 separator_conf.bottleneck_size=4 separator_conf.n_blocks=1"]
    config = load_config(ROOT / "conf/base.yaml", ROOT / "conf/mini.yaml", overrides)
    ms.set_seed(0)
    save_config(config, tmp_path / "exp/mini/config.yaml")
    save_parameters(build_model(config), tmp_path / "exp/mini/checkpoints/best.ckpt")
    mixture = 0.1 * np.random.default_rng(0).standard_normal(8001).astype(np.float32)
    write_wav(tmp_path / "mix.wav", mixture, 8000)

    code = next(block for block in code_blocks(read("docs/separate.md"), "python") if "separator.separate(" in block)
    short = next(block for block in code_blocks(read("README.md"), "python") if "separator.separate(" in block)
    assert code.splitlines()[4:][1:] == short.splitlines()[4:][1:]  # the README's loads the model in the box
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/separate.md", "exec"), types.ModuleType("readme").__dict__)
    estimates = [read_audio(f"mix_s{number}.wav", sample_rate=8000)[0] for number in (1, 2)]
    assert [len(estimate) for estimate in estimates] == [8001, 8001]
    assert all(np.abs(estimate).max() > 0 for estimate in estimates)
    assert sorted(path.name for path in tmp_path.glob("*.wav")) == ["mix.wav", "mix_s1.wav", "mix_s2.wav"]


def test_mindaudio_script_of_the_readme_works(tmp_path):
    """In a process of its own, as MindAudio's list of models is changed; MindSpore wants a file to read graphs from."""
    code = next(block for block in code_blocks(read("docs/migrate.md"), "python") if "register_with_mindaudio" in block)
    (tmp_path / "script.py").write_text(f"{code}print(estimates.shape)\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOG_v": "3"}
    command = [sys.executable, tmp_path / "script.py"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.stdout.splitlines() == ["(1, 2, 8000)"], result.stderr


def test_conf_for_mindaudios_models_is_whole(tmp_path):
    (tmp_path / "theirs.yaml").write_text(code_blocks(read("docs/models.md"), "yaml")[0])
    config = load_config(ROOT / "conf/base.yaml", tmp_path / "theirs.yaml")
    assert (config.model, config.model_conf["R"], config.kernel_size) == ("mindaudio.conv_tasnet", 2, 20)


@pytest.mark.parametrize("argument", [["--check", "nowhere"], ["nowhere.pth"]])
def test_comparison_with_asteroid_says_what_is_missing(argument, tmp_path):
    command = [sys.executable, ROOT / "tools/compare_asteroid.py", *argument]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("compare_asteroid.py: nowhere")
    assert result.stderr.count("\n") == 1
