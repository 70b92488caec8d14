"""The entry point; `--version` is answered before anything else is imported."""

import os
import sys


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
        code = 130
    # All output is flushed. A normal exit of the interpreter takes longer, may print errors of its
    # own, and can crash a thread that is still working.
    os._exit(code)


def _print_version() -> bool:
    from kling_cli import __version__

    try:
        os.write(1, f"kling {__version__}\n".encode())
    except OSError:
        return False  # the full program reports this error
    return True


if __name__ == "__main__":
    main()
