"""Messages to and from customers: accounts, conversations, templates, files, emails, consents and campaigns."""
