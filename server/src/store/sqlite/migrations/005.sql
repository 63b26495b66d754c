-- Schema 5: the store's clock never goes back. The latest moment that was remembered; rows of the audit log behind `seq`
-- may name a later one.

CREATE TABLE clock (
    only   INTEGER PRIMARY KEY CHECK (only = 1),
    latest INTEGER NOT NULL,
    seq    INTEGER NOT NULL
) STRICT;
INSERT INTO clock VALUES (1, 0, 0);
