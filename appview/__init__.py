"""What records mean: identity now; index, reads, accounts and moderation grow here. Knows no socket and no request."""
