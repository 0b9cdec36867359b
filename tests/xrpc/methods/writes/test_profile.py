"""Profiles at a real PDS."""

from tests.xrpc.methods.writes.writer import Writer


async def test_a_profile_is_made_and_changed(alice: Writer) -> None:
    first = await alice.do("actor.updateProfile", bio="I listen")
    made = await alice.record(first["uri"])
    assert first["uri"] == f"at://{alice.did}/fm.plyr.actor.profile/self"
    assert (made["bio"], first["profile"]["bio"], first["profile"]["did"]) == ("I listen", "I listen", alice.did)
    unknown = {"org.example.pronouns": "she/her"}
    await alice.user.put_record("fm.plyr.actor.profile", "self", made | unknown)
    second = await alice.do("actor.updateProfile", avatar="https://alice.test/me.png", clear=["bio"])
    after = await alice.record(second["uri"])
    assert after == {
        "$type": "fm.plyr.actor.profile",
        "avatar": "https://alice.test/me.png",
        "createdAt": made["createdAt"],
        "updatedAt": after["updatedAt"],
        **unknown,
    }
    again = await alice.do("actor.updateProfile", avatar="https://alice.test/me.png")
    assert (again["cid"], "rev" in again) == (second["cid"], False)
    assert await alice.refused("actor.updateProfile", bio="x", clear=["bio"]) == "InvalidRequest"
    # The same call by the same key is done once; another by that key is not done.
    for _ in range(2):
        await alice.do("actor.updateProfile", "one", bio="I make songs")
    assert await alice.refused("actor.updateProfile", "one", bio="I do not") == "IdempotencyMismatch"


async def test_a_profile_with_nothing_in_it(alice: Writer) -> None:
    answer = await alice.do("actor.updateProfile")
    assert (await alice.record(answer["uri"])).keys() == {"$type", "createdAt"}
