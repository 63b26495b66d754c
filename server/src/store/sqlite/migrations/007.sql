-- Schema 7: a grant may be a limit, which a copy that the server made takes along from its document. `effect`: 0 it gives its
-- right, 1 it limits what levels above give, 2 it keeps all of that away.

ALTER TABLE grants ADD COLUMN effect INTEGER NOT NULL DEFAULT 0;
