"""An independent repository writer that really signs, and forges: the witness the verifier is held against.

It is written from the protocol's documents and imports nothing of the packages it helps to test.

- `repo`: `Repo(did, key, Host())`, `repo.commit([Write("create", path, record)])` → `CommitEvent`, `.frame()` → bytes;
  also `sync()`, `identity()`, `account()`, `rotate(key)`, `migrate(host, key)`, `export()`; `info` and `error` frames.
- `keys`: `SigningKey.from_seed("name", P256)`; `.sign`, `.sign_high_s`, `.sign_der`, `.multikey`; `verify`.
- `mining`: keys of a chosen height, so that trees of any shape can be had. `mst`: `build(leaves)` → the root `Node`.
- `proof`: `invert(nodes, root, ops)` → the root before; `covering_nodes`; `minimal_proof(nodes, sufficient)`.
- `generate`: `histories(random.Random(1), 100_000)` yields commits with the whole truth beside each.
- `forge`: `FORGERIES` (one flaw each), `GENUINE` (odd and sound), `removals` (a proof's nodes left out in turn).
- `witness`: `examine(frame, multikey, prior, now_us)` → `Verdict(verdict, reason)`: a slow, plain second opinion.
"""
