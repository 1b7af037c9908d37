"""`python -m engine.cli`: the same as `yanshu`."""

from engine.cli import main

if __name__ == "__main__":
    main()
