"""Speech separation on MindSpore: a plug-in for MindAudio. Importing it does not import MindSpore.

separator = mindaudio_ext.Separator.load("exp/mini")
estimates = separator.separate(audio, rate)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindaudio_ext.inference.separator import Separator

__all__ = ["Separator", "register_with_mindaudio"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Imports `Separator`, and with it NumPy, when it is first used."""
    if name == "Separator":
        from mindaudio_ext.inference.separator import Separator

        return Separator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def register_with_mindaudio() -> dict[str, type]:
    """Makes every registered separator a model of MindAudio's, for scripts that are written for it.

    A model is a Cell, waveform [B, T] in, estimates [B, C, T] out, and is called as the separator's class:

        import mindaudio_ext

        mindaudio_ext.register_with_mindaudio()
        from mindaudio.models import DPRNN

        model = DPRNN(num_spks=2, kernel_size=16, chunk_size=100)

    Returns:
        The models by name, as they are in `mindaudio.models` now. A second call adds what was registered since.

    Raises:
        InputError: MindAudio is not installed, or has another model of that name.
    """
    from mindaudio_ext.mindaudio_plugin import add_models  # imports MindSpore

    return add_models()
