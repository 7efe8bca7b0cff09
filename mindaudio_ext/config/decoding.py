"""The decoding: which checkpoint separates, and how often."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval
from pydantic.dataclasses import dataclass

from mindaudio_ext.config.key import STRICT, key

if TYPE_CHECKING:
    from mindaudio_ext.config.config import Config

MOST_SHIFTS = 16


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Decoding:
    """Keys of the decoding."""

    decode_checkpoint: Literal["best", "average"] = key(
        "best",
        "what is decoded and exported; for `average` see `average_best`",
        zh="用于解码和导出的 checkpoint；`average` 见 `average_best`",
        trained=False,
        decoded=False,  # the checkpoint itself counts
        before="best",
    )
    model_path: str | None = key(
        None,
        "checkpoint to decode and export; null: `decode_checkpoint`",
        zh="要解码和导出的 checkpoint；null 表示 `decode_checkpoint`",
        trained=False,
        decoded=False,
    )
    shifts: Annotated[int, Interval(ge=1, le=MOST_SHIFTS)] = key(
        1,
        "times a mixture is separated, each time a little later, to take the mean: slower, better",
        zh="同一混合语音分离的次数，每次推迟一点，取其平均；n 次即 n 倍时间，效果更好",
        trained=False,
        before=1,
    )

    @staticmethod
    def rules(config: "Config") -> Iterator[tuple[str, str]]:
        """Yields a key and what is wrong with it, of the rules for several keys together."""
        if config.decode_checkpoint == "average" and config.average_best == 1:
            yield "decode_checkpoint", "there is no average while average_best is 1"
