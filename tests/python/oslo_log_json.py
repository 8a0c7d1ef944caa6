"""Writes what oslo.log's JSONFormatter makes of records.

Standard input has one record a line, as JSON of that very formatter; each is
made into a record of Python's logging with the same name, level, time and place.
"""

import json
import logging
import sys

from oslo_config import cfg
from oslo_context import context
from oslo_log import formatters
from oslo_log import log

conf = cfg.ConfigOpts()
log.register_options(conf)
conf([], project="cinder", default_config_files=[])
formatter = formatters.JSONFormatter(datefmt=conf.log_date_format)

for line in sys.stdin.readlines():
    wanted = json.loads(line)
    record = logging.LogRecord(
        wanted["name"],
        wanted["levelno"],
        wanted["pathname"],
        wanted["lineno"],
        wanted["message"],
        (),
        None,
        "function",
    )
    record.created = wanted["created"]
    record.msecs = wanted["msecs"]
    record.process = wanted["process"]
    # What the adapter of log.getLogger adds.
    _, kwargs = log.getLogger(wanted["name"]).process(wanted["message"], {})
    record.__dict__.update(kwargs["extra"])
    request_id = wanted["context"].get("request_id")
    record.context = request_id and context.RequestContext(request_id=request_id)
    print(formatter.format(record))
