"""A feed generator, whole, as anybody might write one: `python -m tests.generator`. Nothing of the AppView is in it."""
