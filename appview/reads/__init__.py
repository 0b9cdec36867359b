"""What queries ask of the index: pages of addresses, views of what is at them, and why something is not there.

Nothing here speaks to the network, and nothing of an account that is not visible leaves the database.
"""
