-- Old personal halves leave the log; the chain over their commitments stays. Must never take what is younger than the
-- floor, whoever asks.

-- Lets an erasure or a retention through and nothing else. The table's CHECK says what an erased row looks like.
CREATE OR REPLACE FUNCTION audit.only_erasure() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE same_row boolean;
BEGIN
    IF TG_TABLE_NAME = 'payload' THEN same_row := NEW.seq = OLD.seq; ELSE same_row := NEW.hash = OLD.hash; END IF;
    IF same_row AND OLD.erased_by IS NULL AND NEW.erased_by IS NOT NULL
        AND EXISTS (SELECT FROM audit.entry e WHERE e.seq = NEW.erased_by AND e.verb IN ('erase_subject', 'retention')) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'only an erasure may change audit.%', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

-- The next rows that are old enough, oldest place first. What names the rows of an erasure is never old enough: without
-- it the erased rows could not be told from damaged ones.
CREATE FUNCTION audit.retention_scope(before_us bigint, most int) RETURNS SETOF bigint LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.seq FROM audit.entry e JOIN audit.payload p USING (seq)
    WHERE p.erased_by IS NULL AND e.verb NOT IN ('erase_subject', 'retention')
      AND e.occurred_at < timestamptz 'epoch' + before_us * interval '1 microsecond'
    ORDER BY e.seq LIMIT most
$$;

-- The retainer's only way in. `seqs` is the scope that the entry names; null when it has changed meanwhile.
CREATE FUNCTION audit.retain(
    before_us bigint, most int, seqs bigint[], request text, id text, no bigint, us bigint, who text, target text,
    content bytea, salt bytea, pads bytea
) RETURNS TABLE (retention_seq bigint, parts_erased bigint) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE targets text[]; prompts bytea[];
BEGIN
    -- By this server's own clock, so that no caller's clock and no setting goes below it.
    IF timestamptz 'epoch' + before_us * interval '1 microsecond' > clock_timestamp() - interval '183 days' THEN
        RAISE EXCEPTION 'audit entries are kept whole for 183 days' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM FROM audit.head FOR UPDATE;
    IF seqs IS DISTINCT FROM ARRAY(SELECT audit.retention_scope(before_us, most)) THEN RETURN; END IF;
    SELECT a.seq_no INTO STRICT retention_seq FROM audit.append(ARRAY[id], ARRAY['retention'], ARRAY[no], ARRAY[us],
        ARRAY[who], ARRAY['retention'], ARRAY['applied'], ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[NULL::text],
        ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[NULL::bigint], ARRAY[NULL::bytea], ARRAY[NULL::text],
        ARRAY[NULL::text], ARRAY[NULL::bytea], ARRAY[target], ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[''],
        ARRAY[content], ARRAY[salt], ARRAY[pads], ARRAY[]::bytea[], ARRAY[]::bytea[]) a WHERE a.outcome = 'appended';
    SELECT array_agg(DISTINCT p.target_id) INTO targets FROM audit.payload p WHERE p.seq = ANY (seqs);
    SELECT array_agg(DISTINCT e.prompt_hash) INTO prompts FROM audit.entry e
        WHERE e.seq = ANY (seqs) AND e.prompt_hash IS NOT NULL;
    UPDATE audit.payload p SET salt = NULL, bytes = NULL, target_id = NULL, customer_id = NULL, to_stage = NULL,
        erased_by = retention_seq WHERE p.seq = ANY (seqs);
    DELETE FROM audit.subject s WHERE s.seq = ANY (seqs);
    -- A target that younger rows name keeps its pseudonym.
    DELETE FROM audit.subject_key k WHERE k.target_id = ANY (targets)
        AND NOT EXISTS (SELECT FROM audit.payload p WHERE p.target_id = k.target_id);
    DELETE FROM audit.parked k WHERE k.parked_at < timestamptz 'epoch' + before_us * interval '1 microsecond';
    UPDATE audit.prompt_part part SET bytes = NULL, erased_by = retention_seq
        WHERE part.bytes IS NOT NULL
          AND part.hash IN (SELECT p.part_hash FROM audit.prompt p WHERE p.hash = ANY (prompts))
          AND NOT EXISTS (SELECT FROM audit.prompt p JOIN audit.entry e ON e.prompt_hash = p.hash
              JOIN audit.payload y ON y.seq = e.seq WHERE p.part_hash = part.hash AND y.erased_by IS NULL);
    GET DIAGNOSTICS parts_erased = ROW_COUNT;
    INSERT INTO audit.erasure (seq, request, entries, parts)
        VALUES (retention_seq, request, cardinality(seqs), parts_erased);
    RETURN NEXT;
END $$;

DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = audit.role_name('retainer')) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN', audit.role_name('retainer'));
    END IF;
    EXECUTE format('GRANT %I TO %I', audit.role_name('retainer'), current_user);
END $$;

REVOKE ALL ON ALL TABLES IN SCHEMA audit FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA audit FROM PUBLIC;
DO $$
DECLARE k text := audit.role_name('retainer');
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA audit TO %I', k);
    EXECUTE format('GRANT EXECUTE ON FUNCTION audit.role_name(text), audit.retention_scope(bigint, int),
        audit.retain(bigint, int, bigint[], text, text, bigint, bigint, text, text, bytea, bytea, bytea) TO %I', k);
END $$;
