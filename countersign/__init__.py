"""The face of Countersign: command line, web, listeners, worker, adapters and the only wiring."""
