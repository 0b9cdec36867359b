"""The contract: lexicon documents, validator, data model, string formats. Pure; imports nothing of ours."""
