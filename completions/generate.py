"""Write the completion scripts and the manual pages from the program's own commands.

    python completions/generate.py

Run it, in an environment where kling is installed, whenever a command, an option, a setting, an
exit code or the catalogue has changed; the tests compare what is committed.
"""

import sys

from generator import ROOT, build


def main() -> None:
    """Write every file that is not as it should be, remove pages of commands that are gone."""
    texts = build()
    for page in (ROOT / "man").glob("*.1"):
        if page not in texts:
            page.unlink()
    for path, text in texts.items():
        content = text.encode()
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            sys.stderr.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
