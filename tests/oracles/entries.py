"""Lists the entries of tar archives with Python's own reader; in and out as in entries.go."""

import io
import json
import sys
import tarfile

while header := sys.stdin.buffer.read(8):
    data = sys.stdin.buffer.read(int.from_bytes(header, "big"))
    entries, error = [], ""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:", errorlevel=2) as archive:
            for entry in archive:
                entries.append({
                    "Name": entry.name.encode("utf-8", "surrogateescape").hex(),
                    "Link": entry.linkname.encode("utf-8", "surrogateescape").hex(),
                    "Flag": entry.type[0],
                    "Size": entry.size,
                    "Seconds": int(entry.mtime // 1),
                })
    except Exception as reason:
        error = str(reason) or repr(reason)
    print(json.dumps({"Entries": entries, "Error": error}))
