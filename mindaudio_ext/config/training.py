"""The training: batches, optimizer, learning rate, what is kept and when it ends."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Gt, Interval
from pydantic.dataclasses import dataclass

from mindaudio_ext.config import key as declare
from mindaudio_ext.config.types import Count, Positive, Share, Size, listed
from mindaudio_ext.data.conversation_statistics import (
    HIGHEST_SNR,
    LONGEST_RT60,
    LOWEST_SNR,
    SHORTEST_OVERLAP,
    SHORTEST_PAUSE,
    SHORTEST_RT60,
)
from mindaudio_ext.registry import AUGMENTATIONS, LOSSES, OPTIMIZERS, SCHEDULERS

if TYPE_CHECKING:
    from mindaudio_ext.config.config import Config

_key = partial(declare.key, decoded=False)


@dataclass(frozen=True, kw_only=True, config=declare.STRICT)
class Training:
    """Keys of the training."""

    seed: Annotated[int, Interval(ge=0, le=2**31 - 1)] = _key(
        0, "of parameters, shuffling, crops and mixing", zh="参数初始化、打乱次序、截取片段和混合的随机种子"
    )
    epochs: Annotated[int, Interval(ge=1, le=1_000_000)] = _key(
        100, "epochs to train", zh="训练的 epoch 数", trained=False
    )
    batch_size: Size = _key(
        4,
        "crops per update, over all devices and all `accum_steps` together",
        zh="每次更新的片段数，所有设备和所有 `accum_steps` 合计",
        unit="crops",
    )
    dynamic_mixing: bool = _key(
        False,
        "train on new mixtures of the set's sources every epoch, instead of the set's own mixtures",
        zh="每个 epoch 用训练集的声源重新混合，而不用固定的混合语音",
        before=False,
    )
    conversations: bool = _key(
        False,
        "train on new conversations of the set's sources every epoch: turns, pauses and overlaps; needs a loss for "
        "silent sources, such as `pit_thresholded_snr`",
        zh="每个 epoch 用训练集的声源模拟新的对话；需要能处理静音声源的损失，如 `pit_thresholded_snr`",
        before=False,
    )
    conversation_speakers: listed(Positive) = _key(  # type: ignore[valid-type]
        (2, 2, 1),
        "of conversations: how many people speak; one of these is drawn for each example",
        zh="对话的人数；每个样本从中抽取一个",
        before=[2, 2, 1],
    )
    conversation_silence: Share = _key(
        0.15, "of conversations: share of the time in which nobody speaks", zh="对话中无人说话的时间比例", before=0.15
    )
    conversation_overlap: Share = _key(
        0.15, "of conversations: share of the time in which two speak", zh="对话中两人同时说话的时间比例", before=0.15
    )
    conversation_mean_pause: Annotated[float, Interval(gt=SHORTEST_PAUSE, le=60)] = _key(
        0.6, "of conversations: mean length of a pause", zh="对话中停顿的平均长度", unit="s", before=0.6
    )
    conversation_mean_overlap: Annotated[float, Interval(gt=SHORTEST_OVERLAP, le=60)] = _key(
        0.8, "of conversations: mean length of an overlap", zh="对话中重叠的平均长度", unit="s", before=0.8
    )
    conversation_mixtures: Share = _key(
        0.0,
        "of conversations: share of the examples of several people in which all speak all the time, as in mixtures",
        zh="多人样本中所有人一直同时说话的比例，与混合语音相同",
        before=0.0,
    )
    conversation_noise: listed(Literal["none", "white", "pink", "brown", "babble"]) = _key(  # type: ignore[valid-type]
        ("none",),
        "of conversations: noise in the mixture; one of these is drawn for each example. `babble`: speech of 3 to 6 "
        "who are not in the conversation",
        zh="对话的混合信号中的噪声；每个样本从中抽取一个。`babble`：对话以外 3 至 6 人的语音",
        before=["none"],
    )
    conversation_snr: listed(Annotated[float, Interval(ge=LOWEST_SNR, le=HIGHEST_SNR)]) = _key(  # type: ignore[valid-type]
        (5.0, 20.0),
        "of that noise: the least and the most of the speech's power, while somebody speaks, over the noise's",
        zh="该噪声的信噪比的下限和上限：有人说话时语音的功率与噪声功率之比",
        unit="dB",
        before=[5.0, 20.0],
    )
    conversation_rt60: listed(Annotated[float, Interval(ge=SHORTEST_RT60, le=LONGEST_RT60)]) = _key(  # type: ignore[valid-type]
        (),
        "of conversations: the least and the most reverberation time of the rooms that they are in, with the extra "
        "`rooms`; []: there are no rooms",
        zh="对话所在房间的混响时间的下限和上限，需要 extra `rooms`；[]：没有房间",
        unit="s",
        before=[],
    )
    speed_perturb: Annotated[float, Interval(ge=0, le=0.2)] = _key(
        0.0,
        "of dynamic mixing: largest relative change of a source's speed; 0.05 draws from 0.95 to 1.05",
        zh="动态混合时声源语速的最大相对变化；0.05 即从 0.95 到 1.05 中抽取",
        before=0.0,
    )
    augmentation: str = _key(
        "none",
        "change of each training example after it was cut or mixed",
        zh="对截取或混合后的每个训练样本所做的改变",
        named=AUGMENTATIONS,
        before="none",
    )
    augmentation_conf: dict[str, Any] = _key(
        {}, "the augmentation's options", zh="数据增强的选项", options_of="augmentation", before={}
    )
    accum_steps: Positive = _key(
        1,
        "parts into which an update's batch is divided, one after the other; less memory",
        zh="一次更新的片段分成几份依次计算；节省内存",
        before=1,
    )
    init_from: str | None = _key(
        None,
        "checkpoint whose parameters a training begins with; null: random ones. For a loss that takes silence the "
        "decoder is fitted to the sources first, by least squares",
        zh="训练开始时载入其参数的 checkpoint；null：随机初始化。若损失能处理静音，先用最小二乘法使解码器符合声源",
        before=None,
    )
    init_blocks: listed(Count) = _key(  # type: ignore[valid-type]
        (),
        """which block of `init_from` each block of a deeper model begins with, from 0: [0, 1, 1, 2] puts another after
        its block 1. A repeated index starts as an identity block. []: same depth as `init_from`""",
        zh="""更深的模型的每个块取自 `init_from` 的第几块（从 0 起）：[0, 1, 1, 2] 在第 1 块后再加一块；
        重复出现的块起初输出等于输入；[]：块数与 `init_from` 相同""",
        before=[],
    )
    recompute: bool = _key(
        False,
        "compute a block's inner values again in the backward pass: less memory, more time (docs/benchmarks.md)",
        zh="反向传播时重新计算各块内部的值：省内存，更费时间（docs/benchmarks.md）",
        before=False,
    )
    recompute_rnns: bool = _key(
        True,
        "with `recompute`: LSTMs too; false keeps what their gradients need: in between in memory and time",
        zh="与 `recompute` 一起：LSTM 也重新计算；false：保留其梯度所需的值，内存与时间介于两者之间",
        before=True,
    )
    mixed_precision: bool = _key(
        False,
        "train with products in float16; parameters, norms and loss stay float32, and the loss is scaled",
        zh="训练时矩阵乘积用 float16；参数、归一化和损失仍为 float32，损失经过缩放",
        before=False,
    )
    loss: str = _key(
        "pit_si_snr",
        "what is minimised; it reads the keys that it has as arguments, such as `si_snr_clamp`",
        zh="训练目标；读取与其参数同名的键，如 `si_snr_clamp`",
        named=LOSSES,
        before="pit_si_snr",
    )
    loss_conf: dict[str, Any] = _key(
        {}, "further options of the loss", zh="损失的其他选项", options_of="loss", before={}
    )
    si_snr_clamp: float | None = _key(
        None,
        "examples above this SI-SNR contribute no gradient; null: no limit",
        zh="超过该值的样本不再参与训练；null：不限",
        unit="dB",
        before=None,
    )
    optimizer: str = _key(
        "adam",
        "of the parameters; it reads the keys below that it knows",
        zh="参数的优化器；读取下面它认识的键",
        named=OPTIMIZERS,
    )
    optimizer_conf: dict[str, Any] = _key(
        {}, "further options of the optimizer", zh="优化器的其他选项", options_of="optimizer", before={}
    )
    lr: Annotated[float, Gt(0)] = _key(0.001, "learning rate", zh="学习率")
    weight_decay: Annotated[float, Interval(ge=0)] = _key(
        0.0,
        "L2 penalty; the paper has none, the reference 1e-5",
        zh="L2 惩罚系数；论文没有，参考实现为 1e-5",
        aliases=("l2",),
    )
    momentum: Share = _key(
        0.9,
        "of `sgd` and `muon` (there 0.95 is usual); `adam` does not read it",
        zh="用于 `sgd` 和 `muon`（后者常用 0.95）；`adam` 不读取",
    )
    clip_norm: Annotated[float, Gt(0)] = _key(
        5.0, "gradients with a larger global norm are scaled down to it", zh="全局梯度范数超过该值时缩放到该值"
    )
    scheduler: str = _key(
        "constant",
        "learning-rate schedule, by epochs, or by steps for `linear` and the warm-up",
        zh="学习率的变化方式",
        named=SCHEDULERS,
    )
    scheduler_conf: dict[str, Any] = _key(
        {}, "the schedule's options", zh="学习率变化方式的选项", options_of="scheduler"
    )
    auxiliary_loss: str = _key(
        "pit_si_snr",
        "of the estimates that a model gives beside its last ones, in training; few models give some",
        zh="训练时模型除最终估计外还给出的辅助估计的损失；只有少数模型给出",
        named=LOSSES,
        before="pit_si_snr",
    )
    auxiliary_loss_conf: dict[str, Any] = _key(
        {}, "further options of it", zh="该损失的其他选项", options_of="auxiliary_loss", before={}
    )
    auxiliary_weight: Annotated[float, Interval(ge=0, le=1)] = _key(
        0.4,
        "share of it in what is minimised; the rest is `loss`",
        zh="它在训练目标中的份额；其余为 `loss`",
        before=0.4,
    )
    auxiliary_scheduler: str = _key(
        "constant",
        "how that share changes, as `scheduler` does the learning rate",
        zh="该份额的变化方式，同 `scheduler` 之于学习率",
        named=SCHEDULERS,
        before="constant",
    )
    auxiliary_scheduler_conf: dict[str, Any] = _key(
        {}, "its options", zh="其选项", options_of="auxiliary_scheduler", before={}
    )
    early_stop: Positive | None = _key(
        None,
        "epochs without a better validation after which training ends; null: it does not",
        zh="验证结果连续这么久没有改善就结束训练；null：不提前结束",
        unit="epochs",
        trained=False,
        before=None,
    )
    ema_decay: Share = _key(
        0.0,
        "of the moving average of the parameters that is validated and kept; 0: the parameters themselves",
        zh="参数滑动平均的衰减率，验证和保存用平均值；0：用参数本身",
        before=0.0,
    )
    average_best: Annotated[int, Interval(ge=1, le=1000)] = _key(
        1,
        "best epochs whose mean becomes checkpoints/average.ckpt; 1: there is none",
        zh="最好的几个，其参数的平均写入 `checkpoints/average.ckpt`；1：不求平均",
        unit="epochs",
        before=1,
    )
    max_skipped: Positive = _key(
        20,
        "steps in a row that may be skipped, being not finite; more is an explosion",
        zh="因结果非有限数而连续跳过的步数上限；超过即视为爆炸",
        unit="steps",
        before=20,
    )
    explosion_margin: Annotated[float, Gt(0)] = _key(
        10.0,
        "a loss this far above the best validation loss is an explosion",
        zh="损失高出最佳验证损失这么多即视为爆炸",
        unit="dB",
        before=10.0,
    )
    max_rollbacks: Count = _key(
        3,
        "explosions after which training returns to the best parameters with half the rate; then it ends",
        zh="爆炸后回到最佳参数并把学习率减半的次数上限；之后训练结束",
        trained=False,
        before=3,
    )
    log_interval: Positive = _key(
        50, "steps between two lines of the log", zh="两行日志之间的步数", unit="steps", trained=False
    )
    save_every: Positive = _key(
        200,
        "steps between two saved states; a training that was killed goes on from the last of them",
        zh="两次保存训练状态之间的步数",
        unit="steps",
        trained=False,
        before=200,
    )
    examples_every: Count = _key(
        0,
        "epochs between two sets of separated validation examples, in examples/; 0: none",
        zh="每隔多少个 epoch 保存几条分离后的验证样例；0：不保存",
        unit="epochs",
        trained=False,
        before=0,
    )

    @staticmethod
    def rules(config: "Config") -> Iterator[tuple[str, str]]:
        """Yields a key and what is wrong with it, of the rules for several keys together."""
        if config.speed_perturb and not config.dynamic_mixing:
            yield "speed_perturb", "only dynamic_mixing changes speeds, and it is false"
        if config.conversations and config.dynamic_mixing:
            yield "conversations", "are new mixtures themselves; set dynamic_mixing to false"
        if not config.conversation_speakers or max(config.conversation_speakers) > config.num_spks:
            yield "conversation_speakers", f"numbers from 1 to num_spks ({config.num_spks}) are expected"
        yield from _sound_of_conversations(config)
        if config.batch_size % config.accum_steps:
            yield "accum_steps", f"must divide batch_size ({config.batch_size}), got {config.accum_steps}"
        if config.init_blocks and config.init_from is None:
            yield "init_blocks", "requires init_from, and that is null"
        n_blocks = config.separator_conf.get("n_blocks")
        if config.init_blocks and len(config.init_blocks) != n_blocks:
            yield "init_blocks", f"names {len(config.init_blocks)} blocks, separator_conf.n_blocks is {n_blocks}"


def _sound_of_conversations(config: "Config") -> Iterator[tuple[str, str]]:
    """Yields what is wrong with the keys of noise and rooms."""
    has_noise = set(config.conversation_noise) != {"none"}
    for name, is_set in (("conversation_noise", has_noise), ("conversation_rt60", bool(config.conversation_rt60))):
        if is_set and not config.conversations:
            yield name, "is of conversations, and conversations is false"
    if not config.conversation_noise:
        yield "conversation_noise", "at least one is expected; none is one"
    if has_noise and config.mixture_consistency:
        yield (
            "mixture_consistency",
            "estimates cannot add up to a mixture with noise (conversation_noise); set it to false",
        )
    for name, found in (("conversation_snr", config.conversation_snr), ("conversation_rt60", config.conversation_rt60)):
        if (found and not (len(found) == 2 and found[0] <= found[1])) or (name == "conversation_snr" and not found):
            yield name, f"the least and the most are expected, got {list(found)}"
