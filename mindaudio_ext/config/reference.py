"""Writes what tells the keys: conf/base.yaml, and the tables docs/config.md and docs/config.zh.md.

Usage: python -m mindaudio_ext.config.reference [--check]

With --check nothing is written: what is not as it would be, and keys and options without a meaning, are named, and the
status is then 2.
"""

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from mindaudio_ext.config.check import bounds_in_words, choices_of, kinds_of
from mindaudio_ext.config.config import FIELDS, HINTS, KEYS, OPTIONS_OF, SECTIONS, default_of
from mindaudio_ext.config.options import known_options
from mindaudio_ext.files import write_text
from mindaudio_ext.registry import REQUIRED, Registry

ROOT = Path(__file__).parents[2]
WIDTH = 120
_COMMENT_COLUMN = 27
_HEADER = """\
# Every key with its default. A recipe's conf holds only what differs; `--train_args "key=value"` wins over both.
# In brackets: the reference implementation's name, accepted in place of ours (either, not both).
# Written by `python -m mindaudio_ext.config.reference`; docs/config.md has all options of what a key names.
"""
_TITLES: dict[str, dict[str, Any]] = {
    "en": {
        "head": """\
# Config keys

Written by `python -m mindaudio_ext.config.reference` from the declarations in `mindaudio_ext/config/`.""",
        "keys": ("key", "reference's name", "default", "values", "unit", "meaning"),
        "options": ("option", "default", "values", "meaning"),
        "of": "Options of {kind} `{name}`",
        "causal": "Causal with: {how}.",
        "masks": "Mask activation: {names}.",
        "asteroid": "In Asteroid's `{name}`: {pairs}.",
        "pair": "`{theirs}` is `{ours}`",
        "none": "It has no options.",
        "2022": "Names of the reference implementation",
        "names": ("reference's name", "here"),
    },
    "zh": {
        "head": """\
# 配置键

由 `python -m mindaudio_ext.config.reference` 根据 `mindaudio_ext/config/` 中的声明生成。""",
        "keys": ("键", "参考实现的名称", "默认值", "取值", "单位", "含义"),
        "options": ("选项", "默认值", "取值", "含义"),
        "of": "{kind} `{name}` 的选项",
        "causal": "因果的条件：{how}。",
        "masks": "掩码激活函数：{names}。",
        "asteroid": "在 Asteroid 的 `{name}` 中：{pairs}。",
        "pair": "`{theirs}` 即 `{ours}`",
        "none": "没有选项。",
        "2022": "参考实现的名称",
        "names": ("参考实现的名称", "本项目"),
    },
}
_ZH_WORDS = {
    "data": "数据", "model": "模型", "training": "训练", "decoding": "解码", "scoring": "评分", "export": "导出",
    "device": "设备", "separator": "分离器", "encoder": "编码器", "augmentation": "数据增强",
    "scheduler": "学习率调度", "optimizer": "优化器",
    "samples": "采样点", "crops": "片段", "steps": "步", "mixtures": "条混合语音", "epochs": "epoch",
}  # fmt: skip
_ZH_VALUES = {
    "at least": "不小于", "at most": "不大于", "above": "大于", "below": "小于",
    " and ": "，", " to ": " 至 ", " or ": " 或 ",
}  # fmt: skip


def base_yaml() -> str:
    """Returns the text of conf/base.yaml."""
    parts = [_HEADER]
    for title, section in SECTIONS.items():
        parts.append(f"\n# ---- {title}\n")
        parts += [_line(name) for name in FIELDS if name in section.__dataclass_fields__]
    return "".join(parts)


def _line(name: str) -> str:
    key, value = KEYS[name], _yaml(default_of(name))
    values = _values(HINTS[name], key.named)
    notes = "; ".join(text for text in (f"{key.meaning}{f', {key.unit}' if key.unit else ''}", values) if text)
    names = ", ".join((*key.aliases, *(f"{alias}, which must be equal" for alias in key.equals)))
    inner = ", ".join(f"{alias}: {option}" for alias, option in key.option_aliases.items() if alias != option)
    bracket = f" [{names or inner}]" if names or inner else ""
    comment = f"{notes.replace('`', '')}{bracket}"
    line = f"{name}: {value}".ljust(_COMMENT_COLUMN - 2) + f"  # {comment}"
    if len(line) <= WIDTH:
        return line + "\n"
    lines = textwrap.wrap(comment, WIDTH - 2, break_long_words=False)
    return "".join(f"# {text}\n" for text in lines) + f"{name}: {value}\n"


def tables(language: str) -> str:
    """Returns the text of docs/config.md ("en") or docs/config.zh.md ("zh")."""
    titles = _TITLES[language]
    parts = [titles["head"]]
    for title, section in SECTIONS.items():
        rows = [_key_row(name, language) for name in FIELDS if name in section.__dataclass_fields__]
        parts += [f"## {_word(title, language).capitalize()}", _table(titles["keys"], rows)]
    parts += [f"## {titles['2022']}", _table(titles["names"], _names_of_2022())]
    kinds = []
    for mapping, owner in OPTIONS_OF.items():
        if KEYS[owner].named not in kinds:  # two keys may name the same kind of thing
            kinds.append(KEYS[owner].named)
            parts += _options(mapping, language)
    return "\n\n".join(parts) + "\n"


def _key_row(name: str, language: str) -> list[str]:
    key = KEYS[name]
    aliases = ", ".join(f"`{alias}`" for alias in (*key.aliases, *key.equals))
    values = _values(HINTS[name], key.named, marks=True)
    meaning = key.meaning if language == "en" else key.zh
    unit = _word(key.unit, language)
    return [f"`{name}`", aliases, f"`{_yaml(default_of(name))}`", _translated(values, language), unit, meaning]


def _names_of_2022() -> list[list[str]]:
    """Returns the rows of the reference implementation's names, in their alphabetical order."""
    names = {alias: name for name, key in KEYS.items() for alias in (*key.aliases, *key.equals)}
    for name, key in KEYS.items():
        names.update({alias: f"{name}.{option}" for alias, option in key.option_aliases.items() if alias != option})
    return [[f"`{alias}`", f"`{names[alias]}`"] for alias in sorted(names, key=str.lower)]


def _options(mapping: str, language: str) -> Iterator[str]:
    """Yields the heading and the table of each thing that a mapping may have options of."""
    titles, owner = _TITLES[language], OPTIONS_OF[mapping]
    registry = KEYS[owner].named
    assert registry is not None
    for name in registry.built_in():
        options = known_options(mapping, name) or {}
        yield f"## {titles['of'].format(kind=_word(owner, language), name=name)}"
        described = registry.get(name)
        meanings = {**argument_meanings(described), **_chinese(language, owner, name)}
        yield f"{_first_paragraph(sys.modules[described.__module__])} {_first_paragraph(described)}"
        causal = meanings.get("causal_with") or getattr(described, "causal_with", "")
        if causal:
            yield titles["causal"].format(how=causal)
        masks = getattr(described, "mask_activations", ())
        if masks:
            yield titles["masks"].format(names=", ".join(f"`{mask}`" for mask in masks))
        asteroid = getattr(described, "asteroid", None)
        if asteroid is not None:
            renamed = {theirs: ours for theirs, ours in asteroid.options.items() if theirs != ours}
            pairs = (titles["pair"].format(theirs=theirs, ours=ours) for theirs, ours in renamed.items())
            yield titles["asteroid"].format(name=asteroid.name, pairs=("，" if language == "zh" else ", ").join(pairs))
        if not options:
            yield titles["none"]
            continue
        names = {option: alias for alias, option in KEYS[mapping].option_aliases.items()}
        rows = []
        for option, spec in options.items():
            default = "" if spec.default is REQUIRED else f"`{_yaml(spec.default)}`"
            values = _translated(_values(spec.annotation, None, marks=True), language)
            also = f" [{names[option]}]" if names.get(option, option) != option else ""
            rows.append([f"`{option}`{also}", default, values, meanings.get(option, "")])
        yield _table(titles["options"], rows)


def _first_paragraph(described: Any) -> str:
    return " ".join((inspect.getdoc(described) or "").partition("\n\n")[0].split())


def argument_meanings(described: Any) -> dict[str, str]:
    """Returns what a class's docstring says of its arguments, in the section `Args:`."""
    section = re.search(r"^Args:\n(.*?)(?:\n\S|\Z)", inspect.getdoc(described) or "", flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", section[1] + "\n" if section else "", re.M | re.DOTALL)
    return {name: " ".join(text.split()).rstrip(".") for name, text in found}


def _chinese(language: str, owner: str, name: str) -> dict[str, str]:
    if language == "en":
        return {}
    return read_chinese().get(owner, {}).get(name, {})


def read_chinese() -> dict[str, dict[str, dict[str, str]]]:
    """Returns the Chinese meanings of options, by key, name and option."""
    return yaml.safe_load(Path(__file__).with_name("zh.yaml").read_text(encoding="utf-8"))


def _values(annotation: Any, named: Registry | None, *, marks: bool = False) -> str:
    """Returns which values a key or option may have, in words."""
    mark = "`" if marks else ""
    choices = [f"{mark}{choice}{mark}" for choice in (named.built_in() if named else choices_of(annotation))]
    if choices:
        return ", ".join(choices[:-1]) + f" or {choices[-1]}" if len(choices) > 1 else choices[0]
    bounds = bounds_in_words(annotation)
    span = re.fullmatch(r"at least (\S+) and at most (\S+)", bounds)
    if not span and marks and kinds_of(annotation)[:1] == [bool]:
        return "true or false"
    return f"{span[1]} to {span[2]}" if span else bounds


def _translated(text: str, language: str) -> str:
    for english, chinese in _ZH_VALUES.items() if language == "zh" else ():
        text = text.replace(english, chinese)
    return text


def _word(word: str, language: str) -> str:
    return _ZH_WORDS.get(word, word) if language == "zh" else word


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def _table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = ["".join(f"| {cell} " if cell else "| " for cell in row) + "|" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def written() -> dict[Path, str]:
    """Returns the text of each file."""
    docs = ROOT / "docs"
    return {
        ROOT / "conf" / "base.yaml": base_yaml(),
        docs / "config.md": tables("en"),
        docs / "config.zh.md": tables("zh"),
    }


def undocumented() -> list[str]:
    """Returns the keys and options that have no meaning."""
    missing = [name for name, key in KEYS.items() if not (key.meaning and key.zh)]
    for mapping, owner in OPTIONS_OF.items():
        registry = KEYS[owner].named
        assert registry is not None
        for name in registry.built_in():
            meanings = argument_meanings(registry.get(name))
            options = known_options(mapping, name) or {}
            missing += [f"{mapping}.{option} of {name}" for option in options if option not in meanings]
    return missing


def main(arguments: list[str]) -> int:
    """Writes the files, or with --check compares them; returns the exit status."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    if not arguments:
        for path, text in written().items():
            write_text(path, text)
            print(path.relative_to(ROOT))
        return 0
    problems = [f"{name} has no meaning" for name in undocumented()]
    for path, text in written().items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            problems.append(f"{path.relative_to(ROOT)} is stale: run python -m mindaudio_ext.config.reference")
    for problem in problems:
        print(f"reference.py: {problem}", file=sys.stderr)
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
