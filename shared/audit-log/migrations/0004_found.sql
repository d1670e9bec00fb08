-- An erasure that also reaches what a search in the texts found. Must never give a role more than its own functions.

-- What an erasure would take: entries about these people, entries that a search found, every entry of these runs, and
-- the rest of the runs and tool calls of all of them.
CREATE FUNCTION audit.found_scope(people text[], hits bigint[], runs text[], targets text[], customers text[])
RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH seqs AS (
        SELECT s.seq FROM audit.subject s WHERE s.person = ANY (people)
        UNION SELECT unnest(hits)
        UNION SELECT e.seq FROM audit.entry e WHERE e.run_id = ANY (runs)
        UNION SELECT p.seq FROM audit.payload p WHERE p.target_id = ANY (targets)
        UNION SELECT p.seq FROM audit.payload p WHERE p.customer_id = ANY (customers)
    ), direct AS (
        SELECT e.seq, e.run_id, e.intent_id FROM seqs JOIN audit.entry e USING (seq)
    ), wide AS (
        SELECT seq FROM direct
        UNION SELECT e.seq FROM audit.entry e WHERE e.run_id IN (SELECT run_id FROM direct WHERE run_id IS NOT NULL)
        UNION SELECT e.seq FROM audit.entry e
            WHERE e.intent_id IN (SELECT intent_id FROM direct WHERE intent_id IS NOT NULL)
    )
    -- What names the rows of an erasure stays: without it the erased rows could not be told from damaged ones.
    SELECT w.seq FROM wide w JOIN audit.payload p USING (seq) JOIN audit.entry e USING (seq)
    WHERE p.erased_by IS NULL AND e.verb NOT IN ('erase_subject', 'retention') ORDER BY w.seq
$$;

-- `audit.erase` over that scope, and once per id: a request that was answered before its row said so finds its erasure.
-- `parked_hashes` are the hashes of refused rows that the search found.
CREATE FUNCTION audit.erase_found(
    people text[], hits bigint[], runs text[], targets text[], customers text[], parked_hashes bytea[], seqs bigint[],
    request text, id text, no bigint, us bigint, who text, target text, content bytea, salt bytea, pads bytea
) RETURNS TABLE (erasure_seq bigint, parts_erased bigint) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE gone text[]; prompts bytea[];
BEGIN
    PERFORM FROM audit.head FOR UPDATE;
    IF seqs IS DISTINCT FROM ARRAY(SELECT audit.found_scope(people, hits, runs, targets, customers)) THEN RETURN; END IF;
    SELECT a.seq_no INTO STRICT erasure_seq FROM audit.append(ARRAY[id], ARRAY['subject_requests'], ARRAY[no], ARRAY[us],
        ARRAY[who], ARRAY['erase_subject'], ARRAY['applied'], ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[NULL::text],
        ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[NULL::bigint], ARRAY[NULL::bytea], ARRAY[NULL::text],
        ARRAY[NULL::text], ARRAY[NULL::bytea], ARRAY[target], ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[''],
        ARRAY[content], ARRAY[salt], ARRAY[pads], ARRAY[]::bytea[], ARRAY[]::bytea[]) a WHERE a.outcome = 'appended';
    SELECT array_agg(DISTINCT p.target_id) INTO gone FROM audit.payload p WHERE p.seq = ANY (seqs);
    SELECT array_agg(DISTINCT e.prompt_hash) INTO prompts FROM audit.entry e
        WHERE e.seq = ANY (seqs) AND e.prompt_hash IS NOT NULL;
    UPDATE audit.payload p SET salt = NULL, bytes = NULL, target_id = NULL, customer_id = NULL, to_stage = NULL,
        erased_by = erasure_seq WHERE p.seq = ANY (seqs);
    DELETE FROM audit.subject s WHERE s.seq = ANY (seqs);
    DELETE FROM audit.subject_key k WHERE k.target_id = ANY (gone);
    DELETE FROM audit.parked k WHERE k.persons && people OR k.content = ANY (parked_hashes);
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

REVOKE ALL ON FUNCTION audit.found_scope(text[], bigint[], text[], text[], text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit.erase_found(text[], bigint[], text[], text[], text[], bytea[], bigint[], text, text, bigint,
    bigint, text, text, bytea, bytea, bytea) FROM PUBLIC;
DO $$
DECLARE r text := audit.role_name('reader'); x text := audit.role_name('eraser');
BEGIN
    EXECUTE format('GRANT EXECUTE ON FUNCTION audit.found_scope(text[], bigint[], text[], text[], text[])
        TO %I, %I', r, x);
    EXECUTE format('GRANT EXECUTE ON FUNCTION audit.erase_found(text[], bigint[], text[], text[], text[], bytea[],
        bigint[], text, text, bigint, bigint, text, text, bytea, bytea, bytea) TO %I', x);
END $$;
