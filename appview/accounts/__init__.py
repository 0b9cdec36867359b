"""Who calls us, and on whose behalf."""
