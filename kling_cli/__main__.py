"""The entry point; `--version` is answered before anything else is imported."""

import os
import sys

_STDOUT = 1
_INTERRUPTED = 130


def main() -> None:
    """Run the command line and end the process with its exit code."""
    if sys.argv[1:] == ["--version"] and _print_version():
        return
    import gc

    # A short run produces little garbage, and frequent collections take a sixth of its time.
    gc.set_threshold(100_000)
    try:
        from kling_cli.cli.app import main as run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        # Only during the import; the program itself handles signals.
        os.write(2, b"Stopped. Nothing was sent.\n")
        code = _INTERRUPTED
    gc.freeze()  # no collection is needed at exit
    sys.exit(code)


def _print_version() -> bool:
    from kling_cli import __version__

    try:
        os.write(_STDOUT, f"kling {__version__}\n".encode())
    except OSError:
        return False  # the full program reports this error
    return True


if __name__ == "__main__":
    main()
