"""No models: jobs are read through `client`. Django tells an app only that has this module when `migrate` is done."""
