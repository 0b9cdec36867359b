"""Room that is everybody's."""

from ingester.room import HELD_SECONDS, MAX_HELD, MAX_HELD_BYTES, MAX_HELD_BYTES_OF_ALL, SHARE, STRANGERS, Room

MB = 1_000_000


def filled(room: Room, hosts: int) -> None:
    """Let each of so many PDSes keep all that it may, a megabyte at a time."""
    for host in range(hosts):
        number = 0
        while room.has_some(f"{host} {number}", MB, f"https://{host}.test"):
            room.keep(f"{host} {number}", 1, MB, f"https://{host}.test")
            number += 1


def test_one_pds_takes_no_more_than_its_share() -> None:
    room = Room(lambda: 0.0)
    filled(room, 1)
    assert room.held.total() * MB < MAX_HELD_BYTES_OF_ALL / SHARE
    assert not room.has_some("another", MB, "https://0.test")
    assert room.has_some("another", MB, "https://1.test")
    assert room.has_some("another", MB, STRANGERS)


def test_however_many_there_are_there_is_room_for_another() -> None:
    room = Room(lambda: 0.0)
    filled(room, 30)
    assert room.held.total() * MB < MAX_HELD_BYTES_OF_ALL
    assert room.has_some("another", 5 * MB, "https://another.test")


def test_one_repository_takes_only_so_much() -> None:
    room = Room(lambda: 0.0)
    room.keep("did", MAX_HELD - 1, MAX_HELD_BYTES - 1, "")
    assert room.takes("did", 1)
    assert not room.takes("did", 2)
    room.keep("did", 1, 0, "")
    assert not room.takes("did", 0)
    assert room.takes("another", 2)


def test_what_is_let_go_leaves_nothing_behind() -> None:
    now = 0.0
    room = Room(lambda: now)
    room.keep("did", 2, MB, STRANGERS)
    room.keep("did", 1, MB, "https://pds.test")
    assert not room.is_overdue("did")
    now = HELD_SECONDS + 1
    assert room.is_overdue("did")
    assert not room.is_overdue("another")
    room.let_go("did")
    room.let_go("another")
    assert not room.is_overdue("did")
    assert not room.held
    assert not room._bytes_at
    assert not room._dids_at
    assert room._bytes_of_all == 0
