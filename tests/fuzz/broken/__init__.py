"""Targets that are broken on purpose: a fuzzer that cannot find these finds nothing."""
