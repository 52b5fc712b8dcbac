"""Messages and calls of providers: the hooks at which they report, conversations, accounts, and what failed."""
