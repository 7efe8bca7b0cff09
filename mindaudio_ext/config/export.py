"""The exported graphs."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from mindaudio_ext.config import key as declare
from mindaudio_ext.config.data import too_short
from mindaudio_ext.config.types import Positive, Seconds, Size, several

if TYPE_CHECKING:
    from mindaudio_ext.config.config import Config

_key = partial(declare.key, trained=False, decoded=False)


@dataclass(frozen=True, kw_only=True, config=declare.STRICT)
class Export:
    """Keys of the exported graphs."""

    export_segment: several(Seconds, "number") = _key(  # type: ignore[valid-type]
        (4.0,),
        "input length of the exported graphs; a number, or a list of several",
        zh="导出图的输入长度；一个数，或多个数的列表",
        unit="s",
    )
    export_batch: Size = _key(
        1, "mixtures that an exported graph takes at once", zh="导出图一次处理的混合语音数", unit="mixtures", before=1
    )
    export_targets: several(Literal["host", "ascend", "onnx"], "name") = _key(  # type: ignore[valid-type]
        ("host", "ascend"),
        "graphs to make: `host` (MindIR for this CPU), `ascend` (MindIR for a 310), `onnx`",
        zh="要生成的图：`host`（本机 CPU 的 MindIR）、`ascend`（310 的 MindIR）、`onnx`",
        before=["host", "ascend"],
    )
    export_utterances: Positive = _key(
        20, "test utterances on which the Ascend graph is proved", zh="用于验证昇腾图的测试语句数", before=20
    )

    @staticmethod
    def rules(config: "Config") -> Iterator[tuple[str, str]]:
        """Yields a key and what is wrong with it, of the rules for several keys together."""
        yield from too_short(config, "export_segment", config.export_segment)
