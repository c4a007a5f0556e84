"""`python -m kevmond` is `kevmond`."""

from kevmond.cli import main

if __name__ == "__main__":
    main()
