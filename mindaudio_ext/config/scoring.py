"""The scoring: which metrics, over what."""

from functools import partial

from pydantic.dataclasses import dataclass

from mindaudio_ext.config import key as declare
from mindaudio_ext.config.types import several
from mindaudio_ext.registry import METRICS

_key = partial(declare.key, trained=False, decoded=False)


@dataclass(frozen=True, kw_only=True, config=declare.STRICT)
class Scoring:
    """Keys of the scoring."""

    cal_sdr: bool = _key(
        True,
        "score SDR, SIR, SAR (BSS Eval) and STOI too; about a quarter of a second per utterance",
        zh="是否同时计算较慢的 SDR、SIR、SAR（BSS Eval）与 STOI",
    )
    cal_pesq: bool = _key(
        False,
        "score PESQ too; requires `pip install pesq==0.0.4` and 8000 or 16000 Hz",
        zh="是否同时计算 PESQ；需要 `pip install pesq==0.0.4`，采样率 8000 或 16000 Hz",
        before=False,
    )
    metrics: several(str, "name", empty=True) = _key(  # type: ignore[valid-type]
        (),
        "further metrics by name, a file each in `mindaudio_ext/metrics/`; SI-SNR always is scored",
        zh="另外计算的指标的名称，各为 `mindaudio_ext/metrics/` 中的一个文件；总是计算 SI-SNR",
        named=METRICS,
        before=[],
    )
    reference_protocol: bool = _key(
        True,
        "also separate and score 4 s windows of the mixtures of 4 to 12 s, as the reference did",
        zh="是否同时按参考实现的方式分离并评分 4 至 12 s 混合语音的 4 s 分段",
        before=True,
    )
