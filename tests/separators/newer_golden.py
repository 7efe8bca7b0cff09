"""A model against the outputs of SpeechBrain, ESPnet or the authors' own code, stored in tests/golden/newer.

Parameters that are constant at the start (norms, biases, ...) have random values there, so that one forgotten shows.
"""

import json
import math
import re

import numpy as np
import pytest
from golden import GOLDEN, Adam, gradients
from mindspore import Tensor


def read_arrays(path):
    """The arrays of a file; those of each kind lie end to end in one vector, which the index tells apart."""
    stored = np.load(path)
    arrays = {name: stored[name] for name in stored.files if name != "index" and not name.startswith("flat/")}
    for kind, tensors in json.loads(str(stored["index"])).items():
        flat, start = stored[f"flat/{kind}"], 0
        for name, shape in tensors:
            end = start + math.prod(shape)
            arrays[f"{kind}/{name}"], start = flat[start:end].reshape(shape), end
    return arrays


class NewerGolden:
    """One stored model: its outputs, and ours with its parameters.

    Args:
        name: of the file in tests/golden/newer.
        model: ours.
        renamed: (pattern, ours) for parts of parameter names, in order.
        unused: a pattern of our names of parameters that do not affect the loss.
    """

    def __init__(self, name, model, renamed, unused="$^"):
        self.arrays = read_arrays(GOLDEN / "newer" / f"{name}.npz")
        self.model, self.renamed, self.unused = model.set_train(False), renamed, unused
        theirs = self.of_kind("param") | self.of_kind("buffer")
        ours = {parameter.name: parameter for parameter in model.get_parameters()}
        assert set(theirs) == set(ours), set(theirs) ^ set(ours)
        for name, value in theirs.items():
            ours[name].set_data(Tensor(value.reshape(ours[name].shape)))
        mixture, sources = self.arrays["mixture"], self.arrays["sources"]
        self.batch = Tensor(mixture), Tensor(sources), Tensor(np.full(len(mixture), mixture.shape[-1], np.int32))

    def of_kind(self, kind):
        """The arrays "kind/NAME" by our names; PyTorch's count of batches has none."""
        found = {n.removeprefix(f"{kind}/"): value for n, value in self.arrays.items() if n.startswith(f"{kind}/")}
        return {self.our_name(name): value for name, value in found.items() if not name.endswith("batches_tracked")}

    def our_name(self, name):
        for pattern, ours in self.renamed:
            name = re.sub(pattern, ours, name)
        return name

    def check_estimate(self, expected="estimate", mixture=None):
        """Within 1e-5 of the peak; each item of a batch alone too."""
        expected = self.arrays[expected]
        mixture = self.arrays["mixture"] if mixture is None else self.arrays[mixture]
        together = self.model(Tensor(mixture)).asnumpy()
        peak = np.abs(expected).max()
        assert np.abs(together - expected).max() < 1e-5 * peak
        for item in range(len(mixture) if len(mixture) > 1 else 0):
            alone = self.model(Tensor(mixture[item : item + 1])).asnumpy()
            assert np.abs(alone - expected[item]).max() < 1e-5 * peak

    def check_training(self, *, compiled=True):
        """Loss within 1e-5 of its value, gradients within 1e-4 of the largest, five steps of Adam within 1e-4 dB."""
        gradients_of = self.gradients() if compiled else gradients(self.model, compiled=False)
        adam = Adam(self.model.trainable_params())
        losses = []
        for step in range(6):
            loss, grads = gradients_of(*self.batch)
            losses.append(float(loss))
            if step == 0:
                self.check_gradients(grads, self.of_kind("grad"))
            adam.step([grad.asnumpy() for grad in grads])
        expected = self.arrays["loss_5_adam_steps_lr1e-3_clip5"]
        assert abs(losses[0] - self.arrays["loss"]) < 1e-5 * max(1, abs(self.arrays["loss"]))
        assert np.abs(np.array(losses) - expected).max() < 1e-4

    def gradients(self):
        """A graph of the batch that gives the loss and the gradients."""
        return gradients(self.model)

    def check_gradients(self, grads, expected):
        parameters = self.model.trainable_params()
        without = {parameter.name for parameter in parameters} - set(expected)
        assert all(re.search(self.unused, name) for name in without), without
        largest = max(np.abs(value).max() for value in expected.values())
        for parameter, grad in zip(parameters, grads):
            theirs = expected.get(parameter.name, np.zeros(grad.shape)).reshape(grad.shape)
            assert np.abs(grad.asnumpy() - theirs).max() <= 1e-4 * largest, parameter.name


def marked(cases, quick):
    """The cases; all but the quick ones, each of which compiles for 10 to 40 s, run under `tools/test.sh --all`."""
    return [case if case in quick else pytest.param(case, marks=pytest.mark.needs("--all")) for case in cases]


# The names in SpeechBrain's transformers, after which ours stand.
SPEECHBRAIN_TRANSFORMER = (
    (r"\.self_att\.att\.in_proj_", ".attention.in_proj."),
    (r"\.self_att\.att\.", ".attention."),
    (r"\.pos_ffn\.ffn\.0\.", ".feedforward_in."),
    (r"\.pos_ffn\.ffn\.3\.", ".feedforward_out."),
    (r"\.norm1\.norm\.weight", ".attention_norm.gamma"),
    (r"\.norm1\.norm\.bias", ".attention_norm.beta"),
    (r"\.norm2\.norm\.weight", ".feedforward_norm.gamma"),
    (r"\.norm2\.norm\.bias", ".feedforward_norm.beta"),
    (r"\.norm\.norm\.weight", ".norm.gamma"),
    (r"\.norm\.norm\.bias", ".norm.beta"),
)
