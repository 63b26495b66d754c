-- Schema 1. Ids are 16 bytes; times are milliseconds since the epoch, `_ns` columns nanoseconds.

CREATE TABLE users (
    uid        TEXT PRIMARY KEY,
    public_key TEXT NOT NULL,
    disabled   INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    home       BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE sessions (
    seq         INTEGER PRIMARY KEY,
    token       BLOB NOT NULL UNIQUE,
    uid         TEXT NOT NULL REFERENCES users (uid),
    node        TEXT NOT NULL,
    certificate BLOB NOT NULL,
    expires     INTEGER NOT NULL,
    ended       TEXT CHECK (ended IN ('logout', 'replaced', 'disabled')),
    ended_at    INTEGER, -- not known for 'disabled'
    ended_by    TEXT     -- the other machine, for 'replaced'
) STRICT;
CREATE INDEX sessions_live ON sessions (uid, seq) WHERE ended IS NULL;
CREATE INDEX sessions_over ON sessions (coalesce(ended_at, expires));

CREATE TABLE nodes (
    id       BLOB PRIMARY KEY CHECK (length(id) = 16),
    parent   BLOB REFERENCES nodes (id),
    name     TEXT,
    home     TEXT NOT NULL REFERENCES users (uid),
    owner    TEXT NOT NULL,
    kind     INTEGER NOT NULL,
    mode     INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    flag     INTEGER,
    version  INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    author   TEXT,
    CHECK ((parent IS NULL) = (name IS NULL))
) STRICT;
CREATE UNIQUE INDEX nodes_place ON nodes (parent, name);
-- Only guests' nodes: who owns a home owns all in it, and no question is asked about that.
CREATE INDEX nodes_guest ON nodes (owner, home, parent) WHERE owner <> home;

-- One row per node and grantee ('ALL' is no uid); rows of revoked grants stay as long as the node.
CREATE TABLE grants (
    node    BLOB NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    grantee TEXT NOT NULL,
    home    TEXT NOT NULL, -- the node's, for `grants_holder`; a node never changes its home
    access  INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    revoked INTEGER NOT NULL,
    PRIMARY KEY (node, grantee)
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_holder ON grants (grantee, home);

CREATE TABLE xattrs (
    node  BLOB NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    name  TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (node, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE versions (
    node       BLOB NOT NULL REFERENCES nodes (id),
    version    INTEGER NOT NULL,
    leaf       INTEGER NOT NULL,
    record     BLOB NOT NULL,
    superseded INTEGER,
    PRIMARY KEY (node, version)
) STRICT;
CREATE INDEX versions_leaf ON versions (leaf);
CREATE INDEX versions_superseded ON versions (superseded, node, version) WHERE superseded IS NOT NULL;

CREATE TABLE packs (
    id       BLOB PRIMARY KEY CHECK (length(id) = 16),
    document BLOB NOT NULL, -- may be gone, so no reference
    leaf     INTEGER NOT NULL,
    length   INTEGER NOT NULL,
    blocks   INTEGER NOT NULL,
    inline   BLOB
) STRICT;
CREATE INDEX packs_leaf ON packs (leaf);

CREATE TABLE version_packs (
    node    BLOB NOT NULL,
    version INTEGER NOT NULL,
    pack    BLOB NOT NULL REFERENCES packs (id),
    PRIMARY KEY (node, version, pack),
    FOREIGN KEY (node, version) REFERENCES versions (node, version) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX version_packs_pack ON version_packs (pack);

CREATE TABLE key_nodes (
    level    INTEGER NOT NULL,
    position INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    sealed   BLOB NOT NULL,
    PRIMARY KEY (level, position)
) STRICT;

CREATE TABLE erasures (
    seq  INTEGER PRIMARY KEY,
    leaf INTEGER NOT NULL UNIQUE
) STRICT;

CREATE TABLE trash (
    seq  INTEGER PRIMARY KEY,
    pack BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    time       INTEGER NOT NULL,
    user       TEXT,
    node       TEXT,
    action     TEXT NOT NULL,
    document   BLOB,
    path       TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    request_id TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;

-- 'grant': the last grant's number; 'leaf': the largest leaf ever committed; 'sync': see writer.rs.
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
