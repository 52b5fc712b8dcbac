"""An invented recording: the rising and falling tone of a telephone, for installations without a provider."""

from __future__ import annotations

import io
import math

#: Samples per second, as in telephony; one byte each.
RATE = 8000
#: Longer ones are cut.
MAX_SECONDS = 600
_PITCHES = (440, 494, 554, 494)


def wav_tone(seconds: int) -> bytes:
    """A WAV file of this length."""
    import wave  # only installations without a provider need it

    parts = [_second(pitch) for pitch in _PITCHES]
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(RATE)
        for n in range(max(1, min(seconds, MAX_SECONDS))):
            file.writeframes(parts[n % len(parts)])
    return made.getvalue()


def _second(pitch: int) -> bytes:
    """One second of sound that fades in and out."""
    return bytes(
        round(128 + 40 * math.sin(2 * math.pi * pitch * n / RATE) * math.sin(math.pi * n / RATE)) for n in range(RATE)
    )
