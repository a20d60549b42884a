"""The project's tests; run them with `make test`."""
