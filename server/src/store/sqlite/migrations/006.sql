-- Schema 6: `grants.revoked` is the moment at which a grant was taken back, or 0. Of those that are there it was not written
-- down: what their holders learn of them fades from now on.

UPDATE grants SET revoked = unixepoch() * 1000 WHERE revoked <> 0;
