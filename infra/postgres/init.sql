-- Runs first, when the container's volume is still empty. It makes nothing: the whole schema is in migrations/001_init.sql.

SELECT 'Relay database initialization starting...' as message;
