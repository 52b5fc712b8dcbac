"""The predecessor's doors: its methods, DocTypes and envelopes, so that what was written against it works unchanged."""
