"""Field types: how a column is selected, displayed, parsed and filtered; the picklists and custom fields they use."""
