"""Barbican's API with a paste file of our choice.

Barbican's own entry point reads /etc/barbican/barbican-api-paste.ini only.
"""

import os

from paste import deploy

application = deploy.loadapp("config:" + os.environ["BARBICAN_PASTE"])
