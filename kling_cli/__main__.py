"""The program's entry: what can be answered at once is answered before anything is loaded."""

import os
import sys


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
        code = 130
    # All is written by now, or cannot be. To take the interpreter down in order would cost time,
    # end with Python's own words on what cannot be written, and crash a thread that still works.
    os._exit(code)


def _print_version() -> bool:
    from kling_cli import __version__

    try:
        os.write(1, f"kling {__version__}\n".encode())
    except OSError:
        return False  # the whole program has the words and the exit code for it
    return True


if __name__ == "__main__":
    main()
