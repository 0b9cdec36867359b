"""What is served beside XRPC, and what every response passes on its way out."""
