"""A window colored block after block, live or from recorded inputs."""
