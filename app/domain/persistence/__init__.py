"""How rows are written: bulk statements, effects of a saved row, history, numbers, what a transaction gathers."""
