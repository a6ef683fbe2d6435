"""What the services need from the outside: the ledger, the vault, the stores.

Every method of a store is one database transaction, committed when it returns. Stores raise DatabaseUnavailableError
when the database is out of reach and StoreConflictError when a unique rule refuses a row; chain ports raise
LedgerUnavailableError. Neither kind of error says anything about a transaction's fate.
"""
