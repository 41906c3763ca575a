"""The trial as people live it: charter, sites, subjects, time points, and the stage of its life."""
