"""The program's entry: what can be answered at once is answered before anything is loaded."""

import os
import sys

_STDOUT = 1
_INTERRUPTED = 130


def main() -> None:
    """Run the command line and end the process with its exit code."""
    if sys.argv[1:] == ["--version"] and _print_version():
        return
    import gc

    # What a short run makes stays until its end: to look for garbage often is a sixth of its time.
    gc.set_threshold(100_000)
    try:
        from kling_cli.cli.app import main as run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        # While the program was being loaded: it handles signals itself as soon as it runs.
        os.write(2, b"Stopped. Nothing was sent.\n")
        code = _INTERRUPTED
    gc.freeze()  # nor is there any use in it now that the process ends
    sys.exit(code)


def _print_version() -> bool:
    from kling_cli import __version__

    try:
        os.write(_STDOUT, f"kling {__version__}\n".encode())
    except OSError:
        return False  # the whole program has the words and the exit code for it
    return True


if __name__ == "__main__":
    main()
