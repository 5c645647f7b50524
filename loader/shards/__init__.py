"""The same loader against several pairs of databases, parted by facility."""
