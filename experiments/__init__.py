"""What a user starts: configuration, data, networks, training, the pipeline, its report, and the command line."""
