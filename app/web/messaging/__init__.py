"""Messages and calls through providers: their hooks, conversations, accounts, and failures."""
