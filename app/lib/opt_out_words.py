"""The words by which people opt out of messages, and in again, in the languages of our customers."""

from __future__ import annotations

import unicodedata

#: A message that consists of one of these opts out.
STOP = frozenset(
    {
        # English, as the carriers know it
        *(
            "stop",
            "stop all",
            "stopall",
            "unsubscribe",
            "opt out",
            "optout",
            "opt-out",
            "revoke",
            "quit",
            "stop promotions",
        ),
        # Hindi, also in Latin letters
        *("रोकें", "रोको", "रुकें", "बंद", "बंद करो", "बंद करें", "बन्द", "बन्द करो", "बन्द करें", "स्टॉप", "मैसेज बंद करें"),
        *("band karo", "band kare", "band karen", "roko"),
        # Gujarati
        *("બંધ", "બંધ કરો", "રોકો", "અટકાવો", "સ્ટોપ", "મેસેજ બંધ કરો"),
        # Marathi
        *("थांबवा", "थांबा", "बंद करा", "बन्द करा", "नको", "मेसेज बंद करा", "band kara", "thambva"),
        # Bengali, Punjabi, Tamil, Telugu, Kannada and Malayalam
        *("বন্ধ", "বন্ধ করো", "বন্ধ করুন", "bondho koro", "bondho korun"),
        *("ਬੰਦ", "ਬੰਦ ਕਰੋ"),
        *("நிறுத்து", "நிறுத்தவும்", "நிறுத்துங்கள்", "niruthu", "niruthavum"),
        *("ఆపు", "ఆపండి", "aapandi"),
        *("ನಿಲ್ಲಿಸು", "ನಿಲ್ಲಿಸಿ", "nillisi"),
        *("നിർത്തുക", "നിർത്തൂ", "nirthuka"),
    }
)
#: A message that consists of one of these opts in again.
START = frozenset(
    {
        *("start", "unstop", "subscribe", "opt in", "optin", "opt-in", "resume"),
        *("शुरू", "शुरू करो", "शुरू करें", "चालू", "चालू करो", "चालू करें", "स्टार्ट", "chalu karo", "shuru karo"),
        *("શરૂ", "શરૂ કરો", "ચાલુ", "ચાલુ કરો", "સ્ટાર્ટ"),
        *("सुरू", "सुरू करा", "सुरु", "सुरु करा", "चालू करा", "chalu kara", "suru kara"),
        *("চালু করো", "চালু করুন", "শুরু করুন", "chalu korun", "shuru korun"),
        *("ਸ਼ੁਰੂ ਕਰੋ", "ਚਾਲੂ ਕਰੋ"),
        *("தொடங்கு", "தொடங்கவும்", "ప్రారంభించండి", "ಪ್ರಾರಂಭಿಸಿ", "തുടങ്ങുക"),
    }
)
#: Longer texts can't be one of these.
MAX_LENGTH = 40


def _plain(text: str) -> str:
    """Lower case, composed, with single spaces and no punctuation. Vowel signs stay, though they aren't letters."""
    text = unicodedata.normalize("NFC", text).casefold()
    kept = (char if unicodedata.category(char)[0] in "LMN" or char == "-" else " " for char in text)
    return " ".join("".join(kept).split()).strip("-")


_STOP, _START = (frozenset(map(_plain, words)) for words in (STOP, START))


def consent_change(text: str | None) -> str | None:
    """withdrawn for a STOP, given for a START, None for any other text."""
    if not text or len(text) > MAX_LENGTH:
        return None
    plain = _plain(text)
    return "withdrawn" if plain in _STOP else "given" if plain in _START else None
