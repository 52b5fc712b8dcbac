"""The predecessor's API: its methods, DocTypes and envelopes, so that clients written for it work unchanged."""
