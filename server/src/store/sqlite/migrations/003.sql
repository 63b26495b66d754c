-- Schema 3: the audit log is a chain. `audit::begin_chain` moves what was there into the new table, behind its first row.

ALTER TABLE audit RENAME TO audit_unchained;
DROP TRIGGER audit_is_not_changed;
DROP TRIGGER audit_is_not_deleted;

CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    time       INTEGER NOT NULL,
    user       TEXT,
    machine    TEXT,
    action     TEXT NOT NULL,
    document   BLOB,
    path       TEXT NOT NULL,
    outcome    TEXT NOT NULL CHECK (outcome IN ('allowed', 'refused', 'damaged')),
    detail     TEXT NOT NULL,
    request_id TEXT NOT NULL,
    previous   BLOB NOT NULL CHECK (length(previous) = 32), -- the hash of the row before it
    hash       BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- The last row that was pruned; 0 and zeroes before the first pruning.
CREATE TABLE audit_start (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
INSERT INTO audit_start VALUES (1, 0, zeroblob(32));

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
-- Only what was pruned goes: rows up to the log's start.
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
WHEN OLD.seq > (SELECT seq FROM audit_start)
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
-- The start moves forward only, onto a row that is there, and only right behind a row that says so.
CREATE TRIGGER audit_start_is_told BEFORE UPDATE ON audit_start
WHEN NEW.seq <= OLD.seq
    OR NEW.hash IS NOT (SELECT hash FROM audit WHERE seq = NEW.seq)
    OR (SELECT action FROM audit ORDER BY seq DESC LIMIT 1) <> 'prune'
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_start_stays BEFORE DELETE ON audit_start
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
