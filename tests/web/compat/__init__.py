"""The predecessor's doors, as its telephones and scripts knock at them."""
