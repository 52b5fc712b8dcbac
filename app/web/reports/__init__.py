"""Reports that people build from records, see as tables and charts, download, and get by email."""
