"""What can be wrong with a repository's bytes. Each error carries the reason by which it is counted.

RepoError
 +-- CarError      the container: framing, roots, hashes
 +-- CommitError   the commit object and its signature
 +-- TreeError     the shape of the Merkle search tree
 +-- ProofError    what the tree was to prove, and does not
"""


class RepoError(ValueError):
    """The bytes are refused; `reason` is a short fixed name, the message one sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class CarError(RepoError):
    """The CAR is malformed, too large, or holds a block that is not what its CID says."""


class CommitError(RepoError):
    """The commit object is malformed, or not signed by the key it must be signed by."""


class TreeError(RepoError):
    """A node breaks a rule of the tree, so that no honest repository can hold it."""


class ProofError(RepoError):
    """The tree contradicts an operation, or too little of it is there to tell."""
