"""Field types: how a column is selected, displayed, parsed and filtered; the masters and custom fields they use."""
