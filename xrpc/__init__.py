"""From a request to JSON: the XRPC API, what is served beside it, and the web process that does both."""
