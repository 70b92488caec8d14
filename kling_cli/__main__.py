"""The program's door: what can be answered at once is answered before anything is loaded."""

import os
import sys

_STDOUT = 1
_INTERRUPTED = 130


def main() -> None:
    """Run the command line and end the process with its exit code."""
    if sys.argv[1:] == ["--version"] and _tell_version():
        return
    import gc

    # Loading makes objects that stay: to look for garbage among them is a tenth of a short run.
    # What goes on for longer settles down first.
    gc.disable()
    try:
        from kling_cli.app import main as run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        # While the program was being loaded: it listens to signals as soon as it runs.
        os.write(2, b"kling: error: Stopped. Nothing was sent.\n")
        code = _INTERRUPTED
    gc.freeze()  # nor is there any use in it now that the process ends
    sys.exit(code)


def _tell_version() -> bool:
    from kling_cli import __version__

    try:
        os.write(_STDOUT, f"kling {__version__}\n".encode())
    except OSError:
        return False  # the whole program has the words and the exit code for it
    return True


if __name__ == "__main__":
    main()
