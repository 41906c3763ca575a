"""The task `segmentation`: one image series in, a label of every voxel out, each named structure measured."""
