"""The predecessor's API: its methods, DocTypes and response formats, so that existing clients work unchanged."""
