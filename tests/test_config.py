"""Configs: layers, aliases, and a line that names the key for every mistake."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mindaudio_ext.bin.config import main
from mindaudio_ext.config import (
    ALIASES,
    BEFORE,
    Config,
    decoded_values,
    load_config,
    make_config,
    read_resolved,
    refuse_other_training,
    save_config,
)
from mindaudio_ext.config.key import Key
from mindaudio_ext.errors import InputError

ROOT = Path(__file__).parents[1]
BASE = ROOT / "conf" / "base.yaml"
RECIPES = [ROOT / "conf" / "mini.yaml", *sorted(ROOT.glob("egs/*/*/conf/*.yaml"))]


@pytest.fixture
def conf(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return path

    return write


def _value(config, key):
    mapping, _, name = key.partition(".")
    return getattr(config, mapping)[name] if name else getattr(config, key)


def test_base_has_every_key_in_the_order_of_the_record():
    assert list(yaml.safe_load(BASE.read_text())) == [field.name for field in dataclasses.fields(Config)]


def test_base_alone():
    config = load_config(BASE, None)
    assert (config.sample_rate, config.num_spks, config.n_filters, config.kernel_size) == (8000, 2, 64, 2)
    assert config.test_sets == ("test",)
    assert config.separator_conf["chunk_size"] == 250  # the constructor's default, filled in
    assert config.stride is None


def test_overrides_win_over_the_recipe_and_the_recipe_over_base(conf):
    recipe = conf("lr: 0.5\nepochs: 7\nseparator_conf: {chunk_size: 100, n_blocks: 2}\n")
    config = load_config(BASE, recipe, ["epochs=8 separator_conf.chunk_size=64", "epochs=9"])
    assert (config.lr, config.epochs, config.batch_size) == (0.5, 9, 4)
    assert (config.separator_conf["chunk_size"], config.separator_conf["n_blocks"]) == (64, 2)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("lr=1e-3", "lr", 0.001),  # text in YAML 1.1
        ("lr=1", "lr", 1.0),
        ("cv_maxlen=6", "cv_maxlen", 6.0),
        ("cv_maxlen=null", "cv_maxlen", None),
        ("test_sets=dev", "test_sets", ("dev",)),
        ("'test_sets=[dev, test]'", "test_sets", ("dev", "test")),
        ("export_segment=4", "export_segment", (4.0,)),
        ("'export_segment=[4, 0.5]'", "export_segment", (4.0, 0.5)),
        ("export_targets=ONNX", "export_targets", ("onnx",)),
        ("device_target=ascend", "device_target", "Ascend"),
        ("norm=gln", "separator_conf.norm", "gLN"),
        (
            "scheduler=plateau scheduler_conf.patience=5",
            "scheduler_conf",
            {"factor": 0.5, "patience": 5, "after": 0, "warmup_steps": 0},
        ),
        ("early_stop=null", "early_stop", None),
        ("scheduler=milestones", "scheduler_conf.epochs", [15, 45, 75]),
        ("scheduler=milestones scheduler_conf.epochs=[4,8]", "scheduler_conf.epochs", [4, 8]),
        ("out_channels=32 n_filters=32", "n_filters", 32),
        ("corpus_dir='a b/c'", "corpus_dir", "a b/c"),
        ("cal_sdr=false", "cal_sdr", False),
    ],
)
def test_values_are_understood(override, key, value):
    got = _value(load_config(BASE, None, [override]), key)
    assert got == value
    assert type(got) is type(value)


ALIAS_VALUES = {"train_dir": "a", "valid_dir": "a", "data_dir": "a", "in_dir": "a", "out_dir": "a", "l2": 0.25}
ALIAS_VALUES |= {"rnn_type": "lstm", "norm": "gln"}
CANONICAL_VALUES = {"data_dir": ("a",), "rnn_type": "LSTM", "norm": "gLN"}


@pytest.mark.parametrize("alias", ALIASES)
def test_alias_sets_its_key_and_both_are_refused(alias):
    value = ALIAS_VALUES.get(alias, 12)
    key = ALIASES[alias]
    assert _value(load_config(BASE, None, [f"{alias}={value}"]), key) == CANONICAL_VALUES.get(alias, value)
    with pytest.raises(InputError, match=rf"{alias}.*given twice"):
        load_config(BASE, None, [f"{key}={value} {alias}={value}"])


@pytest.mark.parametrize(
    ("separator", "wanted"), [("sepreformer", "mapping"), ("tfgridnet", "mapping"), ("tiger", "complex")]
)
def test_a_mask_activation_of_which_the_separator_can_make_no_use(separator, wanted):
    words = f"mask_activation: separator '{separator}' takes {wanted}, got"
    with pytest.raises(InputError, match=rf"base\.yaml: {words} relu"):
        load_config(BASE, None, [f"separator={separator}"])
    with pytest.raises(InputError, match=f"^test: {words} sigmoid"):
        make_config({"separator": separator, "mask_activation": "sigmoid"}, "test")
    assert make_config({"separator": separator, "mask_activation": wanted}, "test").separator == separator


def test_naming_another_scheduler_drops_the_options_of_the_first(conf):
    recipe = conf("scheduler: exponential\nscheduler_conf: {every: 4}\n")
    assert load_config(BASE, recipe).scheduler_conf == {"factor": 0.98, "every": 4, "after": 0, "warmup_steps": 0}
    assert load_config(BASE, recipe, ["scheduler=linear"]).scheduler_conf == {"warmup_steps": 0, "final_factor": 0.0}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batchsize=3", r"unknown key 'batchsize' \(did you mean 'batch_size'\?\)"),
        ("chunk_size=4", "unknown key 'chunk_size'"),
        ("separator_conf.chunksize=4", r"has no option 'chunksize' \(did you mean 'chunk_size'\?\)"),
        ("scheduler_conf.factor=4", "scheduler 'constant' has no option 'factor'"),
        ("scheduler=plateau scheduler_conf.factor=1", r"scheduler_conf\.factor: must be above 0 and below 1, got 1"),
        ("scheduler=milestones scheduler_conf.epochs=4", r"scheduler_conf\.epochs: expected a list of whole numbers"),
        ("scheduler=milestones scheduler_conf.epochs=[4,x]", r"scheduler_conf\.epochs: expected a whole number"),
        ("batch_size=6 accum_steps=4", r"accum_steps: must divide batch_size \(6\), got 4"),
        ("decode_checkpoint=average", "decode_checkpoint: there is no average while average_best is 1"),
        ("separator=dprn", r"no separator 'dprn' \(did you mean 'dprnn'\?\)"),
        ("lr=fast", "lr: expected a number, got text 'fast'"),
        ("lr=true", "lr: expected a number, got true"),
        ("lr=.nan", "lr: must be finite"),
        ("lr=0", "lr: must be above 0"),
        ("batch_size=2.0", "batch_size: expected a whole number, got 2.0"),
        ("epochs=true", "epochs: expected a whole number, got true"),
        ("epochs=0", "epochs: must be at least 1 and at most 1000000, got 0"),
        ("cal_sdr=1", "cal_sdr: expected true or false, got 1"),
        ("train_set=100", "train_set: expected text, got 100"),
        ("train_set=a/b", "train_set: expected a plain name"),
        ("valid_set=..", "valid_set: expected a plain name"),
        ("test_sets=[]", "test_sets: expected a name or a list"),
        ("test_sets=[a,a]", "test_sets: a name is given twice"),
        ("export_segment=[]", "export_segment: expected a number or a list of numbers, got a list"),
        ("export_segment=null", "export_segment: expected a number or a list of numbers, got null"),
        ("export_segment=[4,4.0]", "export_segment: a number is given twice"),
        ("export_segment=[4,0]", "export_segment: must be at most 600 and above 0, got 0.0"),
        ("export_segment=[4,1e-4]", "export_segment: 0.0001 s are 1 samples, fewer than kernel_size"),
        ("export_targets=om", "export_targets: expected one of host, ascend, onnx, got 'om'"),
        ("export_batch=0", "export_batch: must be at least 1"),
        ("export_utterances=0", "export_utterances: must be at least 1"),
        ("num_spks=1", "num_spks: must be at least 2 and at most 5, got 1"),
        ("num_spks=6", "num_spks: must be at least 2 and at most 5, got 6"),
        ("sample_rate=0", "sample_rate: must be at least 1000"),
        ("segment=0", "segment: must be at most 600 and above 0, got 0.0"),
        ("segment=1e-4", "segment: 0.0001 s are 1 samples, fewer than kernel_size"),
        ("kernel_size=1", "kernel_size: must be at least 2"),
        ("stride=3", r"stride: must be at most kernel_size \(2\), got 3"),
        ("momentum=1", "momentum: must be at least 0 and below 1"),
        ("out_channels=32", r"out_channels: masks multiply .* must equal n_filters \(64\), got 32"),
        ("K=251", r"K \(separator_conf.chunk_size\): must be even"),
        ("K=0", r"chunk_size\): must be at least 2 and at most 65536, got 0"),
        ("separator_conf.chunk_size=abc", r"separator_conf\.chunk_size: expected a whole number, got text 'abc'"),
        ("separator_conf.hop_size=251", r"separator_conf\.hop_size: must be at most chunk_size \(250\)"),
        ("separator_conf.hidden_size=0", r"separator_conf\.hidden_size: must be at least 1"),
        ("separator_conf.bidirectional=1", r"separator_conf\.bidirectional: expected true or false, got 1"),
        ("separator_conf.dropout=1", r"separator_conf\.dropout: must be at least 0 and below 1"),
        ("norm=bn", r"norm \(separator_conf\.norm\): expected one of gLN, cLN, cgLN, LN, got 'bn'"),
        (
            "separator=tcn separator_conf.skip_size=-1",
            r"skip_size: must be at least 0 and at most 65536, got -1",
        ),
        ("separator=tcn norm=bn", r"separator_conf\.norm\): expected one of gLN, cLN, cgLN, got 'bn'"),
        ("separator=tcn K=4", r"separator 'tcn' has no option 'chunk_size'"),
        ("separator=rnn separator_conf.dropout=1", r"separator_conf\.dropout: must be at least 0 and below 1"),
        ("separator=dptnet K=1", r"separator_conf\.chunk_size\): must be at least 2 and at most 65536, got 1"),
        ("encoder_activation=gate", "encoder_activation: expected one of linear, relu, gelu, gated, got 'gate'"),
        ("separator_conf=3", "separator_conf: expected a mapping, got 3"),
        ("device_target=GPU", "device_target: expected one of CPU, Ascend, got 'GPU'; MindSpore 2.10 has no GPU"),
        ("conversation_noise=[pink]", "conversation_noise: is of conversations, and conversations is false"),
        (
            "conversations=true conversation_noise=[none,pink] mixture_consistency=true",
            r"mixture_consistency: estimates cannot add up to a mixture with noise \(conversation_noise\); set it",
        ),
        (
            "conversation_noise=[green]",
            r"conversation_noise: expected one of none, white, pink, brown, babble, got 'gr",
        ),
        ("conversation_snr=[9,3]", r"conversation_snr: the least and the most are expected, got \[9\.0, 3\.0\]"),
        ("conversations=true conversation_rt60=[0.3]", r"conversation_rt60: the least and the most are expected, got"),
        ("conversations=true conversation_rt60=[0.2,2]", "conversation_rt60: must be at least 0.1 and at most 1"),
        ("lr", "expected key=value, got 'lr'"),
        ("lr=1 lr=2", "key 'lr' is given twice"),
        ("'lr=1", "No closing quotation"),
        ("lr=[1", "override 'lr=.1'"),
    ],
)
def test_refuses(override, message):
    with pytest.raises(InputError, match=message):
        load_config(BASE, None, [override])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: 1\nepochs: 3\nlr: 2\n", r"recipe.yaml, line 3: key 'lr' is given twice"),
        ("separator_conf:\n  n_blocks: 1\n  n_blocks: 2\n", "line 3: key 'n_blocks' is given twice"),
        ("separator_conf: {n_blocks: 1}\nseparator_conf.n_blocks: 2\n", "key 'separator_conf.n_blocks' is given twice"),
        ("- lr\n", "recipe.yaml: expected a mapping"),
        ("lr: [1\n", r"recipe.yaml, line 2: expected"),
        ("lr: fast\n", "recipe.yaml: lr: expected a number"),
        ("1: 2\n", "recipe.yaml: a key must be text, got 1"),
        ("[a]: 2\n", "line 1: a key must be a word"),
        ("lr: 1\n---\nlr: 2\n", "recipe.yaml, line 2: but found another document"),
        ("train_set: 2020-99-99\n", "recipe.yaml: not YAML: month must be in"),
    ],
)
def test_refuses_files_naming_file_and_line(conf, text, message):
    with pytest.raises(InputError, match=message):
        load_config(BASE, conf(text))


def test_refuses_a_missing_and_a_binary_file(tmp_path):
    with pytest.raises(InputError, match="no such config file"):
        load_config(BASE, tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01\x80")
    with pytest.raises(InputError, match=r"binary\.yaml"):
        load_config(BASE, tmp_path / "binary.yaml")


def test_empty_recipe_is_base(conf):
    assert load_config(BASE, conf("# nothing differs\n")) == load_config(BASE, None)


def test_saved_config_reads_back_equal_and_byte_stable(tmp_path):
    config = load_config(BASE, None, ["lr=1e-5 test_sets=[a,b] K=64 scheduler=exponential segment=1.1"])
    save_config(config, tmp_path / "one.yaml")
    save_config(read_resolved(tmp_path / "one.yaml"), tmp_path / "two.yaml")
    assert read_resolved(tmp_path / "two.yaml") == config
    assert (tmp_path / "one.yaml").read_bytes() == (tmp_path / "two.yaml").read_bytes()
    assert load_config(BASE, tmp_path / "one.yaml") == config
    assert list(yaml.safe_load((tmp_path / "one.yaml").read_text())) == list(yaml.safe_load(BASE.read_text()))


def test_a_config_without_the_later_keys_is_the_config_that_says_them(tmp_path):
    save_config(load_config(BASE, None), tmp_path / "config.yaml")
    whole = yaml.safe_load((tmp_path / "config.yaml").read_text())
    older = {key: value for key, value in whole.items() if key not in BEFORE}
    (tmp_path / "older.yaml").write_text(yaml.safe_dump(older))
    (tmp_path / "newer.yaml").write_text(yaml.safe_dump({**whole, **BEFORE}))
    assert read_resolved(tmp_path / "older.yaml") == read_resolved(tmp_path / "newer.yaml")


def test_resolved_config_must_be_whole(conf):
    with pytest.raises(InputError, match=r"recipe\.yaml: key 'sample_rate' is missing"):
        read_resolved(conf("lr: 1\n"))


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_config(BASE, None).lr = 1.0


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT)))
def test_recipes_hold_only_differences_and_resolve(path):
    config = load_config(BASE, path)
    base, recipe = (yaml.safe_load(file.read_text()) for file in (BASE, path))
    same = [key for key, value in recipe.items() if base[key] == value]
    assert same == []
    assert config.separator == recipe.get("separator", "dprnn")


def test_published_configuration():
    config = load_config(BASE, ROOT / "egs/librimix/dprnn/conf/dprnn.yaml")
    assert (config.kernel_size, config.n_filters, config.segment, config.batch_size) == (2, 64, 4.0, 32)
    assert (config.separator_conf["chunk_size"], config.separator_conf["bottleneck_size"]) == (250, 128)
    assert (config.separator_conf["hidden_size"], config.separator_conf["n_blocks"]) == (128, 6)
    options = {"factor": 0.98, "every": 2, "after": 0, "warmup_steps": 0}
    assert (config.scheduler, config.scheduler_conf) == ("exponential", options)
    assert (config.train_set, config.epochs, config.clip_norm) == ("train-100", 100, 5.0)
    small = load_config(BASE, ROOT / "egs/librimix/dprnn/conf/dprnn_small.yaml")
    assert (small.kernel_size, small.separator_conf["chunk_size"]) == (16, 100)


def test_command_prints_a_value_a_line_and_saves(capsys, tmp_path):
    arguments = ["--base", str(BASE), "--set", "test_sets=[dev,test]", "--set", "K=64", "--out", str(tmp_path / "c")]
    main([*arguments, "--print", "test_sets", "cv_maxlen", "cal_sdr", "separator_conf.chunk_size", "lr"])
    assert capsys.readouterr().out == "dev test\n\ntrue\n64\n0.001\n"
    assert read_resolved(tmp_path / "c").test_sets == ("dev", "test")


def test_command_prints_the_options_of_every_mapping(capsys):
    arguments = ["--base", str(BASE), "--set", "model=mindaudio.conv_tasnet model_conf.R=5 scheduler=plateau"]
    main([*arguments, "--print", "model_conf.R", "scheduler_conf.patience"])
    assert capsys.readouterr().out.splitlines() == ["5", "3"]


def test_command_replaces_no_file_but_its_own(capsys, tmp_path):
    mine, own = tmp_path / "notes.yaml", tmp_path / "own.yaml"
    mine.write_text("lr: 0.5\n")
    arguments = ["--base", str(BASE), "--out"]
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, str(mine)])
    assert exit_.value.code == 2
    assert "is there and is no config of this command's; give another name" in capsys.readouterr().err
    assert mine.read_text() == "lr: 0.5\n"
    main([*arguments, str(own)])
    main([*arguments, str(own), "--set", "lr=0.25"])
    assert read_resolved(own).lr == 0.25


def test_command_gives_the_shell_names_and_values_of_any_characters(capsys):
    folder = "/two  blanks $(x) 'a'=\"b\": [c"
    arguments = ["--set", "model_path=other.ckpt", "--text", f"corpus_dir={folder}", "--text", "model_path= a: b"]
    main([*arguments, "--print0", "corpus_dir", "test_sets", "model_path", "cv_maxlen", "num_spks"])
    assert capsys.readouterr().out == f"corpus_dir={folder}\0test_sets=test\0model_path= a: b\0num_spks=2\0"
    main(["--set", "test_sets=[a,b]", "--print0", "test_sets", "separator_conf.chunk_size"])
    assert capsys.readouterr().out == "test_sets=a\0test_sets=b\0separator_conf.chunk_size=250\0"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("corpus_dir", "--text: expected key=value, got 'corpus_dir'"),
        ("epochs=3", "override: epochs: expected a whole number, got text '3'"),
        ("lrr=x", "override: unknown key 'lrr' (did you mean 'lr'?)"),
    ],
)
def test_command_refuses_a_text(capsys, override, message):
    with pytest.raises(SystemExit):
        main(["--text", override])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--set", "lrr=3"], ["--print", "lrr"], ["--print0", "lrr"]])
def test_command_refuses_in_one_line_with_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(["--base", str(BASE), *arguments])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "unknown key 'lrr' (did you mean 'lr'?)" in captured.err


def test_a_saved_config_is_read_without_mindspore(tmp_path):
    """Scoring reads one, and the 310 kit on a device's host, which may have no MindSpore."""
    save_config(load_config(BASE, None, ["separator_conf.n_blocks=2"]), tmp_path / "config.yaml")
    code = (
        "import sys; sys.modules['mindspore'] = None\n"
        "from mindaudio_ext.config import read_resolved\n"
        f"print(read_resolved({str(tmp_path / 'config.yaml')!r}).separator_conf['n_blocks'])\n"
        "print([name for name in ('numpy', 'scipy', 'matplotlib') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "2\n[]\n"


def test_options_of_a_saved_config_are_checked_when_the_model_is_built(tmp_path):
    from mindaudio_ext.models.tasnet import build_model

    save_config(load_config(BASE, None), tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text()
    for there, edited, message in (
        ("chunk_size: 250", "chunk_size: 251", r"separator_conf\.chunk_size: must be even"),
        ("chunk_size: 250", "chunk: 250", r"separator 'dprnn' has no option 'chunk'"),
        (
            "chunk_size: 250",
            "chunk_size: long",
            r"chunk_size: expected a whole number, got text 'long'",
        ),
    ):
        (tmp_path / "config.yaml").write_text(text.replace(there, edited))
        with pytest.raises(InputError, match=message):
            build_model(read_resolved(tmp_path / "config.yaml"))


def test_an_odd_chunk_needs_a_hop():
    config = load_config(BASE, None, ["separator_conf.chunk_size=251 separator_conf.hop_size=100"])
    assert (config.separator_conf["chunk_size"], config.separator_conf["hop_size"]) == (251, 100)


def test_what_was_trained_with_is_told_by_its_key(tmp_path):
    save_config(load_config(BASE, None), tmp_path / "config.yaml")
    refuse_other_training(tmp_path / "config.yaml", load_config(BASE, None, ["epochs=7 shifts=4 device_id=2"]))
    for override, difference in (
        ("lr=1", r"lr: 0\.001, not 1\.0"),
        ("K=64", r"separator_conf\.chunk_size: 250, not 64"),
        ("separator=tcn", "separator: dprnn, not tcn"),
    ):
        with pytest.raises(InputError, match=f"was trained with {difference}; give another --expdir"):
            refuse_other_training(tmp_path / "config.yaml", load_config(BASE, None, [override]))


def test_an_option_that_came_later_has_its_default_in_an_older_experiment(tmp_path):
    """So a separator may get options: `rnn_layers` stands for one that this config.yaml was written without."""
    save_config(load_config(BASE, None), tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("  rnn_layers: 1\n", ""))
    refuse_other_training(tmp_path / "config.yaml", load_config(BASE, None))
    with pytest.raises(InputError, match=r"separator_conf\.rnn_layers: 1, not 2"):
        refuse_other_training(tmp_path / "config.yaml", load_config(BASE, None, ["separator_conf.rnn_layers=2"]))


def test_what_estimates_depend_on():
    """What stage 3's digest is made of: a key is in it unless its declaration says that it is not."""
    names = "num_spks model model_conf separator separator_conf n_filters kernel_size stride encoder_activation"
    assert set(decoded_values(load_config(BASE, None))) == {*names.split(), "mask_activation", "device_target"}
    assert decoded_values(load_config(BASE, None, ["shifts=3"]))["shifts"] == 3
    assert Key("a new one", "新").decoded
    assert Key("a new one", "新").trained


def test_changed_checks_as_a_conf_is_checked():
    config = load_config(BASE, None)
    assert config.changed("--", shifts=2, model_path=None).shifts == 2
    for values, message in (
        ({"shifts": 99}, "--shifts: must be at least 1 and at most 16, got 99"),
        ({"decode_checkpoint": "average"}, "--decode_checkpoint: there is no average while average_best is 1"),
        ({"export_targets": ["om"]}, "--export_targets: expected one of host, ascend, onnx, got 'om'"),
    ):
        with pytest.raises(InputError, match=message):
            config.changed("--", **values)


def test_a_record_made_with_a_wrong_value_is_refused_too():
    with pytest.raises(ValueError, match="lr"):
        dataclasses.replace(load_config(BASE, None), lr="fast")


@pytest.mark.parametrize(("name", "files"), [("train", "all"), ("dev", "dev"), ("test", "few"), ("other", "few")])
def test_names_of_mindrecord_files(name, files):
    assert load_config(BASE, None, ["train_name=all test_name=few"]).dump_name(name) == files
    assert load_config(BASE, None).dump_name(name) == name


DIGITS = 401 * "1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"epochs: {DIGITS}", "epochs: must be .* got 1111"),
        (f"early_stop: {DIGITS}", "early_stop: must be .* got 1111"),
        (f"lr: {DIGITS}", "lr: must be .* got inf"),
        (f"cv_maxlen: {DIGITS}", "cv_maxlen: must be .* got inf"),
        (f"export_segment: [1, {DIGITS}]", "export_segment: must be .* got inf"),
        (f"scheduler: plateau\nscheduler_conf: {{patience: {DIGITS}}}", "patience: must be .* got 1111"),
        (f"separator_conf: {{chunk_size: {DIGITS}}}", "chunk_size: must be .* got 1111"),
        (f"batch_size: {5000 * '1'}", "not YAML: Exceeds the limit"),
        ("cv_maxlen: 1e300", "cv_maxlen: must be at most 1000000 and above 0"),
        ("segment: 1e999", "segment: must be finite"),
        (f"lr: {2000 * '['}", "conf.yaml, line 1: more than 20 brackets within each other"),
        (f"lr: {2000 * '{a: '}", "conf.yaml, line 1: more than 20 brackets within each other"),
        (f"lr: {15 * '['}{15 * ']'}", r"lr: expected a number, got a list: \[\[\[\[\[\[\[...\]"),
    ],
)
def test_numbers_without_bounds_and_brackets_without_end_are_refused(tmp_path, text, message):
    path = tmp_path / "conf.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_config(BASE, path)
    assert len(str(caught.value)) < 300


def test_a_list_of_lists_of_lists_is_not_written_out(tmp_path):
    """Thirty anchors, each twice the one before: a billion ones."""
    path = tmp_path / "conf.yaml"
    lines = [f"- &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 30)]
    for key in ("lr", "mask_activation", "separator_conf:\n  rnn_type"):
        indent = "  " * (key.count(":") + 1)
        path.write_text("\n".join([f"{key}:", *(indent + line for line in ["- &a0 [1, 1]", *lines])]))
        with pytest.raises(InputError) as caught:
            load_config(BASE, path)
        assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x85", "\u2028"])
@pytest.mark.parametrize(
    "key", ["dump_dir", "corpus_dir", "model_path", "init_from", "train_set", "test_sets", "test_name"]
)
def test_names_have_no_character_that_controls(tmp_path, key, character):
    """A new line in one would be two lines for run.sh."""
    path = tmp_path / "conf.yaml"
    path.write_text(yaml.safe_dump({key: f"a{character}b"}))
    with pytest.raises(InputError, match=f"{key}: "):
        load_config(BASE, path)
