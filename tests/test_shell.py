"""The shell side: options, the engine, the set-up. Run in a copy whose path has a space, with a stand-in Python."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from permissions import AS_A_USER, locked_up
from script_folders import copy_scripts

ROOT = Path(__file__).resolve().parent.parent

OPTIONS = """#!/usr/bin/env bash
# Says what it was given.
set -euo pipefail
stage=0          # first stage
name=            # any text
folder="a b"     # text that must not be empty
debug=false      # more words
undeclared=1
. tools/parse_options.sh
printf '%s|' "$stage" "$name" "$folder" "$debug" "$undeclared" "$#"
late=1           # below the block: not an option
"""

# Stands in for every Python command: notes its arguments and makes the files that the next stage needs.
PYTHON = r"""#!/usr/bin/env bash
printf '%s\n' "${*@Q}" >>"$STUB_LOG"
printf '%s %s\n' "${MINDAUDIO_EXT_STAGE-}" "${2-}" >>"$STUB_LOG.stages"
if [[ ${STUB_FAIL-} == "$2" ]]; then echo "the stage's line" >&2; exit "$STUB_STATUS"; fi
if [[ ${STUB_SLEEP-} == "$2" ]]; then sleep 77.5 & echo $! >"$STUB_LOG.sleeper"; wait; fi
while (($#)); do
    case $1 in
        --out) if [[ $2 == *.yaml ]]; then : >"$2"; else mkdir -p -- "$2"; : >"$2/manifest.json"; fi ;;
        --text) text=$2 ;;
        --print0) printf '%s\0' train_set=train valid_set=dev test_sets=test test_sets=other dump_dir=dump \
            num_spks=2 sample_rate=8000 decode_checkpoint=best ${STUB_CORPUS+"corpus_dir=$STUB_CORPUS"} \
            ${text+"$text"} ;;
        *.bin.train) kind=train ;; *.bin.decode) kind=decode ;; *.bin.score) kind=score ;;
        *.bin.make_conversations) kind=conversations ;;
        --expdir) exp=$2 ;;
        --data) data=$2 ;;
    esac
    shift
done
case ${kind-} in
    train) mkdir -p "$exp/checkpoints"; : >"$exp/checkpoints/best.ckpt"; : >"$exp/config.yaml" ;;
    decode) mkdir -p "$exp/separated_${data##*/}"; : >"$exp/separated_${data##*/}/spk1.scp" ;;
    score) echo "the table" >"$exp/RESULTS.md" ;;
    conversations) mkdir -p "$data/test"; : >"$data/test/statistics.txt" ;;
esac
"""

DATA_SCRIPT = r"""#!/usr/bin/env bash
# corpus: corpus_folder
data=             # where the sets are made
nj=1              # CPU jobs
sample_rate=8000  # Hz
num_spks=2        # sources
corpus_folder=    # the corpus
n_test=10         # test mixtures
. "$(dirname "$0")/../tools/parse_options.sh"
printf '%s\n' "data script ${*@Q}" "corpus_folder=$corpus_folder n_test=$n_test rate=$sample_rate nj=$nj" >>"$STUB_LOG"
for set in train dev test other; do mkdir -p "$data/$set"; : >"$data/$set/wav.scp"; : >"$data/$set/spk1.scp"; done
"""


def write_script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def run(*command, cwd, **env):
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX")}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def assert_refused(result, *words):
    assert result.returncode == 2, result.stdout + result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]


@pytest.fixture
def root(tmp_path):
    """A copy of the shell files below a path with a space; set-up and Python are stand-ins."""
    root = tmp_path / "the root"
    copy_scripts("tools", root)
    for name in ("run.sh", "path.sh"):
        shutil.copy(ROOT / name, root / name)
    write_script(root / "tools" / "setup.sh", f"#!/bin/sh\necho '{root}/bin'\n")
    write_script(root / "bin" / "python", PYTHON)
    write_script(root / "local" / "mini_data.sh", DATA_SCRIPT)
    write_script(root / "options.sh", OPTIONS)
    (root / "conf").mkdir()
    (root / "conf" / "mini.yaml").write_text("")
    return root


@pytest.fixture
def engine(root, tmp_path):
    """Runs the engine from another folder, also with a space."""
    cwd = tmp_path / "some where"
    cwd.mkdir()

    def call(*options, **env):
        return run(root / "run.sh", *options, cwd=cwd, STUB_LOG=str(tmp_path / "log"), **env)

    call.cwd = cwd
    call.log = tmp_path / "log"
    return call


def options(root, *arguments, **env):
    return run("bash", "options.sh", *arguments, cwd=root, **env)


def test_options_default(root):
    assert options(root).stdout == "0||a b|false|1|0|"


def test_options_set_every_kind(root):
    result = options(root, "--stage", "08", "--name", "x y", "--folder", "f", "--debug", "true")
    assert result.stdout == "8|x y|f|true|1|0|"


@pytest.mark.parametrize(
    "value", ["$(touch evil)", "`touch evil`", "a; touch evil", "\"'\\", "a  b\nc", "*", "-1", "a[$(touch evil)]"]
)
def test_options_never_evaluate(root, value):
    assert options(root, "--name", value).stdout == f"0|{value}|a b|false|1|0|"
    assert not (root / "evil").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--stage=1"], ["--stage VALUE"]),
        (["--stge", "1"], ["unknown option --stge", "did you mean --stage?"]),
        (["--undeclared", "2"], ["unknown option"]),
        (["--late", "2"], ["unknown option"]),
        (["--PATH", "x"], ["unknown option --PATH"]),
        (["--HOME", "x"], ["unknown option"]),
        (["--_options_line", "x"], ["unknown option"]),
        (["--a[$(touch evil)]", "x"], ["unknown option"]),
        (["-x", "1"], ["unknown option -x"]),
        (["--stage"], ["--stage needs a value"]),
        (["--name", "--stage", "1"], ["--name needs a value before --stage"]),
        (["--name", "--help"], ["needs a value"]),
        (["--"], ["empty option"]),
        (["--debug", "yes"], ["--debug must be true or false, not 'yes'"]),
        (["--debug", ""], ["--debug must be true or false"]),
        (["--stage", "-1"], ["--stage must be a whole number", "'-1'"]),
        (["--stage", "1.5"], ["--stage must be a whole number"]),
        (["--stage", "stage"], ["--stage must be a whole number"]),
        (["--stage", ""], ["--stage must be a whole number"]),
        (["--folder", ""], ["--folder must not be empty"]),
        (["extra"], ["unexpected argument 'extra'"]),
        ([""], ["unexpected argument ''"]),
        (["two\nlines"], ["unexpected argument"]),
    ],
)
def test_options_refused(root, arguments, words):
    assert_refused(options(root, *arguments), *words)
    assert not (root / "evil").exists()


def test_options_ignore_the_environment(root):
    assert_refused(options(root, "extra", positional="true"), "unexpected argument")
    assert options(root, option_files="/dev/null").returncode == 0


def test_options_positional_stay(root):
    write_script(root / "options.sh", "positional=true\n" + OPTIONS.replace('"$#"', '"$#" "$@"'))
    assert options(root, "a b", "--stage", "3", "c").stdout == "3||a b|false|1|2|a b|c|"


def test_options_help_shows_comments_and_values_in_force(root):
    result = options(root, "--stage", "4", "--help")
    assert result.returncode == 0
    assert result.stdout.startswith("Says what it was given.\n")
    assert "--stage          first stage (default: 4)" in result.stdout
    assert "undeclared" not in result.stdout
    assert "late" not in result.stdout


def test_engine_runs_all_stages_and_ends_with_the_table(engine, root):
    result = engine("--n_test", "3", "--corpus-folder", "$(x) 'y'")
    assert result.returncode == 0, result.stderr
    log = engine.log.read_text()
    assert "corpus_folder=$(x) 'y' n_test=3 rate=8000 nj=2" in log
    modules = [line.split()[1].strip("'").rsplit(".", 1)[1] for line in log.splitlines() if line.startswith("'-m'")]
    assert modules == ["config"] + ["dump"] * 4 + ["check_data"] * 2 + [
        "train",
        "decode",
        "decode",
        "score",
        "export",
    ]
    exp = root / "exp" / "mini"
    data = root / "data"
    assert "--command_line' './run.sh --n_test 3 --corpus-folder" in log
    assert f"'--expdir' '{exp}' '--data' '{data}/test' '{data}/other' '--nj' '2'" in log
    (resolved,) = re.findall(r"'--out' '(\S+/config.yaml)'", log)
    reads_it = [
        line.split()[1].strip("'").rsplit(".", 1)[1] for line in log.splitlines() if f"'--config' '{resolved}'" in line
    ]
    assert reads_it == ["dump"] * 4 + ["train", "decode", "decode", "score", "export"]
    assert "the table" in result.stdout
    for stage in range(6):
        assert f"stage {stage} done in " in result.stdout
    assert not any(engine.cwd.iterdir())


def test_engine_separates_and_scores_again(engine):
    assert engine().returncode == 0
    engine.log.write_text("")
    result = engine("--stage", "3", "--stop_stage", "4")
    assert result.returncode == 0, result.stderr
    modules = re.findall(r"bin\.(\w+)", engine.log.read_text())
    assert [module for module in modules if module != "config"] == ["decode", "decode", "score"]


def test_engine_takes_a_built_in_model_in_place_of_training(engine, root):
    checkpoint = root / "mindaudio_ext" / "pretrained" / "voices" / "checkpoints" / "best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("weights")
    (checkpoint.parents[1] / "config.yaml").touch()
    for _ in range(2):
        result = engine("--pretrained", "voices")
        assert result.returncode == 0, result.stderr
    modules = re.findall(r"bin\.(\w+)", engine.log.read_text())
    assert modules == 2 * (["config"] + ["decode"] * 2 + ["score", "export"])
    assert f"'--config' '{root}/exp/voices/config.yaml'" in engine.log.read_text()
    assert (root / "exp" / "voices" / "checkpoints" / "best.ckpt").read_text() == "weights"
    assert sorted(os.listdir(root / "exp")) == ["voices"]
    checkpoint.write_text("others")
    assert_refused(engine("--pretrained", "voices"), "exp/voices holds another model than voices")


def test_engine_makes_a_built_in_models_folder_without_touching_another(engine, root):
    model = root / "mindaudio_ext" / "pretrained" / "voices"
    model.mkdir(parents=True)
    (model / "config.yaml").write_text("")
    for name in ("thesis.part", ".tmp.thesis"):
        (engine.cwd / name).mkdir()
        (engine.cwd / name / "chapter.tex").write_text("mine")
    (engine.cwd / "link").symlink_to(engine.cwd / "nowhere")
    result = engine("--pretrained", "voices", "--expdir", "thesis", "--stop_stage", "0")
    assert result.returncode == 0, result.stderr
    assert (engine.cwd / "thesis" / "config.yaml").is_file()
    assert_refused(engine("--pretrained", "voices", "--expdir", "link"), "link holds another model")
    assert_refused(engine("--pretrained", "voices", "--expdir", "thesis/config.yaml/x"), "cannot be made")
    assert sorted(os.listdir(engine.cwd)) == [".tmp.thesis", "link", "thesis", "thesis.part"]
    assert (engine.cwd / "thesis.part" / "chapter.tex").read_text() == "mine"


def test_engine_recipe_overlays_the_root(engine, root, tmp_path):
    recipe = tmp_path / "my recipe"
    write_script(recipe / "local" / "mini_data.sh", DATA_SCRIPT.replace("n_test", "n_other"))
    (recipe / "tools").symlink_to(root / "tools")
    (recipe / "conf").mkdir()
    (recipe / "conf" / "mini.yaml").write_text("")
    result = engine("--recipe", recipe, "--stop_stage", "1", "--n_other", "1")
    assert result.returncode == 0, result.stderr
    assert f"'--config' '{recipe}/conf/mini.yaml'" in engine.log.read_text()
    assert "n_other=1 " in engine.log.read_text()
    assert (recipe / "dump" / "other" / "manifest.json").exists()
    assert not (root / "data").exists()
    assert_refused(engine("--recipe", recipe, "--n_test", "1"), "unknown option --n_test")


def test_engine_hands_overrides_on(engine):
    engine("--stop_stage", "0", "--train_args", "lr=0.1 seed=$(id)", "--device_id", "3")
    assert "'--set= device_id=3' '--set=lr=0.1 seed=$(id)'" in engine.log.read_text()


@pytest.mark.parametrize("folder", ["/a corpus", "/two\nlines", "/a$(touch evil)'\"b"])
def test_engine_asks_for_values_of_any_characters(engine, folder):
    assert engine("--stop_stage", "0", STUB_CORPUS=folder).returncode == 0
    assert f"corpus_folder={folder} n_test" in engine.log.read_text()
    assert not any(engine.cwd.iterdir())


def test_engine_fills_the_corpus_from_the_config(engine):
    engine("--stop_stage", "0", STUB_CORPUS="/a corpus")
    assert "corpus_folder=/a corpus" in engine.log.read_text()
    engine("--stop_stage", "0", "--corpus_folder", "/given", STUB_CORPUS="/a corpus")
    assert "corpus_folder=/given" in engine.log.read_text()


def test_engine_help_lists_the_data_scripts_options(engine, root):
    result = engine("--help")
    own, _, other = result.stdout.partition("Options of mini_data.sh:")
    assert "--train_args" in own
    assert "--n_test         test mixtures (default: 10)" in other
    assert own.count("--nj ") == 1
    assert "--nj " not in other
    assert "--sample_rate" not in result.stdout
    assert not engine.log.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--stage", "1"], ["/data/train/wav.scp is missing: stage 0 makes it"]),
        (["--stage", "2"], ["/dump/train/manifest.json is missing: stage 1 makes it"]),
        (["--stage", "3"], ["/exp/mini/config.yaml is missing: stage 2 makes it"]),
        (["--stage", "6"], ["--stage must be a whole number, 0 to 5, not '6'"]),
        (["--stage", "3", "--stop_stage", "2"], ["nothing to do"]),
        (["--nj", "0"], ["--nj must be a whole number, 1 to 1024, not '0'"]),
        (["--nj", "1025"], ["--nj must be a whole number, 1 to 1024, not '1025'"]),
        (["--nj", 401 * "9"], ["--nj must be a whole number, 1 to 1024, not '999"]),
        (["--ngpu", "0"], ["--ngpu must be a whole number, 1 to 1024"]),
        (["--num_nodes", "0"], ["--num_nodes must be a whole number, 1 to 1024"]),
        (["--device_id", "-1"], ["--device_id must be a whole number, 0 to 1023, not '-1'"]),
        (["--master_port", "80"], ["--master_port must be a whole number, 1024 to 65534, not '80'"]),
        (["--ngpu", "2", "--device_id", "1"], ["--device_id 1: picks the card when one is used"]),
        (["--config", "none.yaml"], ["none.yaml"]),
        (["--recipe", "nowhere"], ["nowhere is not a folder"]),
        (["--pretrained", "none"], ["--pretrained none: no such built-in model"]),
        (["--data_script", "local/none_data.sh"], ["local/none_data.sh", "--stage 1"]),
        (["--sample_rate", "8000"], ["unknown option --sample_rate"]),
        (["--data", "x"], ["unknown option --data"]),
    ],
)
def test_engine_refuses(engine, arguments, words):
    assert_refused(engine(*arguments), *words)


def test_engine_names_the_stage_of_what_is_missing(engine, root):
    assert engine().returncode == 0
    shutil.rmtree(root / "exp" / "mini" / "separated_other")
    assert_refused(engine("--stage", "4"), "separated_other/spk1.scp is missing: stage 3 makes it")
    (root / "exp" / "mini" / "checkpoints" / "best.ckpt").unlink()
    assert_refused(engine("--stage", "3"), "best.ckpt is missing: stage 2 makes it")
    given = ("--stage", "3", "--stop_stage", "3", "--model_path", "my model.ckpt")
    assert_refused(engine(*given), "--model_path my model.ckpt: no such file")
    (engine.cwd / "my model.ckpt").touch()
    assert engine(*given).returncode == 0
    assert "'--text' 'model_path=my model.ckpt'" in engine.log.read_text()
    before = (root / "exp" / "mini" / "config.yaml").stat().st_mtime_ns
    assert engine(*given, "--train_args", "cal_sdr=true").returncode == 0
    assert (root / "exp" / "mini" / "config.yaml").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ("", "train --config"),
        (
            "--ngpu 2",
            "launch --ngpu 2 --num_nodes 1 --node_rank 0 --log_dir {exp}/log mindaudio_ext.bin.train --config",
        ),
        (
            "--num_nodes 2 --node_rank 1 --master_addr 10.0.0.1 --master_port 8118",
            "launch --ngpu 1 --num_nodes 2 --node_rank 1 --master_addr 10.0.0.1 --master_port 8118 "
            "--log_dir {exp}/log mindaudio_ext.bin.train --config",
        ),
    ],
)
def test_engine_trains_in_one_process_or_launches_several(engine, root, options, command):
    assert engine().returncode == 0
    engine.log.unlink()
    result = engine("--stage", "2", "--stop_stage", "2", *options.split())
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in engine.log.read_text().splitlines() if "mindaudio_ext.bin.train" in line]
    assert line.replace("'", "").startswith(f"-m mindaudio_ext.bin.{command.format(exp=root / 'exp/mini')} ")


def test_jobs_have_the_options_of_their_stage_in_slurm_conf(engine):
    """The check before a training scores test sets: the devices of stage 2 are not for it."""
    result = engine()
    assert result.returncode == 0, result.stderr
    stages = Path(f"{engine.log}.stages").read_text().splitlines()
    wanted = {"config": "", "dump": "1", "check_data": "4", "train": "2", "decode": "3", "score": "4", "export": "5"}
    assert set(stages) == {f"{stage} mindaudio_ext.bin.{name}" for name, stage in wanted.items()}


@pytest.mark.parametrize(("status", "expected"), [("2", 2), ("1", 1), ("137", 1)])
def test_engine_passes_the_status_on_and_names_the_stage(engine, status, expected):
    result = engine(STUB_FAIL="mindaudio_ext.bin.train", STUB_STATUS=status)
    assert result.returncode == expected
    assert ("stage 2 failed" in result.stderr) == (expected == 1)
    result = engine(STUB_FAIL="mindaudio_ext.bin.config", STUB_STATUS=status)
    assert (result.returncode, result.stderr) == (expected, "the stage's line\n")


def test_engine_checks_the_test_sets_before_it_trains(engine):
    result = engine("--force", "true", STUB_FAIL="mindaudio_ext.bin.check_data", STUB_STATUS="2")
    assert (result.returncode, result.stderr) == (2, "the stage's line\n")
    log = engine.log.read_text()
    assert "data/test' '--before_training' 'true' '--force' 'true'" in log
    assert "bin.train" not in log


def test_engine_runs_commands_of_scp_files_only_when_told(engine):
    for given, passed in (((), "false"), (("--allow_pipes", "true"), "true")):
        engine(*given)
        readers = [line for line in engine.log.read_text().splitlines() if "'--allow_pipes'" in line]
        assert [line.split("'")[3].rpartition(".")[2] for line in readers] == [
            *["dump"] * 4,
            *["check_data"] * 2,
            *["decode", "decode", "score", "export"],
        ]
        assert all(f"'--allow_pipes' '{passed}'" in line for line in readers)
        engine.log.unlink()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_engine_leaves_no_orphans(engine, root):
    env = os.environ | {"STUB_LOG": str(engine.log), "STUB_SLEEP": "mindaudio_ext.bin.train"}
    sleeper = Path(f"{engine.log}.sleeper")
    with subprocess.Popen([root / "run.sh"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        for _ in range(300):
            if sleeper.exists() and sleeper.read_text().strip():
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 128 + signal.SIGTERM
    assert not is_running(int(sleeper.read_text()))


def test_recipes_put_the_users_options_last(root, engine):
    for recipe in sorted((ROOT / "egs").glob("*/*/run.sh")):
        target = root / recipe.relative_to(ROOT)
        write_script(target, recipe.read_text())
        (target.parent / "conf").mkdir()
        (config,) = re.findall(r"conf/(\w+)\.yaml\" --?", recipe.read_text().replace("\\\n    ", ""))
        (target.parent / "conf" / f"{config}.yaml").write_text("")
        command = [target, "--data_script", "local/mini_data.sh", "--n_test", "1", "--stop_stage", "2"]
        result = run(*command, cwd=engine.cwd, STUB_LOG=str(engine.log))
        assert result.returncode == 0, result.stderr
        assert (target.parent / "exp" / config / "config.yaml").exists()
        assert recipe.stat().st_mode & 0o111


def test_new_recipe(root, tmp_path):
    egs = tmp_path / "egs"
    command = ["bash", "tools/new_recipe.sh", "wsj0mix", "tcn", "--separator", "tcn", "--egs", egs]
    before = os.umask(0o027)
    assert run(*command, cwd=root).returncode == 0
    os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in egs.rglob("*") if path.is_dir()} == {0o750}
    made = {str(path.relative_to(egs)) for path in egs.rglob("*") if path.is_file()}
    assert made == {f"wsj0mix/tcn/{name}" for name in ("run.sh", "conf/tcn.yaml", "README.md", "RESULTS.md")}
    assert '"$@"' in (egs / "wsj0mix/tcn/run.sh").read_text().splitlines()[-1]
    assert (egs / "wsj0mix/tcn/RESULTS.md").read_text().endswith("not measured\n")
    assert_refused(run(*command, cwd=root), "is there already")
    assert_refused(run("bash", "tools/new_recipe.sh", "wsj0mix", cwd=root), "usage")
    assert_refused(run("bash", "tools/new_recipe.sh", "../x", "tcn", cwd=root), "'../x'")


# A Python that makes environments of itself and notes every pip install; FAIL_AT makes one of them fail.
FAKE_PYTHON = r"""#!/usr/bin/env bash
case "$1 ${2-} ${3-}" in
    "-c "*ensurepip*) printf '%s\n' "$0" 3.12.1 ;;
    "-c "*) ;;
    "-m venv"*) echo "venv" >>"$PIP_LOG"; mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
    "-m pip install")
        echo "${@: -1}" >>"$PIP_LOG"
        if [[ ${FAIL_AT-} == "${@: -1}" ]]; then echo "the network is down"; exit 1; fi
        if [[ $* == *" -e "* ]]; then cp "$0" "$(dirname "$0")/mindaudio-separate"; fi ;;
esac
"""
FAILING = "#!/bin/sh\nexit 127\n"
NAMES = ("python3.11", "python3.12", "python3.10", "python3", "python")


@pytest.fixture
def setup(tmp_path):
    """Runs a copy of the set-up where only the python3.12 works."""
    root = tmp_path / "the root"
    (root / "tools").mkdir(parents=True)
    for name in ("setup.sh", "common.sh"):
        shutil.copy(ROOT / "tools" / name, root / "tools" / name)
    (root / "requirements.txt").write_text("setuptools==1\nmindspore==2\nmindaudio==3\nsmall==1\n")
    (root / "pyproject.toml").write_text("")
    for name in NAMES:
        write_script(tmp_path / "bin" / name, FAKE_PYTHON if name == "python3.12" else FAILING)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"

    def call(*options, **env):
        call.log.write_text("")
        return run(root / "tools" / "setup.sh", *options, cwd=tmp_path, PATH=path, PIP_LOG=str(call.log), **env)

    call.log = tmp_path / "pip.log"
    call.root = root
    return call


def test_setup_passes_over_launchers_that_fail_and_is_quick_the_second_time(setup):
    assert setup().returncode == 0
    requirements = str(setup.root / "requirements.txt")
    assert setup.log.read_text().splitlines() == ["venv", "setuptools==1", requirements, str(setup.root)]
    result = setup("--print")
    assert result.stdout == f"{setup.root}/tools/venv/bin\n"
    assert setup.log.read_text() == ""


def test_setup_finishes_what_was_interrupted(setup):
    result = setup(FAIL_AT=str(setup.root / "requirements.txt"))
    assert result.returncode == 1
    assert "the network is down" in result.stderr
    (setup.root / "tools" / "venv" / "half made").write_text("")
    assert setup().returncode == 0
    assert setup.log.read_text().startswith("venv\n")
    assert not (setup.root / "tools" / "venv" / "half made").exists()


@pytest.mark.parametrize("kind", ["environment", "link"])
def test_setup_leaves_an_environment_that_it_did_not_make(setup, tmp_path, kind):
    venv = setup.root / "tools" / "venv"
    mine = venv if kind == "environment" else tmp_path / "mine"
    write_script(mine / "bin" / "python", "#!/bin/sh\n")
    if kind == "link":
        (mine / "setup.log").write_text("")
        venv.symlink_to(mine)
    assert_refused(setup(), "tools/venv is there and was not made by tools/setup.sh; activate it, or move it away")
    assert (mine / "bin" / "python").read_text() == "#!/bin/sh\n"
    assert venv.is_symlink() == (kind == "link")


def test_setup_lite_leaves_an_environment_that_it_did_not_make(root, tmp_path):
    mine = root / "tools" / "lite"
    write_script(mine / "bin" / "python", "#!/bin/sh\n")
    (mine / "pyvenv.cfg").write_text("home = /usr/bin\n")
    python = write_script(tmp_path / "python3.7", FAKE_PYTHON)
    result = run("bash", "tools/setup_lite.sh", cwd=root, PYTHON37=str(python), PIP_LOG=str(tmp_path / "log"))
    assert_refused(result, "tools/lite is there and was not made by tools/setup_lite.sh; move it away")
    assert (mine / "bin" / "python").read_text() == "#!/bin/sh\n"


@pytest.mark.parametrize(
    ("closed", "command", "line"),
    [
        ("tools", "tools/setup_lite.sh", "setup_lite.sh: error: tools/lite: cannot be written"),
        ("tools", "tools/real_setup.sh", "real_setup.sh: error: tools/venv: cannot be written"),
        ("egs", "tools/new_recipe.sh two two", "new_recipe.sh: error: --egs {root}/egs: cannot be made a folder"),
        ("egs/one", "tools/new_recipe.sh one two", "new_recipe.sh: error: --egs {root}/egs: cannot be made a folder"),
        (
            "egs",
            "tools/validate_data_dir.sh data",
            "validate_data_dir.sh: error: {root}/egs/mindspore_{uid}: cannot be",
        ),
        ("egs", "run.sh --pretrained one --expdir egs/new", "run.sh: error: --expdir egs/new: cannot be made"),
    ],
)
def test_what_scripts_may_not_write_is_named(root, tmp_path, closed, command, line):
    for name in ("python3.7", "python3.12"):
        write_script(tmp_path / name, FAKE_PYTHON)
    shutil.copy(ROOT / "tools" / "setup.sh", root / "tools" / "real_setup.sh")
    for name in ("requirements.txt", "pyproject.toml"):
        (root / name).write_text("")
    (root / "egs" / "one").mkdir(parents=True)
    write_script(root / "mindaudio_ext/pretrained/one/config.yaml", "")
    env = {"PYTHON37": str(tmp_path / "python3.7"), "PYTHON": str(tmp_path / "python3.12"), "TMPDIR": str(root / "egs")}
    env |= {"MS_OM_PATH": "", "STUB_LOG": str(tmp_path / "log"), "PIP_LOG": str(tmp_path / "log")}
    if closed == "egs" and "validate" not in command:
        env["MS_OM_PATH"] = str(tmp_path)
    with locked_up(root / closed, 0o555):
        result = run(*AS_A_USER, "bash", *command.split(), cwd=root, **env)
    assert_refused(result, line.format(root=root, uid=os.getuid()))


def test_setup_updates_when_the_pins_change(setup):
    setup()
    (setup.root / "requirements.txt").write_text("setuptools==2\n")
    assert setup().returncode == 0
    assert "venv" not in setup.log.read_text().splitlines()
    assert "setuptools==2" in setup.log.read_text()


def test_setup_without_python(setup, tmp_path):
    write_script(tmp_path / "bin" / "python3.12", FAILING)
    assert_refused(setup(), "no Python 3.10, 3.11 or 3.12")
    assert_refused(setup(PYTHON="bad python"), "PYTHON=bad python")


def test_setup_refuses_a_bad_python_even_when_complete(setup):
    setup()
    assert_refused(setup(PYTHON="/no/such"), "PYTHON=/no/such")


def test_setup_two_at_once_install_once(setup, tmp_path):
    env = os.environ | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PIP_LOG": str(setup.log)}
    for name in ("PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX"):
        env.pop(name, None)
    both = [subprocess.Popen([setup.root / "tools" / "setup.sh"], env=env, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    assert setup.log.read_text().splitlines().count("venv") == 1


def active_environment(folder: Path, packages: dict[str, str]) -> Path:
    """An environment whose Python knows the given packages only."""
    (folder / "bin").mkdir(parents=True)
    (folder / "site").mkdir()
    for name, version in packages.items():
        info = folder / "site" / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    isolated = f'PYTHONPATH="{folder}/site" exec "{shutil.which("python3")}" -S "$@"'
    write_script(folder / "bin" / "python", f"#!/bin/sh\n{isolated}\n")
    return folder


def test_setup_uses_the_active_environment_as_it_is(setup, tmp_path):
    packages = {"mindspore": "2", "mindaudio": "3", "setuptools": "1", "small": "9"}
    folder = active_environment(tmp_path / "active env", packages)
    assert setup("--print", VIRTUAL_ENV=str(folder)).stdout == f"{folder}/bin\n"
    assert setup.log.read_text() == ""
    shutil.rmtree(folder / "site" / "small-9.dist-info")
    assert_refused(setup(VIRTUAL_ENV=str(folder)), "not: small")
    shutil.rmtree(folder / "site" / "mindspore-2.dist-info")
    assert setup("--print", VIRTUAL_ENV=str(folder)).stdout == f"{setup.root}/tools/venv/bin\n"
