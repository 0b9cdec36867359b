"""A real PLC directory and real PDSes on loopback, as tests and `make network` use them.

`setup` installs them, `launch` runs them in a process of their own, `network` speaks to them, `fixtures` gives them
to tests. `arroba_pds` is a second, independent PDS beside the same directory.
"""
