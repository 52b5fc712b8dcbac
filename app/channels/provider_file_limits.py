"""Which files the providers take, by type and size. Sources: Meta's and Twilio's pages on supported media types."""

from __future__ import annotations

from app.lib.file_kinds import EXCEL, POWERPOINT, WORD

MB = 1_000_000
PICTURES = ("image/jpeg", "image/png")
VIDEOS = ("video/mp4", "video/3gpp")
SOUNDS = ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg")
DOCUMENTS = ("application/pdf", "application/msword", WORD, EXCEL, POWERPOINT, "text/plain")
#: Other types that may be sent by email.
_MAILED = ("image/gif", "image/webp", "image/heic", "audio/wav", "video/quicktime", "video/webm", "application/rtf")

#: Meta accepts documents of up to 100 MB; we store files of up to 25 MB.
META_FILES = {
    **dict.fromkeys(PICTURES, 5 * MB),
    **dict.fromkeys((*VIDEOS, *SOUNDS), 16 * MB),
    **dict.fromkeys(DOCUMENTS, 25 * MB),
}
#: Twilio passes up to 16 MB on to WhatsApp, which accepts pictures of up to 5 MB.
TWILIO_FILES = {kind: min(most, 16 * MB) for kind, most in META_FILES.items()}
#: Mail servers commonly accept 25 MB, and encoding makes a file a third larger.
MAIL_FILES = dict.fromkeys((*PICTURES, *VIDEOS, *SOUNDS, *DOCUMENTS, *_MAILED, "application/zip"), 18 * MB)
