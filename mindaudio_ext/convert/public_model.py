"""What a separator's file says of published models of the same network, in files of any toolkit but Asteroid's.

public: ClassVar[tuple[PublicModel, ...]] = (
    PublicModel("espnet", "skim", config=_espnet_config, names=_espnet_names),
)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindaudio_ext.convert.names import Rule
from mindaudio_ext.errors import InputError, shown

_NOTHING = object()


class Arguments:
    """What a published model's files say of it, by dotted names. What is read here is known; the rest is refused.

    Args:
        values: the arguments.
        shapes: of the parameters, by their names, for what the files do not say.
        source: how errors name the model.
        sample_rate: Hz; None when neither the files nor the user says it.
    """

    def __init__(
        self, values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], source: str, sample_rate: int | None
    ) -> None:
        self.values, self.shapes, self.source, self._sample_rate = values, shapes, source, sample_rate
        self._known: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str, default: Any = None) -> Any:
        """Returns an argument, or the default."""
        self._known.add(name)
        return self.values.get(name, default)

    def __getitem__(self, name: str) -> Any:
        if name not in self.values:
            raise InputError(f"{self.source}: does not say {name}")
        return self.get(name)

    @property
    def sample_rate(self) -> int:
        """Hz; raises InputError when nobody says it."""
        if self._sample_rate is None:
            raise InputError(f"{self.source}: does not say its sample rate; convert it with --sample_rate HZ")
        return self._sample_rate

    def require(self, name: str, *allowed: Any, default: Any = _NOTHING) -> Any:
        """Returns an argument that must have one of these values, all of which mean what ours does.

        Args:
            name: of the argument.
            allowed: its values.
            default: of their constructor; the first allowed one when it is not given.

        Raises:
            InputError: it has another.
        """
        value = self.get(name, allowed[0] if default is _NOTHING else default)
        if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed):
            possible = ", ".join(str(one) for one in allowed)
            raise InputError(f"{self.source}: {name}={shown(value)} has no equal here; what has: {possible}")
        return value

    def leave_out(self, *names: str) -> None:
        """Notes arguments that change no estimate."""
        self._known.update(names)

    def refuse_rest(self) -> None:
        """Raises InputError for an argument that nobody has read, unless it switches something off."""
        for name, value in self.values.items():
            if name not in self._known and value not in (None, False, 0):
                raise InputError(f"{self.source}: argument {name}={shown(value)} of the model is unknown here")


@dataclass(frozen=True)
class PublicModel:
    """One published model.

    Attributes:
        form: how its files are laid out; one of `convert.public_files.FORMS`.
        name: as its files tell it; see there.
        config: gives config keys of its arguments, without `separator`.
        names: gives the rules of its parameters' names for options of `separator_conf`.
        ignore: patterns of theirs that ours has not.
        marks: arguments that it alone has, for files that do not tell its name.
    """

    form: str
    name: str
    config: Callable[[Arguments], dict[str, Any]]
    names: Callable[[Mapping[str, Any]], Sequence[Rule]]
    ignore: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class PublicCheckpoint:
    """What the files of a published model hold.

    Attributes:
        source: how errors name it.
        form: how its files are laid out.
        name: what they say it is.
        arguments: by dotted names.
        state: parameters by their names.
        sample_rate: Hz; None when they do not say it.
    """

    source: str
    form: str
    name: str
    arguments: Mapping[str, Any]
    state: Mapping[str, np.ndarray]
    sample_rate: int | None = None


# SpeechBrain's transformers, after the name of one there and here.
SPEECHBRAIN_TRANSFORMER = (
    ("mdl.layers.#.self_att.att.in_proj_weight", "layers.#.attention.in_proj.weight"),
    ("mdl.layers.#.self_att.att.in_proj_bias", "layers.#.attention.in_proj.bias"),
    ("mdl.layers.#.self_att.att.out_proj.*", "layers.#.attention.out_proj.*"),
    ("mdl.layers.#.pos_ffn.ffn.0.*", "layers.#.feedforward_in.*"),
    ("mdl.layers.#.pos_ffn.ffn.3.*", "layers.#.feedforward_out.*"),
    ("mdl.layers.#.norm1.norm.weight", "layers.#.attention_norm.gamma"),
    ("mdl.layers.#.norm1.norm.bias", "layers.#.attention_norm.beta"),
    ("mdl.layers.#.norm2.norm.weight", "layers.#.feedforward_norm.gamma"),
    ("mdl.layers.#.norm2.norm.bias", "layers.#.feedforward_norm.beta"),
    ("mdl.norm.norm.weight", "norm.gamma"),
    ("mdl.norm.norm.bias", "norm.beta"),
)
SPEECHBRAIN_FILTERBANK = (Rule("encoder.conv1d.weight", "encoder.weight"), Rule("decoder.weight", "decoder.weight"))
POSITIONS = ("*.pos_enc.pe",)  # tables that are computed


def speechbrain_filterbank(theirs: Arguments) -> dict[str, Any]:
    """Returns the config keys of SpeechBrain's encoder and decoder, which must belong together."""
    kernel_size = theirs.get("encoder.kernel_size", 2)
    n_filters = theirs.get("encoder.out_channels", 64)
    theirs.require("encoder.in_channels", 1)
    theirs.require("decoder.in_channels", n_filters)
    theirs.require("decoder.out_channels", 1)
    theirs.require("decoder.kernel_size", kernel_size)
    theirs.require("decoder.stride", kernel_size // 2)
    theirs.require("decoder.bias", False, default=True)
    return {
        "sample_rate": theirs.sample_rate, "n_filters": n_filters, "kernel_size": kernel_size,
        "encoder_activation": "relu", "mask_activation": "relu",
    }  # fmt: skip


def espnet_normalizes(theirs: Arguments) -> bool:
    """Whether ESPnet's model brings mixtures of one channel to one level; a level for each channel is the same then."""
    names = ("normalize_variance", "normalize_variance_per_ch")
    return any([theirs.require(f"model_conf.{name}", False, True) for name in names])


def speechbrain_transformer(theirs: Arguments, name: str, width: Any) -> dict[str, Any]:
    """Returns the options of a transformer of SpeechBrain's by its dotted name."""
    theirs.require(f"{name}.d_model", width)
    theirs.require(f"{name}.activation", "relu")
    theirs.require(f"{name}.attention_type", "regularMHA")
    theirs.require(f"{name}.use_positional_encoding", True, default=False)
    theirs.require(f"{name}.norm_before", True, default=False)
    return {
        "n_layers": theirs[f"{name}.num_layers"], "n_heads": theirs[f"{name}.nhead"],
        "feedforward_size": theirs.get(f"{name}.d_ffn", 2048), "dropout": theirs.get(f"{name}.dropout", 0.1),
    }  # fmt: skip
