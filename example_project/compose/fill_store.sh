#!/bin/sh
# What the one-shot service `secrets` runs: the table, its key, and values where there are none.
# The values are made on the first run and kept in a volume, because the stand-in for AWS
# forgets them with every restart and the database keeps its password.
set -eu

python manage.py secrets setup --create-key
if [ -n "$(python manage.py secrets list)" ]; then
    echo "the table has secrets: nothing to do" >&2
    exit 0
fi
python /srv/compose/make_secrets.py /run/generated
python manage.py secrets putall /run/generated/secrets.json
