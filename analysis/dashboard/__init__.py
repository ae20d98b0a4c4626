"""The dashboard: every study of a results folder in a browser, while trials run and after.

It reads the ledger and what the command line hands it, and writes nothing. Imported only by the command: Starlette and
uvicorn come with the extra `dashboard`.
"""
