"""The program's door: what can be answered at once is answered before anything is loaded."""

import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    if sys.argv[1:] == ["--version"]:
        from kling_cli import __version__

        sys.stdout.write(f"kling {__version__}\n")
        return
    from kling_cli.app import main as run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
