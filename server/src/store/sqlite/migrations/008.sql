-- Schema 8: users that were removed. Their names are not given again: versions, grants and the audit log go on naming them.

CREATE TABLE removed_users (
    uid     TEXT PRIMARY KEY,
    removed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
