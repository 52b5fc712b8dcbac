"""Import and export: lists, files, and everything at once."""
