"""The release bundle on disk: manifest, checksums, atomic pointers."""
