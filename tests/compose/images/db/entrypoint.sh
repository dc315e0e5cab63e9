#!/bin/sh
# A new data directory gets its user, password and database; then PostgreSQL runs.
set -eu

install -d -o postgres -g postgres -m 0700 "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    password=$(mktemp)
    cat "$POSTGRES_PASSWORD_FILE" > "$password"
    chown postgres "$password"
    setpriv --reuid postgres --regid postgres --init-groups \
        initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile "$password" \
        -A scram-sha-256 -E UTF8 --locale C.UTF-8 --no-instructions
    rm "$password"
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE $POSTGRES_DB" | setpriv --reuid postgres --regid postgres --init-groups \
        postgres --single -D "$PGDATA" -j postgres
fi
exec setpriv --reuid postgres --regid postgres --init-groups \
    postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp
