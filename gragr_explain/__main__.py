"""``python -m gragr_explain``."""

from gragr_explain.cli import main

if __name__ == "__main__":
    main()
