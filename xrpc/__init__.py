"""From a request to JSON: the XRPC surface stands here from the next milestone on."""
