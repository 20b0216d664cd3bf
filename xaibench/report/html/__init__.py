"""The report as one HTML page: what it shows (`content`), how it is drawn (`figures`, `pictures`), the page (`page`)."""
