"""A formatter as JSON formatters are: it formats tracebacks anew and keeps extra attributes."""

import json
import logging

STANDARD = set(vars(logging.makeLogRecord({})))


class Formatter(logging.Formatter):
    """One line of JSON a record."""

    def format(self, record):
        entry = {"message": record.getMessage(), "name": record.name}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
            entry["attributes"] = repr(vars(record.exc_info[1]))
        entry.update((k, v) for k, v in vars(record).items() if k not in STANDARD)
        return json.dumps(entry, default=lambda thing: type(thing).__name__)
