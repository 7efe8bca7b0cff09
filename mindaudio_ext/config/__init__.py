"""The config: every key is declared once, in the file of its section; here is what the rest of the package calls.

`python -m mindaudio_ext.config.reference` writes conf/base.yaml and the tables of keys from the declarations.
"""

from mindaudio_ext.config.config import (
    ALIASES,
    BEFORE,
    FREE_KEYS,
    KEYS,
    Config,
    decoded_values,
    save_config,
    with_settings,
)
from mindaudio_ext.config.decoding import MOST_SHIFTS
from mindaudio_ext.config.options import arguments_of
from mindaudio_ext.config.read import (
    check_options,
    load_config,
    make_config,
    read_resolved,
    refuse_other_training,
    resolved_config,
)

__all__ = [
    "ALIASES",
    "BEFORE",
    "FREE_KEYS",
    "KEYS",
    "MOST_SHIFTS",
    "Config",
    "arguments_of",
    "check_options",
    "decoded_values",
    "load_config",
    "make_config",
    "read_resolved",
    "refuse_other_training",
    "resolved_config",
    "save_config",
    "with_settings",
]
