"""Command-line scripts, one task a file."""

from ..envs.shared.extras import COMMANDS, require_extra

require_extra(COMMANDS, __name__)
