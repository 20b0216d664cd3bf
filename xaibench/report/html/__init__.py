"""The report as one HTML page: what it shows (`content`), how that is drawn (`figures`, `pictures`), the `page`."""
