-- What ended otherwise than planned is found without a walk through the log. Must never hold what is common.

-- The console asks for these on every page: refused stages, drafts, writes without an answer. Would-have has its own.
CREATE INDEX entry_rare_end ON audit.entry (state, seq) WHERE state IN ('refused', 'drafted', 'failed', 'unknown');
