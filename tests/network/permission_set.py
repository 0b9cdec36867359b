"""The permission set of our namespace, on the test network: published so that `include:` works, or taken back."""

from typing import Final

from lexicons.catalog import NAMESPACE, shipped
from lexicons.publication import COLLECTION, FULL_ACCESS, full_access
from tests.network.network import Network

SCOPE: Final = f"include:{NAMESPACE}.{FULL_ACCESS}"
_AUTHORITY: Final = f"_lexicon.{'.'.join(reversed(NAMESPACE.split('.')))}"


async def publish_permission_set(network: Network) -> None:
    """Publish what the set is now, from an account of its own, and have DNS vouch for that account."""
    publisher = await network.create_account("lexicons")
    await publisher.put_record(COLLECTION, f"{NAMESPACE}.{FULL_ACCESS}", dict(full_access(shipped(), NAMESPACE)))
    await network.set_txt(_AUTHORITY, f"did={publisher.did}")


async def withdraw_permission_set(network: Network) -> None:
    """Have nobody vouch for the set, which no PDS can resolve from then on: an app has to ask by the collection."""
    await network.set_txt(_AUTHORITY, "")
