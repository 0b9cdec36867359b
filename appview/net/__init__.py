"""Speaking to the network safely, and who is who on it."""
