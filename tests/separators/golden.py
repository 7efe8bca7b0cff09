"""A model against Asteroid 0.7's outputs, stored in tests/golden, and what every separator must show.

The initial parameters are those of the `.pth` files; the `param/` arrays beside the outputs are those after the five steps.
"""

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindaudio_ext.convert.torch_file import read_torch_file
from mindaudio_ext.losses.pit import PITLoss
from mindaudio_ext.models.tasnet import TasNet
from mindaudio_ext.models.whole import WholeUtterance

GOLDEN = Path(__file__).parents[1] / "golden"


def our_name(name, renamed):
    """Asteroid's name of a parameter, after the replacements (theirs, ours) in order."""
    for theirs, ours in renamed:
        name = name.replace(theirs, ours)
    return name


def tasnet(separator, num_spks=2, *, n_filters=8, kernel_size=16, encoder="linear", mask="sigmoid", **separator_conf):
    """A small model with fixed random values."""
    ms.set_seed(3)
    return TasNet(
        separator=separator,
        separator_conf=separator_conf,
        num_spks=num_spks,
        n_filters=n_filters,
        kernel_size=kernel_size,
        stride=None,
        encoder_activation=encoder,
        mask_activation=mask,
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

    def check_five_adam_steps(self):
        optimizer = nn.Adam(self.model.trainable_params(), 1e-3)
        gradients_of = gradients(self.model)
        losses = []
        for _ in range(6):
            loss, grads = gradients_of(*self.batch)
            losses.append(float(loss))
            optimizer(ops.clip_by_global_norm(grads, 5.0))
        assert np.abs(np.array(losses) - self.arrays["loss_5_adam_steps_lr1e-3_clip5"]).max() < 1e-3


def gradients(model):
    """Gives (mixture, sources, lengths) -> the loss and the gradients of the trainable parameters."""
    loss_fn = PITLoss(model.num_spks)

    def loss(mixture, sources, lengths):
        return loss_fn(model(mixture), sources, lengths)

    return ms.value_and_grad(loss, None, model.trainable_params())


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
    """The graph of dynamic length gives what the static ones give."""
    whole = WholeUtterance(model)
    for n_samples in (kernel_size + 1, 777, 2003):
        mixture = noise(n_samples)
        expected = model(Tensor(mixture[None])).asnumpy()[0]
        got = whole.separate(mixture)
        assert got.shape == (model.num_spks, n_samples)
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
