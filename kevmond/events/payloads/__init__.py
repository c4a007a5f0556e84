"""Payload declarations and codes, one file a subclass of events.

To add an event, add its payload as a class (if it has one) and its `Code` to the file of its
subclass; a new subclass is a file with a `FAMILY` and a line in `kevmond.events.catalogue`.  Then
`make docs`.  The annotations here are evaluated, because they are the declarations: these files do
without `from __future__ import annotations`.
"""
