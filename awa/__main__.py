"""`python -m awa` is the same command as `awa`."""

from awa.cli import main

if __name__ == "__main__":
    main()
