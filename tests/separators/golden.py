"""A model against Asteroid 0.7's outputs, stored in tests/golden, and what every separator must show.

The initial parameters are those of the `.pth` files; the `param/` arrays beside the outputs are those after five steps.
"""

from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindaudio_ext.convert.torch_file import read_torch_file
from mindaudio_ext.losses.pit_si_snr import PITLoss
from mindaudio_ext.models.evaluation import WholeUtterance
from mindaudio_ext.models.tasnet import TasNet

GOLDEN = Path(__file__).parents[1] / "golden"


def our_name(name, renamed):
    """Asteroid's name of a parameter, after the replacements (theirs, ours) in order."""
    for theirs, ours in renamed:
        name = name.replace(theirs, ours)
    return name


def tasnet(
    separator,
    num_spks=2,
    *,
    n_filters=8,
    filter_size=16,
    stride=None,
    encoder="linear",
    mask="sigmoid",
    filterbank="conv",
    filterbank_conf=MappingProxyType({}),
    normalize_variance=False,
    **separator_conf,
):
    """A small model with fixed random values."""
    ms.set_seed(3)
    return TasNet(
        separator=separator,
        separator_conf=separator_conf,
        num_spks=num_spks,
        n_filters=n_filters,
        kernel_size=filter_size,
        stride=stride,
        encoder_activation=encoder,
        mask_activation=mask,
        encoder=filterbank,
        encoder_conf=filterbank_conf,
        normalize_variance=normalize_variance,
    )


def noise(*shape):
    return np.random.default_rng(5).standard_normal(shape).astype(np.float32)


class Golden:
    """One stored model: its outputs, and ours with its parameters.

    Args:
        name: of the files in tests/golden.
        model: ours.
        renamed: (theirs, ours) for parts of parameter names.
        unused: our names of the parameters that do not affect the loss.
    """

    def __init__(self, name, model, renamed, unused=()):
        self.arrays = dict(np.load(GOLDEN / f"{name}.npz"))
        self.model, self.renamed, self.unused = model, renamed, set(unused)
        state = read_torch_file(GOLDEN / f"{name}.pth")["state_dict"]
        theirs = {our_name(name, renamed): value for name, value in state.items()}
        ours = {parameter.name: parameter for parameter in model.get_parameters()}
        assert set(theirs) == set(ours)
        for name, value in theirs.items():
            ours[name].set_data(Tensor(value.reshape(ours[name].shape)))
        mixture, sources = self.arrays["mixture"], self.arrays["sources"]
        lengths = np.full(len(mixture), mixture.shape[-1], np.int32)
        self.batch = Tensor(mixture), Tensor(sources), Tensor(lengths)

    def check_estimate(self):
        expected = self.arrays["estimate"]
        estimate = self.model(self.batch[0]).asnumpy()
        assert np.abs(estimate - expected).max() < 1e-5 * np.abs(expected).max()

    def check_gradients(self):
        loss, grads = gradients(self.model)(*self.batch)
        assert abs(float(loss) - self.arrays["loss"]) < 1e-4
        stored = {k[5:]: v for k, v in self.arrays.items() if k.startswith("grad/")}
        theirs = {our_name(name, self.renamed): value for name, value in stored.items()}
        assert set(theirs) | self.unused == {p.name for p in self.model.trainable_params()}
        for parameter, grad in zip(self.model.trainable_params(), grads):
            expected = np.zeros(grad.shape) if parameter.name in self.unused else theirs[parameter.name]
            difference = np.abs(grad.asnumpy() - expected.reshape(grad.shape)).max()
            assert difference <= 1e-4 * np.abs(expected).max(), parameter.name

    def check_five_adam_steps(self, before_step=lambda: None):
        adam = Adam(self.model.trainable_params())
        gradients_of = gradients(self.model)
        losses = []
        for _ in range(6):
            before_step()
            loss, grads = gradients_of(*self.batch)
            losses.append(float(loss))
            adam.step([grad.asnumpy() for grad in grads])
        assert np.abs(np.array(losses) - self.arrays["loss_5_adam_steps_lr1e-3_clip5"]).max() < 1e-3


class Adam:
    """Adam as published (Kingma and Ba, 2015, algorithm 1), after clipping to a global norm of 5.

    MindSpore's adds epsilon before the second moment's bias is corrected: 32 times more of it in the first step, which
    gradients clipped to 1e-6 feel (DPTNet's loss is 1.1e-3 dB off after one step).
    """

    def __init__(self, parameters):
        self.parameters = parameters
        self.values = [parameter.asnumpy().astype(np.float64) for parameter in parameters]
        self.first = self.second = [0.0] * len(parameters)
        self.n_steps = 0

    def step(self, grads):
        self.n_steps += 1
        grads = [grad.astype(np.float64) for grad in grads]
        factor = min(1.0, 5.0 / np.sqrt(sum((grad**2).sum() for grad in grads)))
        self.first = [0.9 * m + 0.1 * factor * grad for m, grad in zip(self.first, grads)]
        self.second = [0.999 * v + 0.001 * (factor * grad) ** 2 for v, grad in zip(self.second, grads)]
        for value, parameter, m, v in zip(self.values, self.parameters, self.first, self.second):
            value -= 1e-3 * m / (1 - 0.9**self.n_steps) / (np.sqrt(v / (1 - 0.999**self.n_steps)) + 1e-8)
            ops.assign(parameter, Tensor(value.astype(np.float32)))


def gradients(model, *, compiled=True):
    """Returns a graph (mixture, sources, lengths) -> the loss and the gradients of the trainable parameters.

    Not compiled, it runs operator by operator: sooner there for a tiny model and a few calls.
    """
    loss_fn = PITLoss(num_spks=model.num_spks)

    def loss(mixture, sources, lengths):
        return loss_fn(model(mixture), sources, lengths)

    value_and_grad = ms.value_and_grad(loss, None, model.trainable_params())

    @ms.jit
    def graph(mixture, sources, lengths):
        return value_and_grad(mixture, sources, lengths)

    return graph if compiled else value_and_grad


@contextmanager
def graph_mode():
    """As the commands run models; tests run them operator by operator otherwise."""
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        yield
    finally:
        ms.set_context(mode=mode)


def check_every_parameter_moves(model, unused=()):
    """After one step of Adam all parameters but the unused have a gradient that is not zero and have moved."""
    n_src, n_samples = model.num_spks, 500
    before = {p.name: p.asnumpy().copy() for p in model.trainable_params()}
    sources = noise(2, n_src, n_samples)
    lengths = np.full(2, n_samples, np.int32)
    _, grads = gradients(model)(Tensor(sources.sum(1)), Tensor(sources), Tensor(lengths))
    nn.Adam(model.trainable_params(), 1e-3)(grads)
    still = {p.name for p, grad in zip(model.trainable_params(), grads) if not np.abs(grad.asnumpy()).max() > 0}
    unmoved = {p.name for p in model.trainable_params() if np.array_equal(p.asnumpy(), before[p.name])}
    assert still == unmoved == set(unused)
    assert before.keys() == {p.name for p in model.get_parameters()}


def check_lengths(model, kernel_size):
    """Any length from a sample more than the kernel up, and any batch, gives outputs as long as the input."""
    for n_batch, n_samples in ((1, kernel_size + 1), (3, 1001)):
        estimates = model(Tensor(noise(n_batch, n_samples))).asnumpy()
        assert estimates.shape == (n_batch, model.num_spks, n_samples)
        assert np.isfinite(estimates).all()
        assert np.abs(estimates).max() > 0


def check_whole_utterances(model, kernel_size):
    """The graph of dynamic length gives what the operators give on a known one."""
    mixtures = [noise(n_samples) for n_samples in (kernel_size + 1, 777, 2003)]
    all_expected = [model(Tensor(mixture[None])).asnumpy()[0] for mixture in mixtures]
    with graph_mode():
        whole = WholeUtterance(model, eager_seconds=0)
        all_got = [whole.separate(mixture) for mixture in mixtures]
    for mixture, expected, got in zip(mixtures, all_expected, all_got):
        assert got.shape == (model.num_spks, len(mixture))
        assert np.abs(got - expected).max() <= 1e-6 * np.abs(expected).max()


def check_option_has_effect(make, option, value):
    """`make(option=value)` differs from `make()` in its parameters or, with equal parameters, its training output."""
    default, changed = make(), make(**{option: value})
    shapes = [[(p.name, p.shape) for p in model.get_parameters()] for model in (default, changed)]
    if shapes[0] != shapes[1]:
        return
    for mine, other in zip(changed.get_parameters(), default.get_parameters()):
        mine.set_data(other.value())
    mixture = Tensor(noise(2, 1001))
    ms.set_seed(3)
    first, second = (model.set_train()(mixture).asnumpy() for model in (default, changed))
    assert np.abs(first - second).max() > 1e-4 * np.abs(first).max()
