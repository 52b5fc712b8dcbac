"""What providers and mailboxes report: what happens with a message, an email or a delivery report that arrives."""
