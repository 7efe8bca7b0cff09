"""The device."""

from functools import partial
from typing import Annotated, Literal

from pydantic.dataclasses import dataclass

from mindaudio_ext.config import key as declare
from mindaudio_ext.config.types import Count, refused

_key = partial(declare.key, trained=False)
_NO_GPU = "expected one of CPU, Ascend, got 'GPU'; MindSpore 2.10 has no GPU backend"


@dataclass(frozen=True, kw_only=True, config=declare.STRICT)
class Device:
    """Keys of the device."""

    device_target: Annotated[Literal["CPU", "Ascend"], refused({"GPU": _NO_GPU})] = _key(
        "CPU", "where MindSpore runs", zh="MindSpore 运行的设备"
    )
    device_id: Count = _key(0, "the card, of Ascend, when one is used", zh="使用单卡时 Ascend 的卡号", decoded=False)
