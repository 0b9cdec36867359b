"""A repository from bytes alone: CAR blocks, the signed commit, the Merkle search tree. Pure."""
