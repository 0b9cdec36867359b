"""All mutants: of what is believed, of how it gets into the tables, of the tables, and of who asks."""

from typing import Final

from tests.mutants import callers, index, ingest, proof
from tests.mutants.mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (*proof.MUTANTS, *ingest.MUTANTS, *index.MUTANTS, *callers.MUTANTS)
