"""The data: rate, speakers, lengths and names of sets."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval
from pydantic.dataclasses import dataclass

from mindaudio_ext.config import key as declare
from mindaudio_ext.config.types import FolderName, Seconds, several
from mindaudio_ext.keys import MAX_SOURCES

if TYPE_CHECKING:
    from mindaudio_ext.config.config import Config

_key = partial(declare.key, decoded=False)


@dataclass(frozen=True, kw_only=True, config=declare.STRICT)
class Data:
    """Keys of the data."""

    sample_rate: Annotated[int, Interval(ge=1000, le=192000)] = _key(
        8000, "sample rate of the whole recipe", zh="整个 recipe 的采样率", unit="Hz"
    )
    num_spks: Annotated[int, Interval(ge=2, le=MAX_SOURCES)] = declare.key(
        2, "sources per mixture", zh="每条混合语音的声源数"
    )
    segment: Seconds = _key(4.0, "length of a training crop", zh="训练片段的长度", unit="s")
    cv_maxlen: Annotated[float, Interval(gt=0, le=1_000_000)] | None = _key(
        None,
        "longest validation utterance; null: all of them",
        zh="验证语音的最大长度；null 表示全部使用",
        unit="s",
        trained=False,
    )
    train_set: FolderName = _key(
        "train",
        "folder below data/ and dump/ to train on",
        zh="data/ 和 dump/ 下用于训练的目录名",
        aliases=("train_dir",),
    )
    valid_set: FolderName = _key(
        "dev",
        "folder below data/ and dump/ to validate on",
        zh="data/ 和 dump/ 下用于验证的目录名",
        aliases=("valid_dir",),
    )
    test_sets: several(FolderName, "name") = _key(  # type: ignore[valid-type]
        ("test",),
        "folders below data/ to separate and score; a list, or one name",
        zh="data/ 下用于分离和评分的目录名；一个列表或一个名称",
        aliases=("data_dir",),
        trained=False,
    )
    train_name: FolderName | None = _key(
        None,
        "name of the training set's MindRecord files; null: the set's name",
        zh="训练集 MindRecord 文件的名称；null：集合名",
        trained=False,
    )
    test_name: FolderName | None = _key(
        None,
        "name of the test sets' MindRecord files; null: the set's name",
        zh="测试集 MindRecord 文件的名称；null：集合名",
        trained=False,
    )
    corpus_dir: str | None = _key(
        None,
        "the corpus, for recipes whose data script takes one folder",
        zh="语料目录，供只需一个目录的数据脚本使用",
        aliases=("in_dir",),
        trained=False,
    )
    dump_dir: str = _key(
        "dump", "folder of the MindRecord sets", zh="MindRecord 集合所在目录", aliases=("out_dir",), trained=False
    )

    @staticmethod
    def rules(config: "Config") -> Iterator[tuple[str, str]]:
        """Yields a key and what is wrong with it, of the rules for several keys together."""
        if config.train_set == config.valid_set:
            yield "valid_set", f"is the train_set too ({config.train_set})"
        yield from too_short(config, "segment", [config.segment])

    def dump_name(self, set_name: str) -> str:
        """Returns the name of a set's MindRecord files."""
        if set_name == self.train_set:
            return self.train_name or set_name
        return set_name if set_name == self.valid_set else self.test_name or set_name


def too_short(config: "Config", key: str, lengths: "list[float] | tuple[float, ...]") -> Iterator[tuple[str, str]]:
    """Yields the key for each length, in seconds, that has fewer samples than a filter."""
    for seconds in lengths:
        samples = round(seconds * config.sample_rate)
        if samples < config.kernel_size:
            yield key, f"{seconds} s are {samples} samples, fewer than kernel_size ({config.kernel_size})"
