"""Comments and what people and machines do with them, in the ledger."""
