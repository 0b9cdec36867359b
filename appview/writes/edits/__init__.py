"""What is done to a record between reading it at its PDS and writing it back: pure functions, `change(record)`.

Each takes a record as JSON has it and gives the record as it is to be, or None where nothing is to be changed. Whatever
a function is not about stays as it was written: fields that nobody here knows, blobs, and what is wrong with a record
(WR-09). It may be asked again with a newer version of the record, and then does to that what it was meant to do: so
two who edit at once both have their way.
"""
