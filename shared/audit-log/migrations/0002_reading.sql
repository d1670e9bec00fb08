-- What people read: one row per tool call, and what they think of it. Must never change an entry.

-- The committed bytes as jsonb. jsonb cannot hold U+0000, so it is shown as U+FFFD; the bytes keep it.
-- WHY NOT a plain replace: in `\\u0000` the backslash is itself escaped, and the text is harmless.
CREATE FUNCTION audit.shown(bytes bytea) RETURNS jsonb LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE t text := convert_from(bytes, 'UTF8');
BEGIN
    IF position('\u0000' IN t) > 0 THEN
        t := regexp_replace(t, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g');
    END IF;
    RETURN t::jsonb;
END $$;

CREATE FUNCTION audit.present(doc jsonb, field text) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT nullif(doc -> field, 'null'::jsonb)
$$;

-- One row per tool call: the first entry of its intent says who did what, the last one how it ended.
-- Entries without an intent (a halt, a flip, a run's end) are rows of their own.
-- First and last by what happened when, not by seq: a sweep may append an older entry after a newer one.
CREATE VIEW audit.audit_log AS
SELECT e.seq, e.actor, e.verb, p.target_id,
       coalesce(audit.present(settled.doc, 'before'), audit.present(opened.doc, 'before')) AS before,
       coalesce(audit.present(settled.doc, 'after'), audit.present(opened.doc, 'after')) AS after,
       encode(coalesce(e.prompt_hash, l.prompt_hash), 'hex') AS prompt_hash,
       coalesce(e.model_version, l.model_version) AS model_version,
       e.occurred_at,
       e.run_id, e.step, e.mode, e.tier,
       coalesce(l.state, e.state) AS decision,
       coalesce(l.reason, e.reason) AS reason,
       coalesce(e.config_version, l.config_version) AS config_version,
       encode(coalesce(l.hash, e.hash), 'hex') AS hash,
       coalesce(l.occurred_at, e.occurred_at) AS settled_at,
       coalesce(l.seq, e.seq) AS settled_seq,
       e.entry_id, e.stream, e.intent_id,
       p.customer_id, coalesce(lp.to_stage, p.to_stage) AS to_stage,
       coalesce(settled.doc ->> 'because', opened.doc ->> 'because') AS because,
       coalesce(audit.present(opened.doc, 'detail'), audit.present(settled.doc, 'detail')) AS detail,
       coalesce(p.erased_by, lp.erased_by) AS erased_by
FROM audit.entry e
JOIN audit.payload p ON p.seq = e.seq
LEFT JOIN LATERAL (SELECT * FROM audit.entry x WHERE x.intent_id = e.intent_id AND x.seq <> e.seq
                   ORDER BY x.occurred_at DESC, x.event_no DESC, x.seq DESC LIMIT 1) l ON true
LEFT JOIN audit.payload lp ON lp.seq = l.seq
LEFT JOIN LATERAL (SELECT audit.shown(p.bytes) AS doc OFFSET 0) opened ON true
LEFT JOIN LATERAL (SELECT audit.shown(lp.bytes) AS doc OFFSET 0) settled ON true
WHERE e.intent_id IS NULL
   OR NOT EXISTS (SELECT FROM audit.entry x WHERE x.intent_id = e.intent_id
                  AND (x.occurred_at, x.event_no, x.seq) < (e.occurred_at, e.event_no, e.seq));

-- "Did you expect this?", by people. Kept whole; the latest word counts.
CREATE TABLE audit.judgement (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seq bigint NOT NULL REFERENCES audit.entry,
    person text NOT NULL CHECK (person <> ''),
    judged text NOT NULL CHECK (judged IN ('expected', 'surprising', 'withdrawn')),
    note text,
    at timestamptz NOT NULL
);
CREATE INDEX judgement_seq ON audit.judgement (seq, id);

CREATE VIEW audit.judgement_now AS
SELECT DISTINCT ON (seq) seq, person, judged, note, at FROM audit.judgement ORDER BY seq, id DESC;

-- A note may quote the customer, so an erasure takes it; nothing else changes a judgement.
CREATE FUNCTION audit.only_note_erasure() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.note IS NULL AND (NEW.id, NEW.seq, NEW.person, NEW.judged, NEW.at) = (OLD.id, OLD.seq, OLD.person, OLD.judged, OLD.at)
        AND EXISTS (SELECT FROM audit.payload p WHERE p.seq = OLD.seq AND p.erased_by IS NOT NULL) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a judgement is never changed' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER only_note_erasure BEFORE UPDATE ON audit.judgement
    FOR EACH ROW EXECUTE FUNCTION audit.only_note_erasure();
CREATE TRIGGER never_deleted BEFORE DELETE ON audit.judgement
    FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit.judgement
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();

CREATE FUNCTION audit.forget_notes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE audit.judgement j SET note = NULL WHERE j.seq = NEW.seq AND j.note IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_notes AFTER UPDATE ON audit.payload
    FOR EACH ROW WHEN (OLD.erased_by IS NULL AND NEW.erased_by IS NOT NULL) EXECUTE FUNCTION audit.forget_notes();

CREATE FUNCTION audit.judge(entry_seqs bigint[], who text, verdict text, words text, us bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE n bigint;
BEGIN
    INSERT INTO audit.judgement (seq, person, judged, note, at)
        SELECT e.seq, who, verdict, words, timestamptz 'epoch' + us * interval '1 microsecond'
        FROM audit.entry e JOIN audit.payload p USING (seq)
        WHERE e.seq = ANY (entry_seqs) AND p.erased_by IS NULL AND 'would_have' = coalesce(
            (SELECT x.state FROM audit.entry x WHERE x.intent_id = e.intent_id
             ORDER BY x.occurred_at DESC, x.event_no DESC, x.seq DESC LIMIT 1), e.state);
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;

DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = audit.role_name('judge')) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN', audit.role_name('judge'));
    END IF;
    EXECUTE format('GRANT %I TO %I', audit.role_name('judge'), current_user);
END $$;

REVOKE ALL ON ALL TABLES IN SCHEMA audit FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA audit FROM PUBLIC;
DO $$
DECLARE r text := audit.role_name('reader'); j text := audit.role_name('judge');
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA audit TO %I', j);
    EXECUTE format('GRANT EXECUTE ON FUNCTION audit.role_name(text) TO %I', j);
    EXECUTE format('GRANT SELECT ON audit.audit_log, audit.judgement, audit.judgement_now TO %I', r);
    EXECUTE format('GRANT EXECUTE ON FUNCTION audit.shown(bytea), audit.present(jsonb, text) TO %I', r);
    EXECUTE format('GRANT EXECUTE ON FUNCTION audit.judge(bigint[], text, text, text, bigint) TO %I', j);
END $$;
