-- The audit trail as a chain: every event gets a number without gaps and the hash of all that came before it, so that a
-- row edited, removed, inserted or moved later is found out by whoever kept a later hash.

CREATE TABLE block_event_queue (
    event_id bigint NOT NULL,
    CONSTRAINT block_event_queue_pkey PRIMARY KEY (event_id),
    CONSTRAINT block_event_queue_event_id_fkey FOREIGN KEY (event_id) REFERENCES block_events (id)
);
COMMENT ON TABLE block_event_queue IS 'Events that are not in the chain yet; filled and emptied by the database alone';
COMMENT ON COLUMN block_event_queue.event_id IS 'The event';

CREATE TABLE block_event_links (
    number bigint NOT NULL,
    event_id bigint NOT NULL,
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT block_event_links_pkey PRIMARY KEY (number),
    CONSTRAINT block_event_links_event_id_key UNIQUE (event_id),
    CONSTRAINT block_event_links_event_id_fkey FOREIGN KEY (event_id) REFERENCES block_events (id),
    CONSTRAINT block_event_links_number_range CHECK (number >= 1),
    CONSTRAINT block_event_links_previous_hash_length CHECK (octet_length(previous_hash) = 32),
    CONSTRAINT block_event_links_hash_length CHECK (octet_length(hash) = 32)
);
COMMENT ON TABLE block_event_links IS 'The chain over block_events: one link for each event, in the order of sealing';
COMMENT ON COLUMN block_event_links.number IS 'Position in the chain, from 1 without gaps';
COMMENT ON COLUMN block_event_links.event_id IS 'The event';
COMMENT ON COLUMN block_event_links.previous_hash IS 'Hash of the link before; 32 zero bytes for the first';
COMMENT ON COLUMN block_event_links.hash IS
'SHA-256 of previous_hash, number (8 bytes, big-endian) and the event as a JSON array in UTF-8';

CREATE FUNCTION queue_block_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO block_event_queue (event_id) SELECT a.id FROM added AS a;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION queue_block_events() IS 'Notes new events for the chain';

CREATE TRIGGER block_events_queued AFTER INSERT ON block_events
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION queue_block_events();

INSERT INTO block_event_queue (event_id) SELECT e.id FROM block_events AS e;

CREATE FUNCTION seal_block_events(most integer) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    head block_event_links%ROWTYPE;
    event record;
    link_hash bytea;
BEGIN
    -- One sequencer at a time; the lock also keeps the head from moving under it.
    LOCK TABLE block_event_links IN EXCLUSIVE MODE;
    SELECT * INTO head FROM block_event_links AS l ORDER BY l.number DESC LIMIT 1;
    head.number := coalesce(head.number, 0);
    head.hash := coalesce(head.hash, decode(repeat('00', 32), 'hex'));
    FOR event IN
        WITH taken AS (
            DELETE FROM block_event_queue AS q
            WHERE q.event_id IN (SELECT n.event_id FROM block_event_queue AS n ORDER BY n.event_id LIMIT most)
            RETURNING q.event_id
        )
        SELECT
            e.id,
            CAST(jsonb_build_array(
                e.id, e.block_index, e.event_type, e.farmer_id, e.pooler_id, e.data,
                CAST(extract(EPOCH FROM e.created_at) * 1000000 AS bigint)
            ) AS text) AS content
        FROM block_events AS e INNER JOIN taken AS t ON t.event_id = e.id
        ORDER BY e.id
    LOOP
        link_hash := sha256(head.hash || int8send(head.number + 1) || convert_to(event.content, 'UTF8'));
        INSERT INTO block_event_links (number, event_id, previous_hash, hash)
        VALUES (head.number + 1, event.id, head.hash, link_hash);
        head.number := head.number + 1;
        head.hash := link_hash;
    END LOOP;
    RETURN head.number;
END;
$$;
COMMENT ON FUNCTION seal_block_events(integer) IS
'Adds links for at most so many committed events that have none, in the order of their ids; returns the last number';

CREATE TRIGGER block_event_links_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON block_event_links
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER block_event_queue_kept BEFORE UPDATE OR TRUNCATE ON block_event_queue
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
