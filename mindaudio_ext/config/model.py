"""The model: encoder, separator, masks, decoder, or one of MindAudio's."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Interval
from pydantic.dataclasses import dataclass

from mindaudio_ext.config.key import STRICT, key
from mindaudio_ext.config.types import LARGEST_SIZE, Size
from mindaudio_ext.registry import ENCODERS, MODELS, SEPARATORS

if TYPE_CHECKING:
    from mindaudio_ext.config.config import Config


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Model:
    """Keys of the model."""

    model: str = key(
        "tasnet",
        "encoder, separator, masks and decoder, or MindAudio's own",
        zh="编码器、分离器、掩码和解码器，或 MindAudio 自带的模型",
        before="tasnet",
        in_old_digests=True,
        named=MODELS,
    )
    model_conf: dict[str, Any] = key(
        {},
        "of MindAudio's models, by MindAudio's names; of the keys below they read `n_filters` and `kernel_size`",
        zh="MindAudio 自带模型的选项，沿用 MindAudio 的名称；下列各键中它们只读取 `n_filters` 和 `kernel_size`",
        options_of="model",
    )
    separator: str = key(
        "dprnn",
        "what makes the masks; mindaudio_ext/registry.py tells how to add one",
        zh="计算掩码的部分；添加方法见 mindaudio_ext/registry.py",
        named=SEPARATORS,
    )
    separator_conf: dict[str, Any] = key(
        {},
        "arguments of the separator's constructor, which has their defaults",
        zh="分离器构造函数的参数及其默认值",
        options_of="separator",
        option_aliases={
            "bn_channels": "bottleneck_size",
            "hidden_channels": "hidden_size",
            "K": "chunk_size",
            "num_layers": "n_blocks",
            "rnn_type": "rnn_type",
            "norm": "norm",
        },
    )
    encoder: str = key(
        "conv",
        "what makes features of the waveform, with its decoder",
        zh="由波形得到特征的编码器及其解码器",
        named=ENCODERS,
        before="conv",
    )
    encoder_conf: dict[str, Any] = key(
        {}, "further options of the encoder", zh="编码器的其他选项", options_of="encoder", before={}
    )
    n_filters: Size = key(
        64,
        "features of the encoder, the separator's input size",
        zh="编码器的特征数，即分离器的输入维数",
        aliases=("in_channels",),
        equals=("out_channels",),
    )
    kernel_size: Annotated[int, Interval(ge=2, le=LARGEST_SIZE)] = key(
        2, "length of an encoder or decoder filter", zh="编码器和解码器滤波器的长度", unit="samples"
    )
    stride: Annotated[int, Ge(1)] | None = key(
        None,
        "step from filter to filter, at most `kernel_size`; null: half of it",
        zh="滤波器步长，不大于 `kernel_size`；null：其一半",
        unit="samples",
    )
    encoder_activation: Literal["linear", "relu", "gelu", "gated"] = key(
        "linear",
        "of the encoder; `gated`: relu times the sigmoid of a second set of filters",
        zh="编码器的激活函数；`gated`：relu 乘以第二组滤波器输出的 sigmoid",
    )
    mask_activation: Literal["relu", "sigmoid", "softmax", "complex", "mapping"] = key(
        "relu",
        "of the masks; `softmax`: over the sources; `complex`: they have real and imaginary parts; `mapping`: the "
        "separator gives the sources' features themselves",
        zh="掩码的激活函数；`softmax` 沿声源计算；`complex`：掩码有实部和虚部；`mapping`：分离器直接给出各声源的特征",
    )
    normalize_variance: bool = key(
        False,
        "divide each mixture by its standard deviation and multiply the estimates by it again, so that the level of a "
        "recording changes nothing else",
        zh="先将每段混合语音除以其标准差，再将各估计乘回，使录音的电平不影响其他结果",
        before=False,
    )
    mixture_consistency: bool = key(
        False,
        "give what the estimates lack of the mixture to all of them alike, so that they add up to it",
        zh="把混合语音与各估计之和的差平均分给各估计，使其相加等于混合语音",
        before=False,
    )

    @staticmethod
    def rules(config: "Config") -> Iterator[tuple[str, str]]:
        """Yields a key and what is wrong with it, of the rules for several keys together."""
        if config.stride is not None and config.stride > config.kernel_size:
            yield "stride", f"must be at most kernel_size ({config.kernel_size}), got {config.stride}"
        if config.mask_activation == "complex" and config.n_filters % 2:
            yield "n_filters", f"complex masks need real and imaginary parts, an even number; got {config.n_filters}"
