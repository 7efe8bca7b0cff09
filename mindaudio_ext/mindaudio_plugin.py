"""Our separators as models of MindAudio's; `mindaudio_ext.register_with_mindaudio` is the call to use."""

import importlib
from types import ModuleType
from typing import Any, ClassVar

from mindaudio_ext.config import Config, arguments_of, make_config
from mindaudio_ext.errors import InputError
from mindaudio_ext.models.tasnet import TasNet
from mindaudio_ext.registry import MODELS, get_separator, list_separators


class WaveformModel(TasNet):
    """A separator with its encoder and decoder, waveform in, estimates out.

    Args:
        options: `num_spks`, `n_filters`, `kernel_size`, `stride`, `encoder_activation` and `mask_activation` as in
            conf/base.yaml, with its defaults; any other is an option of the separator.

    Inputs:
        mixture: [B, T] with T >= kernel_size.

    Outputs:
        Estimates, [B, C, T].

    Raises:
        InputError: an option is unknown or has a wrong value.
    """

    separator_name: ClassVar[str]

    def __init__(self, **options: Any) -> None:
        super().__init__(**arguments_of(self._config(options), "model_conf"))

    @classmethod
    def _config(cls, options: dict[str, Any]) -> Config:
        keys = (MODELS.options("tasnet") or {}).keys() - {"separator", "separator_conf"}
        values = {key: value for key, value in options.items() if key in keys}
        separator_conf = {key: value for key, value in options.items() if key not in keys}
        return make_config({**values, "separator": cls.separator_name, "separator_conf": separator_conf}, cls.__name__)


def add_models() -> dict[str, type]:
    """Adds a model to `mindaudio.models` for each registered separator; gives them by name."""
    mindaudio_models = _import_mindaudio()
    models: dict[str, type] = {}
    for separator in list_separators():
        name = get_separator(separator).__name__
        there: Any = getattr(mindaudio_models, name, None)
        if getattr(there, "separator_name", None) == separator:
            models[name] = there
        elif there is not None or name in models:
            raise InputError(f"mindaudio.models has another {name}; rename the class of separator '{separator}'")
        else:
            models[name] = type(name, (WaveformModel,), {"separator_name": separator, "__module__": __name__})
    for name, model in models.items():
        setattr(mindaudio_models, name, model)
    return models


def _import_mindaudio() -> ModuleType:
    try:
        return importlib.import_module("mindaudio.models")
    except ImportError as error:
        raise InputError(f"MindAudio cannot be imported ({error}); pip install mindaudio==0.3.0") from error
