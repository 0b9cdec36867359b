"""All mutants: of what is believed, of how it gets into the tables, and of the tables."""

from typing import Final

from tests.mutants import index, ingest, proof
from tests.mutants.mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (*proof.MUTANTS, *ingest.MUTANTS, *index.MUTANTS)
