-- The log itself: hash-chained entries over commitments, the erasable side table, prompts by part, and the three roles.
-- Must never need an extension, and must never give a role more than its own functions or reads.

DO $$ BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the audit log needs a database with encoding UTF8, this one has %', current_setting('server_encoding');
    END IF;
END $$;

-- Roles belong to the whole cluster, so their names carry the database's.
CREATE FUNCTION audit.role_name(kind text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN current_database() ~ '^[a-z0-9_]{1,40}$' THEN current_database()::text
                ELSE 'db_' || md5(current_database()) END || '_audit_' || kind
$$;

DO $$
DECLARE kind text;
BEGIN
    FOREACH kind IN ARRAY ARRAY['writer', 'reader', 'eraser'] LOOP
        -- A dropped database leaves its roles behind: found again, they are taken over.
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = audit.role_name(kind)) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', audit.role_name(kind));
        END IF;
        EXECUTE format('GRANT %I TO %I', audit.role_name(kind), current_user);
    END LOOP;
END $$;

-- One row: where the chain ends. Its lock is what makes seq gapless.
CREATE TABLE audit.head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq bigint NOT NULL CHECK (seq >= 0),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    appended_at timestamptz
);
INSERT INTO audit.head (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

CREATE TABLE audit.entry (
    seq bigint PRIMARY KEY CHECK (seq > 0),
    entry_id text NOT NULL UNIQUE,
    stream text NOT NULL,
    event_no bigint NOT NULL CHECK (event_no >= 0),
    occurred_at timestamptz NOT NULL,
    actor text NOT NULL CHECK (actor ~ '^(agent|person|system):.'),
    verb text NOT NULL CHECK (verb <> ''),
    state text NOT NULL CHECK (state IN
        ('opened', 'applied', 'would_have', 'drafted', 'refused', 'failed', 'halted', 'unknown')),
    reason text CHECK (reason ~ '^[a-z_]+$'),
    mode text CHECK (mode IN ('dry_run', 'live')),
    tier text CHECK (tier IN ('read', 'ask', 'reversible', 'semi_reversible', 'irreversible')),
    intent_id text,
    run_id text,
    step bigint CHECK (step >= 0),
    prompt_hash bytea CHECK (octet_length(prompt_hash) = 32),
    model_version text,
    config_version text,
    subject bytea NOT NULL CHECK (octet_length(subject) = 32),
    commitment bytea NOT NULL CHECK (octet_length(commitment) = 32),
    prev bytea NOT NULL UNIQUE CHECK (octet_length(prev) = 32),
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    -- Combinations that would be a lie cannot be written.
    CONSTRAINT agent_has_its_run CHECK (actor NOT LIKE 'agent:%' OR (run_id IS NOT NULL AND actor = 'agent:' || run_id)),
    CONSTRAINT step_has_a_run CHECK (step IS NULL OR run_id IS NOT NULL),
    CONSTRAINT intent_has_a_run CHECK (intent_id IS NULL OR run_id IS NOT NULL),
    CONSTRAINT refused_has_a_reason CHECK (state <> 'refused' OR reason IS NOT NULL),
    CONSTRAINT would_have_is_a_dry_call CHECK (state <> 'would_have' OR (intent_id IS NOT NULL AND mode IS NOT NULL
        AND (mode = 'dry_run' OR reason IS NOT DISTINCT FROM 'live_from_next_run'))),
    CONSTRAINT opened_is_a_live_call CHECK (state <> 'opened' OR (intent_id IS NOT NULL
        AND (mode IS NOT DISTINCT FROM 'live' OR tier IS NOT DISTINCT FROM 'ask'))),
    CONSTRAINT agent_never_sends CHECK (actor NOT LIKE 'agent:%' OR tier IS DISTINCT FROM 'irreversible'
        OR state NOT IN ('opened', 'applied', 'unknown'))
);
CREATE INDEX entry_actor ON audit.entry (actor, seq);
CREATE INDEX entry_run ON audit.entry (run_id, seq) WHERE run_id IS NOT NULL;
CREATE INDEX entry_intent ON audit.entry (intent_id, occurred_at, event_no, seq) WHERE intent_id IS NOT NULL;
CREATE INDEX entry_verb ON audit.entry (verb, seq);
CREATE INDEX entry_occurred ON audit.entry (occurred_at);
CREATE INDEX entry_would_have ON audit.entry (seq) WHERE state = 'would_have';
CREATE INDEX entry_prompt ON audit.entry (prompt_hash) WHERE prompt_hash IS NOT NULL;

-- The erasable half. `bytes` is what was committed to; the other columns are copies of it to search by.
CREATE TABLE audit.payload (
    seq bigint PRIMARY KEY REFERENCES audit.entry,
    salt bytea CHECK (octet_length(salt) = 32),
    bytes bytea,
    target_id text,
    customer_id text,
    to_stage text,
    erased_by bigint REFERENCES audit.entry,
    CONSTRAINT whole_or_erased CHECK (
        (erased_by IS NULL AND salt IS NOT NULL AND bytes IS NOT NULL AND target_id IS NOT NULL)
        OR (erased_by IS NOT NULL AND erased_by > seq AND salt IS NULL AND bytes IS NULL
            AND target_id IS NULL AND customer_id IS NULL AND to_stage IS NULL))
);
CREATE INDEX payload_target ON audit.payload (target_id, seq);
CREATE INDEX payload_customer ON audit.payload (customer_id, seq) WHERE customer_id IS NOT NULL;
CREATE INDEX payload_stage ON audit.payload (to_stage, seq) WHERE to_stage IS NOT NULL;

-- Whom an entry is about (contact ids and mail addresses, lower case), for export and erasure.
CREATE TABLE audit.subject (
    seq bigint NOT NULL REFERENCES audit.entry,
    person text NOT NULL,
    PRIMARY KEY (person, seq)
);
CREATE INDEX subject_seq ON audit.subject (seq);

-- The HMAC key of one target's pseudonym (inner pad, then outer pad). Gone after an erasure, and with it the link.
CREATE TABLE audit.subject_key (
    target_id text PRIMARY KEY,
    pads bytea NOT NULL CHECK (octet_length(pads) = 128)
);

CREATE TABLE audit.prompt_part (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    bytes bytea,
    erased_by bigint REFERENCES audit.entry,
    CONSTRAINT content_has_its_hash CHECK (bytes IS NULL OR sha256(bytes) = hash),
    CONSTRAINT part_whole_or_erased CHECK ((bytes IS NULL) = (erased_by IS NOT NULL))
);

CREATE TABLE audit.prompt (
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    ord int NOT NULL,
    part_hash bytea NOT NULL REFERENCES audit.prompt_part,
    PRIMARY KEY (hash, ord)
);
CREATE INDEX prompt_by_part ON audit.prompt (part_hash, hash);

CREATE TABLE audit.erasure (
    seq bigint PRIMARY KEY REFERENCES audit.entry,
    request text NOT NULL,
    entries bigint NOT NULL,
    parts bigint NOT NULL
);

-- Rows that the log refused, whole, so that one of them never holds up the rest.
CREATE TABLE audit.parked (
    entry_id text NOT NULL,
    content bytea NOT NULL,
    bytes bytea NOT NULL,
    why text NOT NULL,
    persons text[] NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entry_id, content)
);

CREATE FUNCTION audit.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % on audit.% is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

-- Lets an erasure through and nothing else. The table's CHECK says what an erased row looks like.
CREATE FUNCTION audit.only_erasure() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE same_row boolean;
BEGIN
    IF TG_TABLE_NAME = 'payload' THEN same_row := NEW.seq = OLD.seq; ELSE same_row := NEW.hash = OLD.hash; END IF;
    IF same_row AND OLD.erased_by IS NULL AND NEW.erased_by IS NOT NULL
        AND EXISTS (SELECT FROM audit.entry e WHERE e.seq = NEW.erased_by AND e.verb = 'erase_subject') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'only an erasure may change audit.%', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit.entry
    FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit.entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit.prompt
    FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit.prompt
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit.erasure
    FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit.erasure
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER only_erasure BEFORE UPDATE ON audit.payload
    FOR EACH ROW EXECUTE FUNCTION audit.only_erasure();
CREATE TRIGGER never_deleted BEFORE DELETE ON audit.payload
    FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit.payload
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER only_erasure BEFORE UPDATE ON audit.prompt_part
    FOR EACH ROW EXECUTE FUNCTION audit.only_erasure();
CREATE TRIGGER never_deleted BEFORE DELETE ON audit.prompt_part
    FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit.prompt_part
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();

-- Length-prefixed, so that no two rows share one preimage; absent differs from empty.
CREATE FUNCTION audit.lp(b bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN b IS NULL THEN '\xffffffff'::bytea ELSE int4send(octet_length(b)) || b END
$$;
CREATE FUNCTION audit.lp(t text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN t IS NULL THEN '\xffffffff'::bytea
                ELSE int4send(octet_length(t)) || convert_to(t, 'UTF8') END
$$;

-- Every column of the row is under the hash.
CREATE FUNCTION audit.entry_hash(e audit.entry) RETURNS bytea LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN sha256('\x00'::bytea || audit.lp(e.prev) || audit.lp(int8send(e.seq)) || audit.lp(e.entry_id)
        || audit.lp(e.stream) || audit.lp(int8send(e.event_no))
        || audit.lp(int8send((extract(epoch FROM e.occurred_at) * 1000000)::bigint))
        || audit.lp(e.actor) || audit.lp(e.verb) || audit.lp(e.state) || audit.lp(e.reason)
        || audit.lp(e.mode) || audit.lp(e.tier) || audit.lp(e.intent_id) || audit.lp(e.run_id)
        || audit.lp(int8send(e.step)) || audit.lp(e.prompt_hash) || audit.lp(e.model_version)
        || audit.lp(e.config_version) || audit.lp(e.subject) || audit.lp(e.commitment));
END $$;

-- HMAC-SHA256 of the target under its own key; `fresh` becomes the key when it has none.
CREATE FUNCTION audit.pseudonym(target text, fresh bytea) RETURNS bytea LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE pads bytea;
BEGIN
    SELECT k.pads INTO pads FROM audit.subject_key k WHERE k.target_id = target;
    IF pads IS NULL THEN
        INSERT INTO audit.subject_key (target_id, pads) VALUES (target, fresh);
        pads := fresh;
    END IF;
    RETURN sha256(substring(pads FROM 65 FOR 64)
        || sha256(substring(pads FROM 1 FOR 64) || convert_to(target, 'UTF8')));
END $$;

CREATE FUNCTION audit.missing_parts(hashes bytea[]) RETURNS SETOF bytea LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    SELECT DISTINCT h FROM unnest(hashes) h WHERE NOT EXISTS (SELECT FROM audit.prompt_part p WHERE p.hash = h)
$$;

-- Stores a prompt once. Its parts must be there, and joined they must have the hash that the entry names.
CREATE FUNCTION audit.put_prompt(prompt bytea, part_hashes bytea) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE n int := octet_length(part_hashes) / 32;
BEGIN
    IF EXISTS (SELECT FROM audit.prompt p WHERE p.hash = prompt) THEN RETURN; END IF;
    INSERT INTO audit.prompt (hash, ord, part_hash)
        SELECT prompt, i, substring(part_hashes FROM i * 32 + 1 FOR 32) FROM generate_series(0, n - 1) i;
    IF (SELECT sha256(string_agg(part.bytes, ''::bytea ORDER BY p.ord)) <> prompt
            FROM audit.prompt p JOIN audit.prompt_part part ON part.hash = p.part_hash
            WHERE p.hash = prompt HAVING count(part.bytes) = count(*)) THEN
        RAISE EXCEPTION 'the parts of the prompt do not have its hash' USING ERRCODE = 'check_violation';
    END IF;
END $$;

-- The writer's only way in. INVARIANT (I25): one entry id, one row; the same id with other content is a conflict.
CREATE FUNCTION audit.append(
    entry_ids text[], streams text[], event_nos bigint[], occurred_us bigint[], actors text[], verbs text[],
    states text[], reasons text[], modes text[], tiers text[], intent_ids text[], run_ids text[], steps bigint[],
    prompt_hashes bytea[], model_versions text[], config_versions text[], prompt_part_hashes bytea[],
    target_ids text[], customer_ids text[], to_stages text[], persons text[],
    contents bytea[], salts bytea[], fresh_pads bytea[], part_hashes bytea[], part_bytes bytea[]
) RETURNS TABLE (outcome text, seq_no bigint) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    h audit.head;
    e audit.entry;
    old audit.entry;
    old_bytes bytea;
    r record;
BEGIN
    SELECT * INTO STRICT h FROM audit.head FOR UPDATE;
    INSERT INTO audit.prompt_part (hash, bytes) SELECT * FROM unnest(part_hashes, part_bytes) ON CONFLICT DO NOTHING;
    FOR r IN SELECT * FROM unnest(entry_ids, streams, event_nos, occurred_us, actors, verbs, states, reasons, modes,
            tiers, intent_ids, run_ids, steps, prompt_hashes, model_versions, config_versions, prompt_part_hashes,
            target_ids, customer_ids, to_stages, persons, contents, salts, fresh_pads)
        WITH ORDINALITY AS t(entry_id, stream, event_no, us, actor, verb, state, reason, mode, tier, intent_id,
            run_id, step, prompt_hash, model_version, config_version, prompt_parts, target_id, customer_id,
            to_stage, persons, content, salt, pads, nr) ORDER BY nr
    LOOP
        SELECT * INTO old FROM audit.entry x WHERE x.entry_id = r.entry_id;
        IF FOUND THEN
            SELECT p.bytes INTO old_bytes FROM audit.payload p WHERE p.seq = old.seq;
            -- After an erasure the content is gone; what stayed must still agree.
            outcome := CASE WHEN old_bytes = r.content
                    OR (old_bytes IS NULL AND (old.stream, old.event_no, old.actor, old.verb, old.state)
                        = (r.stream, r.event_no, r.actor, r.verb, r.state))
                THEN 'duplicate' ELSE 'conflict' END;
            seq_no := old.seq;
            RETURN NEXT;
            CONTINUE;
        END IF;
        IF r.prompt_hash IS NOT NULL THEN
            PERFORM audit.put_prompt(r.prompt_hash, r.prompt_parts);
        END IF;
        e := ROW(h.seq + 1, r.entry_id, r.stream, r.event_no,
            timestamptz 'epoch' + r.us * interval '1 microsecond',
            r.actor, r.verb, r.state, r.reason, r.mode, r.tier, r.intent_id, r.run_id, r.step, r.prompt_hash,
            r.model_version, r.config_version, audit.pseudonym(r.target_id, r.pads),
            sha256('\x01'::bytea || r.salt || r.content), h.hash, NULL);
        e.hash := audit.entry_hash(e);
        INSERT INTO audit.entry SELECT e.*;
        INSERT INTO audit.payload (seq, salt, bytes, target_id, customer_id, to_stage)
            VALUES (e.seq, r.salt, r.content, r.target_id, r.customer_id, r.to_stage);
        IF r.persons <> '' THEN
            INSERT INTO audit.subject (seq, person) SELECT e.seq, p FROM string_to_table(r.persons, E'\n') p;
        END IF;
        h.seq := e.seq;
        h.hash := e.hash;
        outcome := 'appended';
        seq_no := e.seq;
        RETURN NEXT;
    END LOOP;
    UPDATE audit.head SET seq = h.seq, hash = h.hash, appended_at = clock_timestamp() WHERE head.seq <> h.seq;
END $$;

CREATE FUNCTION audit.park(id text, content_bytes bytea, reason text, people text[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO audit.parked (entry_id, content, bytes, why, persons)
        VALUES (id, sha256(content_bytes), content_bytes, reason, people) ON CONFLICT DO NOTHING
$$;

-- What an erasure would take: entries about the person, and the rest of their runs and tool calls, because what was
-- read about her in one step is in the prompts and rows of the others.
CREATE FUNCTION audit.erasure_scope(people text[]) RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    WITH direct AS (
        SELECT DISTINCT e.seq, e.run_id, e.intent_id FROM audit.subject s JOIN audit.entry e USING (seq)
        WHERE s.person = ANY (people)
    ), wide AS (
        SELECT seq FROM direct
        UNION SELECT e.seq FROM audit.entry e WHERE e.run_id IN (SELECT run_id FROM direct WHERE run_id IS NOT NULL)
        UNION SELECT e.seq FROM audit.entry e
            WHERE e.intent_id IN (SELECT intent_id FROM direct WHERE intent_id IS NOT NULL)
    )
    SELECT w.seq FROM wide w JOIN audit.payload p USING (seq) WHERE p.erased_by IS NULL ORDER BY w.seq
$$;

-- The eraser's only way in. `seqs` is the scope that the erasure entry names; if the log has grown meanwhile the answer
-- is null, nothing is changed, and the caller asks for the scope again.
CREATE FUNCTION audit.erase(
    people text[], seqs bigint[], request text, id text, no bigint, us bigint, who text, target text,
    content bytea, salt bytea, pads bytea
) RETURNS TABLE (erasure_seq bigint, parts_erased bigint) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE targets text[]; prompts bytea[];
BEGIN
    PERFORM FROM audit.head FOR UPDATE;
    IF seqs IS DISTINCT FROM ARRAY(SELECT audit.erasure_scope(people)) THEN RETURN; END IF;
    SELECT a.seq_no INTO STRICT erasure_seq FROM audit.append(ARRAY[id], ARRAY['subject_requests'], ARRAY[no], ARRAY[us],
        ARRAY[who], ARRAY['erase_subject'], ARRAY['applied'], ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[NULL::text],
        ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[NULL::bigint], ARRAY[NULL::bytea], ARRAY[NULL::text],
        ARRAY[NULL::text], ARRAY[NULL::bytea], ARRAY[target], ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[''],
        ARRAY[content], ARRAY[salt], ARRAY[pads], ARRAY[]::bytea[], ARRAY[]::bytea[]) a WHERE a.outcome = 'appended';
    SELECT array_agg(DISTINCT p.target_id) INTO targets FROM audit.payload p WHERE p.seq = ANY (seqs);
    SELECT array_agg(DISTINCT e.prompt_hash) INTO prompts FROM audit.entry e
        WHERE e.seq = ANY (seqs) AND e.prompt_hash IS NOT NULL;
    UPDATE audit.payload p SET salt = NULL, bytes = NULL, target_id = NULL, customer_id = NULL, to_stage = NULL,
        erased_by = erasure_seq WHERE p.seq = ANY (seqs);
    DELETE FROM audit.subject s WHERE s.seq = ANY (seqs);
    DELETE FROM audit.subject_key k WHERE k.target_id = ANY (targets);
    DELETE FROM audit.parked k WHERE k.persons && people;
    -- A part that an entry outside the scope also sent (the system text, the tools) stays.
    UPDATE audit.prompt_part part SET bytes = NULL, erased_by = erasure_seq
        WHERE part.bytes IS NOT NULL
          AND part.hash IN (SELECT p.part_hash FROM audit.prompt p WHERE p.hash = ANY (prompts))
          AND NOT EXISTS (SELECT FROM audit.prompt p JOIN audit.entry e ON e.prompt_hash = p.hash
              JOIN audit.payload y ON y.seq = e.seq WHERE p.part_hash = part.hash AND y.erased_by IS NULL);
    GET DIAGNOSTICS parts_erased = ROW_COUNT;
    INSERT INTO audit.erasure (seq, request, entries, parts)
        VALUES (erasure_seq, request, cardinality(seqs), parts_erased);
    RETURN NEXT;
END $$;

-- Rights: nobody has any but these.
REVOKE ALL ON ALL TABLES IN SCHEMA audit FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA audit FROM PUBLIC;
DO $$
DECLARE w text := audit.role_name('writer'); r text := audit.role_name('reader'); x text := audit.role_name('eraser');
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA audit TO %I, %I, %I', w, r, x);
    EXECUTE format('GRANT EXECUTE ON FUNCTION audit.role_name(text) TO %I, %I, %I', w, r, x);
    EXECUTE format('GRANT EXECUTE ON FUNCTION audit.append(text[], text[], bigint[], bigint[], text[], text[], text[],
        text[], text[], text[], text[], text[], bigint[], bytea[], text[], text[], bytea[], text[], text[], text[],
        text[], bytea[], bytea[], bytea[], bytea[], bytea[]) TO %I', w);
    EXECUTE format('GRANT EXECUTE ON FUNCTION audit.missing_parts(bytea[]), audit.park(text, bytea, text, text[])
        TO %I', w);
    EXECUTE format('GRANT SELECT ON audit.head, audit.entry, audit.payload, audit.subject, audit.prompt_part,
        audit.prompt, audit.erasure, audit.parked TO %I', r);
    EXECUTE format('GRANT EXECUTE ON FUNCTION audit.erasure_scope(text[]), audit.erase(text[], bigint[], text, text,
        bigint, bigint, text, text, bytea, bytea, bytea) TO %I', x);
END $$;
