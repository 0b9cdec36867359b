"""A worker as it is run, but that gives up on others within a second: `dramatiq tests.appview.jobs.quick_worker`."""

import dramatiq

from appview.config import Config
from appview.jobs.broker import create_broker
from appview.jobs.dispatch import Pace

dramatiq.set_broker(create_broker(Config.load(dotenv=None), pace=Pace(poll=0.1, waiting=4, lease=1.0)))
