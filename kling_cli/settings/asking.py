"""A setting's value from a person, or from what a script pipes in."""

from kling_cli.settings.keys import TOKEN, Key
from kling_cli.world import World

_LONGEST_VALUE = 1024 * 1024


def read_value(world: World, key: Key[object]) -> str:
    """Ask a person, for a token without echo, or read one line of standard input."""
    if not world.stdin.isatty():
        return world.stdin.readline(_LONGEST_VALUE).rstrip("\r\n")
    if key is TOKEN:
        import getpass

        return getpass.getpass(f"{key.name}: ")
    world.stderr.write(f"{key.name}: ")
    world.stderr.flush()
    return world.stdin.readline().rstrip("\n")
