"""TIGER, which splits the spectrum into bands and looks along bands and frames by turns.

Xu, Li, Chen and Hu, "TIGER: time-frequency interleaved gain extraction and reconstruction for efficient speech
separation", ICLR 2025.

features [B, L, 2F], real and imaginary parts -> bands, each normed and projected [B, bands, L, N] -> one block with
shared parameters, again and again, from the second pass on of (bands + what it gave) -> complex masks [B, C, L, 2F]

The block goes along the bands of each frame, then along the frames of each band, each time by a U-shaped convolution
and by attention.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from annotated_types import Interval
from mindspore import Tensor, nn, ops

from mindaudio_ext.config.types import Share, Size
from mindaudio_ext.convert.names import Rule
from mindaudio_ext.convert.public_model import Arguments, PublicModel
from mindaudio_ext.errors import InputError
from mindaudio_ext.layers.activation import PReLU
from mindaudio_ext.layers.dense import dense
from mindaudio_ext.layers.depthwise import DepthwiseConv
from mindaudio_ext.layers.norm import ChannelLayerNorm, GlobalLayerNorm
from mindaudio_ext.layers.u_block import KERNEL_SIZE, UBlock
from mindaudio_ext.registry import register

BANDS_HZ = (25.0,) * 40 + (100.0,) * 10 + (250.0,) * 8 + (500.0,) * 8  # one more takes what is left
NORM_EPSILON = 1.1920929e-07  # of the bands' norms: float32's


def _authors_config(theirs: Arguments) -> dict[str, Any]:
    """Returns the config keys of the authors' class, whose defaults are another model: all must be said."""
    theirs.leave_out("att_kernel_size", "att_stride")
    rate, kernel_size = theirs["sample_rate"], theirs["win"]
    options = {
        "bottleneck_size": theirs["out_channels"],
        "hidden_size": theirs["in_channels"],
        "n_blocks": theirs["num_blocks"],
        "n_levels": theirs["upsampling_depth"],
        "n_heads": theirs["att_n_head"],
        "attention_size": theirs["att_hid_chan"],
        "sample_rate": rate,
    }
    return {
        "sample_rate": rate,
        "num_spks": theirs["num_sources"],
        "encoder": "stft",
        "encoder_conf": {"window": "hann", "padding": "reflect"},
        "n_filters": kernel_size + 2,
        "kernel_size": kernel_size,
        "stride": theirs["stride"],
        "encoder_activation": "linear",
        "mask_activation": "complex",
        "separator_conf": options,
    }


def _authors_names(_: Mapping[str, Any]) -> tuple[Rule, ...]:
    rules = [
        Rule("BN.#.0.weight", "separator.split.norm.#.gamma"),
        Rule("BN.#.0.bias", "separator.split.norm.#.beta"),
        Rule("BN.#.1.*", "separator.split.dense.#.*"),
        Rule("mask.#.0.weight", "separator.masks.prelu.#.weight"),
        Rule("mask.#.1.*", "separator.masks.dense.#.*"),
        Rule("separator.concat_block.0.*", "separator.join.*"),
        Rule("separator.concat_block.1.weight", "separator.join_prelu.weight"),
    ]
    for theirs, ours in (("freq_path", "along_bands"), ("frame_path", "along_frames")):
        rules += _block_names(f"separator.{theirs}.0", f"separator.{ours}.block")
        for there, here in (
            ("Queries.#", "queries.#"), ("Keys.#", "keys.#"), ("Values.#", "values.#"), ("attn_concat_proj", "output")
        ):  # fmt: skip
            there, here = f"separator.{theirs}.1.{there}", f"separator.{ours}.attention.{here}"
            rules += [
                Rule(f"{there}.conv.*", f"{here}.dense.*"),
                Rule(f"{there}.act.weight", f"{here}.prelu.weight"),
                Rule(f"{there}.norm.*", f"{here}.norm.*"),
            ]
        rules.append(Rule(f"separator.{theirs}.2.*", f"separator.{ours}.norm.*"))
    return tuple(rules)


def _block_names(theirs: str, ours: str) -> list[Rule]:
    """Returns the rules of one U-shaped convolution."""
    normed = [("spp_dw.#", "down.#")]
    for level, here in (("loc_glo_fus", "fuse"), ("last_layer", "up")):
        for part, of_ours in (("local_embedding", "local"), ("global_embedding", "addend"), ("global_act", "gate")):
            normed.append((f"{level}.#.{part}", f"{here}.#.{of_ours}"))
    pairs = [
        *((f"{there}.conv.*", f"{here}.conv.*") for there, here in normed),
        ("proj_1x1.conv.*", "input.*"), ("proj_1x1.act.weight", "input_prelu.weight"), ("res_conv.*", "output.*"),
        ("globalatt.fc1.conv.weight", "top.first.weight"), ("globalatt.dwconv.*", "top.conv.*"),
        ("globalatt.fc2.conv.weight", "top.second.weight"),
    ]  # fmt: skip
    norms = [
        *((f"{there}.norm", f"{here}.norm") for there, here in normed),
        ("proj_1x1.norm", "input_norm"), ("globalatt.fc1.norm", "top.first_norm"),
        ("globalatt.fc2.norm", "top.second_norm"),
    ]  # fmt: skip
    for there, here in norms:
        pairs += [(f"{there}.weight", f"{here}.gamma"), (f"{there}.bias", f"{here}.beta")]
    return [Rule(f"{theirs}.{there}", f"{ours}.{here}") for there, here in pairs]


@register("tiger")
class TIGER(nn.Cell):
    """Estimates one complex mask a source; together the masks of the sources give the mixture.

    Published with the encoder stft (window hann, padding reflect), at 16 kHz.

    Args:
        input_size: real and imaginary parts of F frequencies, 2F.
        num_spks: sources, C; bottleneck_size must be a multiple of it.
        bottleneck_size: channels of a band, N.
        hidden_size: channels within the U-shaped convolutions, H.
        n_blocks: passes through the one block.
        n_levels: resolutions of the U-shaped convolutions; at least 2.
        n_heads: heads of the attention; bottleneck_size must be a multiple of it.
        attention_size: channels of a head's queries and keys, E.
        sample_rate: that of the recipe, which says where the bands lie. Below 16 kHz there are fewer bands.
        dropout: in the middle of the U-shaped convolutions, in training.

    Inputs:
        features: [B, L, 2F].

    Outputs:
        Complex masks, [B, C, L, 2F].
    """

    causal_with: ClassVar[str] = "nothing: it sums up levels of the whole"
    mask_activations: ClassVar[tuple[str, ...]] = ("complex",)
    public: ClassVar[tuple[PublicModel, ...]] = (
        PublicModel(
            "config.json", "TIGER", _authors_config, _authors_names, marks=("att_hid_chan", "upsampling_depth")
        ),
    )

    def __init__(
        self,
        input_size: int,
        num_spks: int,
        *,
        bottleneck_size: Size = 128,
        hidden_size: Size = 256,
        n_blocks: Size = 4,
        n_levels: Annotated[int, Interval(ge=2, le=16)] = 5,
        n_heads: Size = 4,
        attention_size: Size = 4,
        sample_rate: Annotated[int, Interval(ge=1000, le=192000)] = 16000,
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        for name, number in (("num_spks", num_spks), ("n_heads", n_heads)):
            if bottleneck_size % number:
                raise InputError(f"bottleneck_size: expected a multiple of {name} ({number}), got {bottleneck_size}")
        self.n_blocks = n_blocks
        groups = band_groups(input_size // 2, sample_rate)
        self.split = BandSplit(groups, bottleneck_size)
        sizes: dict[str, Any] = {
            "n_levels": n_levels,
            "n_heads": n_heads,
            "attention_size": attention_size,
            "dropout": dropout,
        }
        self.along_bands = Path(bottleneck_size, hidden_size, **sizes)
        self.along_frames = Path(bottleneck_size, hidden_size, **sizes)
        self.join = DepthwiseConv(bottleneck_size, 1)
        self.join_prelu = PReLU()
        self.masks = BandMasks(groups, bottleneck_size, num_spks)

    def construct(self, features: Tensor) -> Tensor:
        n_batch, n_frames, n_features = features.shape
        mixture = self.split(features.reshape(n_batch, n_frames, 2, -1))  # [B, bands, L, N]
        x = self._block(mixture)
        for _ in range(self.n_blocks - 1):
            x = self._block(self.join_prelu(self._join(mixture + x)))
        return self.masks(x).reshape(n_batch, -1, n_frames, n_features)

    def _block(self, x: Tensor) -> Tensor:
        """[B, bands, L, N] to the same."""
        x = x + self.along_bands(x)
        return x + self.along_frames(x.swapaxes(1, 2)).swapaxes(1, 2)

    def _join(self, x: Tensor) -> Tensor:
        n_batch, n_bands, n_frames, width = x.shape
        return self.join(x.reshape(n_batch * n_bands, n_frames, width)).reshape(n_batch, n_bands, n_frames, width)


def band_groups(n_frequencies: int, sample_rate: int) -> list[tuple[int, int]]:
    """Returns the bands from low to high, those of one width together: frequencies of a band, and how many bands.

    Raises:
        InputError: a band would have no frequency.

    >>> band_groups(321, 16000)
    [(1, 40), (4, 10), (10, 8), (20, 8), (1, 1)]
    """
    groups: list[tuple[int, int]] = []
    left = n_frequencies
    for width in (math.floor(hertz / (sample_rate / 2) * n_frequencies) for hertz in BANDS_HZ):
        if width == 0:
            raise InputError(
                f"tiger: {n_frequencies} frequencies at {sample_rate} Hz leave bands of {BANDS_HZ[0]:g} Hz empty; "
                f"kernel_size must be at least {math.ceil(sample_rate / BANDS_HZ[0])}"
            )
        if width >= left:
            break
        if groups and groups[-1][0] == width:
            groups[-1] = (width, groups[-1][1] + 1)
        else:
            groups.append((width, 1))
        left -= width
    return [*groups, (left, 1)]


class BandSplit(nn.Cell):
    """Norm and projection of each band, each with parameters of its own; bands of one width are computed together.

    Args:
        groups: those of `band_groups`.
        n_channels: N.

    Inputs:
        spectrum: [B, L, 2, F].

    Outputs:
        [B, bands, L, N].
    """

    def __init__(self, groups: list[tuple[int, int]], n_channels: int) -> None:
        super().__init__()
        self.groups, self.n_channels = groups, n_channels
        widths = [width for width, n_bands in groups for _ in range(n_bands)]
        self.norm = nn.CellList([GlobalLayerNorm(2 * width, NORM_EPSILON) for width in widths])
        self.dense = nn.CellList([dense(2 * width, n_channels) for width in widths])

    def construct(self, spectrum: Tensor) -> Tensor:
        parts, band, start = [], 0, 0
        for width, n_bands in self.groups:
            end = start + n_bands * width
            parts.append(self._of_one_width(spectrum[:, :, :, start:end], band, n_bands, width))
            band, start = band + n_bands, end
        return ops.concat(parts, axis=1)

    def _of_one_width(self, spectrum: Tensor, first: int, n_bands: int, width: int) -> Tensor:
        """[B, L, 2, G * W] to [B, G, L, N], for the G bands from `first` on."""
        n_batch, n_frames, _, _ = spectrum.shape
        x = spectrum.reshape(n_batch, n_frames, 2, n_bands, width).transpose(3, 0, 1, 2, 4)
        x = x.reshape(n_bands, n_batch, n_frames, 2 * width)  # [G, B, L, 2W]
        x = x - x.mean(axis=(2, 3), keep_dims=True)
        x = x * ops.rsqrt(ops.square(x).mean(axis=(2, 3), keep_dims=True) + NORM_EPSILON)
        gammas, betas, weights, biases = [], [], [], []
        for band in range(first, first + n_bands):
            gammas.append(self.norm[band].gamma)
            betas.append(self.norm[band].beta)
            weights.append(self.dense[band].weight)
            biases.append(self.dense[band].bias)
        x = x * ops.stack(gammas).reshape(n_bands, 1, 1, -1) + ops.stack(betas).reshape(n_bands, 1, 1, -1)
        x = ops.bmm(x.reshape(n_bands, -1, 2 * width), ops.stack(weights).swapaxes(1, 2))
        x = x + ops.stack(biases).expand_dims(1)  # [G, B * L, N]
        return x.reshape(n_bands, n_batch, n_frames, self.n_channels).swapaxes(0, 1)

    def own_multiply_adds(self, spectrum: Tensor) -> int:
        """Returns the multiply-adds of the projections."""
        return spectrum.size * self.n_channels


class BandMasks(nn.Cell):
    """Complex masks of each band, each with parameters of its own; those of the sources add up to 1.

    The published projection has a group for each source, but hands out its results in another order: of two sources,
    the first group makes what is gated, for both, and the second the gates.

    Args:
        groups: those of `band_groups`.
        n_channels: N.
        num_spks: sources, C.

    Inputs:
        x: [B, bands, L, N].

    Outputs:
        [B, C, L, 2, F].
    """

    def __init__(self, groups: list[tuple[int, int]], n_channels: int, num_spks: int) -> None:
        super().__init__()
        self.groups, self.num_spks = groups, num_spks
        self.n_frequencies = sum(width * n_bands for width, n_bands in groups)
        widths = [width for width, n_bands in groups for _ in range(n_bands)]
        self.prelu = nn.CellList([PReLU() for _ in widths])
        self.dense = nn.CellList([dense(n_channels // num_spks, 4 * width * num_spks) for width in widths])
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        parts, band = [], 0
        for width, n_bands in self.groups:
            parts.append(self._of_one_width(x[:, band : band + n_bands], band, width))
            band += n_bands
        return ops.concat(parts, axis=4)

    def _of_one_width(self, x: Tensor, first: int, width: int) -> Tensor:
        """[B, G, L, N] to [B, C, L, 2, G * W], for the G bands from `first` on."""
        n_batch, n_bands, n_frames, n_channels = x.shape
        slopes, weights, biases = [], [], []
        for band in range(first, first + n_bands):
            slopes.append(self.prelu[band].weight)
            weights.append(self.dense[band].weight)
            biases.append(self.dense[band].bias)
        x = self.relu(x) - ops.stack(slopes).reshape(1, n_bands, 1, 1) * self.relu(-x)
        n_grouped = n_channels // self.num_spks
        x = x.reshape(n_batch, n_bands, n_frames, self.num_spks, n_grouped).transpose(1, 3, 0, 2, 4)
        weight = ops.stack(weights).reshape(n_bands * self.num_spks, -1, n_grouped)  # [G * groups, 4W, N / C]
        y = ops.bmm(x.reshape(n_bands * self.num_spks, -1, n_grouped), weight.swapaxes(1, 2))  # [G * groups, B * L, 4W]
        y = y.reshape(n_bands, self.num_spks, -1, 4 * width).swapaxes(1, 2)  # [G, B * L, groups, 4W]
        y = y.reshape(n_bands, -1, 4 * width * self.num_spks) + ops.stack(biases).expand_dims(1)
        y = y.reshape(n_bands, n_batch * n_frames, 2, 2, self.num_spks * width)
        masks = y[:, :, 0] * ops.sigmoid(y[:, :, 1])  # [G, B * L, 2, C * W]
        masks = masks.reshape(n_bands, n_batch, n_frames, 2, self.num_spks, width)
        real, imaginary = masks[:, :, :, :1], masks[:, :, :, 1:]
        real = real - (real.mean(axis=4, keep_dims=True) - 1 / self.num_spks)
        imaginary = imaginary - imaginary.mean(axis=4, keep_dims=True)
        masks = ops.concat((real, imaginary), axis=3).transpose(1, 4, 2, 3, 0, 5)  # [B, C, L, 2, G, W]
        return masks.reshape(n_batch, self.num_spks, n_frames, 2, n_bands * width)

    def own_multiply_adds(self, x: Tensor) -> int:
        """Returns the multiply-adds of the projections."""
        n_batch, _, n_frames, n_channels = x.shape
        return n_batch * n_frames * n_channels * 4 * self.n_frequencies


class Path(nn.Cell):
    """A U-shaped convolution and attention along one axis.

    Args:
        width: channels, N.
        hidden_size, n_levels, n_heads, attention_size, dropout: those of `TIGER`.

    Inputs:
        x: [B, A, O, N], along A.

    Outputs:
        The same shape.
    """

    def __init__(
        self, width: int, hidden_size: int, *, n_levels: int, n_heads: int, attention_size: int, dropout: float
    ) -> None:
        super().__init__()
        self.block = UBlock(width, hidden_size, Perceptron(hidden_size, dropout), n_levels=n_levels, gated=True)
        self.attention = AxisAttention(width, n_heads, attention_size)
        self.norm = ChannelLayerNorm(width, 1e-5)

    def construct(self, x: Tensor) -> Tensor:
        n_batch, n_along, n_other, width = x.shape
        y = self.block(x.swapaxes(1, 2).reshape(n_batch * n_other, n_along, width))
        y = y.reshape(n_batch, n_other, n_along, width).swapaxes(1, 2)
        return self.norm(self.attention(y))


class Perceptron(nn.Cell):
    """Two dense layers with a convolution between them, at the coarsest level of a U-shaped convolution.

    Args:
        n_channels: H.
        dropout: after the convolution, and of the result.

    Inputs:
        x: [B, L, H].

    Outputs:
        The same shape.
    """

    def __init__(self, n_channels: int, dropout: float) -> None:
        super().__init__()
        self.first = dense(n_channels, n_channels, has_bias=False)
        self.first_norm = GlobalLayerNorm(n_channels)
        self.conv = DepthwiseConv(n_channels, KERNEL_SIZE)
        self.relu = nn.ReLU()
        self.second = dense(n_channels, n_channels, has_bias=False)
        self.second_norm = GlobalLayerNorm(n_channels)
        self.dropout = nn.Dropout(p=float(dropout))

    def construct(self, x: Tensor) -> Tensor:
        x = self.dropout(self.relu(self.conv(self.first_norm(self.first(x)))))
        return self.dropout(self.second_norm(self.second(x)))


class Projection(nn.Cell):
    """Dense layer, PReLU, and a norm over the channels: [..., N] to [..., E]."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.dense = dense(n_in, n_out)
        self.prelu = PReLU()
        self.norm = ChannelLayerNorm(n_out, 1e-5)

    def construct(self, x: Tensor) -> Tensor:
        return self.norm(self.prelu(self.dense(x)))


class AxisAttention(nn.Cell):
    """Attention along one axis between vectors of all there is along the other (section 3.3, "F3A").

    Args:
        width: channels, N.
        n_heads: heads, H.
        attention_size: channels of a head's queries and keys, E.

    Inputs:
        x: [B, A, O, N], along A.

    Outputs:
        The same shape.
    """

    def __init__(self, width: int, n_heads: int, attention_size: int) -> None:
        super().__init__()
        self.attention_size = attention_size
        self.queries = nn.CellList([Projection(width, attention_size) for _ in range(n_heads)])
        self.keys = nn.CellList([Projection(width, attention_size) for _ in range(n_heads)])
        self.values = nn.CellList([Projection(width, width // n_heads) for _ in range(n_heads)])
        self.output = Projection(width, width)

    def construct(self, x: Tensor) -> Tensor:
        n_batch, n_along, n_other, _ = x.shape
        heads = []
        for of_query, of_key, of_value in zip(self.queries, self.keys, self.values):
            query = of_query(x).reshape(n_batch, n_along, -1)  # [B, A, O * E]
            key = of_key(x).reshape(n_batch, n_along, -1)
            value = of_value(x).reshape(n_batch, n_along, -1)  # [B, A, O * N / H]
            scores = ops.bmm(query, key.swapaxes(1, 2)) * (self.attention_size * n_other) ** -0.5  # [B, A, A]
            heads.append(ops.bmm(ops.softmax(scores, axis=-1), value).reshape(n_batch, n_along, n_other, -1))
        return x + self.output(ops.concat(heads, axis=3))

    def own_multiply_adds(self, x: Tensor) -> int:
        """Returns the multiply-adds of the products between places."""
        n_batch, n_along, n_other, width = x.shape
        return n_batch * n_along**2 * n_other * (len(self.queries) * self.attention_size + width)
