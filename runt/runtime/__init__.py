"""The supervisor process that owns one kernel, the kernel launcher, the Jupyter wire client."""
