"""`python -m maetoolkit`: the command line without its script."""

from maetoolkit.cli import main

if __name__ == "__main__":
    main()
