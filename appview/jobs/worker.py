"""What `dramatiq appview.jobs` runs: the settings of the environment, the log, and the broker with all actors."""

import sys

import dramatiq

from appview import log
from appview.config import Config, ConfigError
from appview.jobs.broker import create_broker


def _create() -> dramatiq.Broker:
    try:
        config = Config.load()
        log.configure(config.log, "worker")
        return create_broker(config)
    except ConfigError as error:
        sys.exit(f"worker: {error}")


dramatiq.set_broker(_create())
