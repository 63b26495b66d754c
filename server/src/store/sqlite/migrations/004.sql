-- Schema 4: a grant knows when it was set, and whether who made the document set it or the home's owner. Of those that are
-- there it was not written down: they go on as the home's owner's, for all that is kept.

ALTER TABLE grants ADD COLUMN since    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN by_maker INTEGER NOT NULL DEFAULT 0;
