-- Schema 2: what was deleted, until its keys are erased and after; and what a backup asks the server to leave in place.

-- The document whose removal queued the key; NULL for a version that was replaced and for an upload that was given up.
ALTER TABLE erasures ADD COLUMN document BLOB;
CREATE INDEX erasures_document ON erasures (document) WHERE document IS NOT NULL;

-- The deletion log: one row for every document, link and folder that was removed. Lists are JSON arrays of numbers.
CREATE TABLE deletions (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    document BLOB NOT NULL UNIQUE CHECK (length(document) = 16),
    home     TEXT NOT NULL,
    user     TEXT NOT NULL,
    path     TEXT NOT NULL,
    time     INTEGER NOT NULL,
    versions TEXT NOT NULL,
    keys     TEXT NOT NULL, -- leaves that nothing uses any more
    shared   TEXT NOT NULL, -- leaves that another document's content still needs
    epoch    INTEGER,       -- the root key since which none of `keys` is left; NULL until then, and where there are none
    erased   INTEGER
) STRICT;

-- Packs stay in the blob store while anybody holds them.
CREATE TABLE holds (
    name  TEXT PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
