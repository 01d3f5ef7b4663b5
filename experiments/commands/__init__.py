"""The subcommands of `ohmweave` that are more than a run: what each takes, does and prints."""
