"""The child that libFuzzer takes over: coverage-guided fuzzing of one target. Needs atheris."""

import random
import sys

import atheris

from tests.fuzz.child import Orders, die_with_parent
from tests.fuzz.target import Target, load
from tests.pure import prefer_source

_CORE = ("appview", "ingester", "lexicons")


def main() -> None:
    """Fuzz as ordered; libFuzzer ends the process, with 0 when time is up without a finding."""
    orders = Orders.received()
    die_with_parent()
    # What is compiled shows no coverage.
    prefer_source()
    with atheris.instrument_imports(include=[*_CORE, orders.module]):
        target = load(orders.module)
    orders.prepare(target)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        if target.mutate is None:
            return bytes(atheris.Mutate(data, max_size))
        return target.mutate(data, random.Random(seed), atheris.Mutate)[:max_size]

    atheris.Setup([sys.argv[0], *_options(orders, target)], target.check, custom_mutator=mutate)
    atheris.Fuzz()


def _options(orders: Orders, target: Target) -> list[str]:
    dictionary = orders.seeds.with_name("dictionary")
    dictionary.write_text("".join(f'"{_escaped(token)}"\n' for token in target.tokens))
    # libFuzzer takes an empty dictionary for a mistake.
    words = [f"-dict={dictionary}"] if target.tokens else []
    return [
        *words,
        f"-max_total_time={orders.seconds}",
        f"-seed={orders.seed}",
        f"-timeout={orders.timeout}",
        f"-rss_limit_mb={orders.memory_mb}",
        f"-max_len={target.max_len}",
        f"-artifact_prefix={orders.crashes}/",
        "-reload=0",
        *map(str, (orders.corpus, orders.seeds, orders.crashes)),
    ]


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token)


if __name__ == "__main__":
    main()
