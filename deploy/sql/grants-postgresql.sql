-- A database account that can do what cinder-key-migrator does, and nothing else.
-- For PostgreSQL, also behind PgBouncer. Run as a superuser, connected to Cinder's database:
--
--   psql --dbname cinder --file grants-postgresql.sql
--
-- Optional: without it the program uses the account in Cinder's own cinder.conf, which may do more
-- than is needed. Make the account first, with a password of your own:
--
--   CREATE ROLE cinder_key_migrator LOGIN PASSWORD 'PASSWORD';
--
-- then this file, then give the program a further file after cinder.conf
-- (--config-file /etc/cinder/cinder.conf --config-file /etc/cinder/key-migrator.conf) with
--
--   [database]
--   connection = postgresql+psycopg2://cinder_key_migrator:PASSWORD@DBHOST/cinder
--
-- Change: the schema where Cinder's tables are not in `public`. Where CONNECT or USAGE were taken
-- from PUBLIC, grant those, too:
--
--   GRANT CONNECT ON DATABASE cinder TO cinder_key_migrator;
--   GRANT USAGE ON SCHEMA public TO cinder_key_migrator;

-- What the migration reads.
GRANT SELECT (id, host, cluster_name, user_id, status, migration_status, encryption_key_id,
              deleted, deleted_at)
    ON public.volumes TO cinder_key_migrator;
GRANT SELECT (id, volume_id, user_id, status, encryption_key_id, deleted, deleted_at)
    ON public.snapshots TO cinder_key_migrator;
GRANT SELECT (id, host, volume_id, user_id, status, encryption_key_id, deleted, deleted_at)
    ON public.backups TO cinder_key_migrator;
GRANT SELECT ("binary", host, cluster_name, updated_at, deleted)
    ON public.services TO cinder_key_migrator;

-- What it writes: the key's ID, and when that was.
GRANT UPDATE (encryption_key_id, updated_at) ON public.volumes TO cinder_key_migrator;
GRANT UPDATE (encryption_key_id, updated_at) ON public.snapshots TO cinder_key_migrator;
GRANT UPDATE (encryption_key_id, updated_at) ON public.backups TO cinder_key_migrator;

-- What `check` reads beside that, to see Cinder's own migrator at work.
GRANT SELECT (updated_at) ON public.volumes TO cinder_key_migrator;
GRANT SELECT (updated_at) ON public.backups TO cinder_key_migrator;

-- What `verify` and `fixed-key audit` read beside that: whose a row is, backups without a recorded
-- key with the types of their volumes, and copies of image properties. Without it these two commands
-- say what they may not read, and the migration works all the same.
GRANT SELECT (project_id, display_name, source_volid, volume_type_id)
    ON public.volumes TO cinder_key_migrator;
GRANT SELECT (project_id) ON public.snapshots TO cinder_key_migrator;
GRANT SELECT (service, container, service_metadata, object_count, project_id)
    ON public.backups TO cinder_key_migrator;
GRANT SELECT (id) ON public.volume_types TO cinder_key_migrator;
GRANT SELECT (volume_type_id) ON public.encryption TO cinder_key_migrator;
GRANT SELECT (id, volume_id, snapshot_id, "key", value, deleted)
    ON public.volume_glance_metadata TO cinder_key_migrator;
